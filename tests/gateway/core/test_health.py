"""Whether a stream goes on: ten errors or five minutes of silence mean that it does not."""

from __future__ import annotations

import pytest

from gateway.core.health import Health, StreamHealth

MINUTE_NS = 60_000_000_000


@pytest.fixture
def health() -> StreamHealth:
    health = StreamHealth()
    health.start(MINUTE_NS)
    return health


def test_it_is_healthy_for_five_minutes_without_a_word(health: StreamHealth) -> None:
    assert health.at(6 * MINUTE_NS - 1) == Health(None, 0, 0, True, MINUTE_NS)
    assert health.at(6 * MINUTE_NS) == Health(None, 0, 0, False, MINUTE_NS)


def test_an_update_is_good_for_five_minutes(health: StreamHealth) -> None:
    health.updated(4 * MINUTE_NS)
    assert health.at(9 * MINUTE_NS - 1).is_healthy
    assert not health.at(9 * MINUTE_NS).is_healthy
    health.updated(10 * MINUTE_NS)
    assert health.at(10 * MINUTE_NS) == Health(10 * MINUTE_NS, 0, 0, True, MINUTE_NS)


def test_ten_errors_in_a_row_are_too_many(health: StreamHealth) -> None:
    for _ in range(9):
        health.failed()
    assert health.at(MINUTE_NS).is_healthy
    health.failed()
    health.recovering()
    assert health.at(MINUTE_NS) == Health(None, 10, 1, False, MINUTE_NS)
    health.updated(MINUTE_NS)
    assert health.at(MINUTE_NS) == Health(MINUTE_NS, 0, 1, True, MINUTE_NS), "what it recovered from is over"


def test_silence_counts_only_while_somebody_listens(health: StreamHealth) -> None:
    health.updated(2 * MINUTE_NS)
    health.failed()
    health.stop()
    assert health.at(60 * MINUTE_NS) == Health(2 * MINUTE_NS, 0, 0, True, None)
    health.start(60 * MINUTE_NS)
    assert health.at(65 * MINUTE_NS - 1).is_healthy, "it had no more time than this"
    assert not health.at(65 * MINUTE_NS).is_healthy
