"""Several rounds as one: medians of what is measured, the worst of what is counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from loadtest.bench.rounds import STUDENT_T_95, in_turns, middle
from loadtest.bench.tools import Tools
from loadtest.bench.workloads import WORKLOADS, Plan
from tests.loadtest.bench import made

OURS_ALONE = Tools(None, None, {}, None, ())
ROUNDS = [
    replace(made.FIGURES, p50_ms=3.0, p99_ms=9.0, us_per_msg=4.0, buckets=[(9.0, 1)]),
    replace(made.FIGURES, p50_ms=1.0, p99_ms=30.0, us_per_msg=6.0, buckets=[(30.0, 1)]),
    replace(made.FIGURES, p50_ms=2.0, p99_ms=10.0, us_per_msg=5.0, buckets=[(10.0, 1)]),
]


def test_what_took_the_machine_in_one_round_is_in_no_median() -> None:
    seen = middle(ROUNDS)
    assert (seen.p50_ms, seen.p99_ms, seen.us_per_msg) == (2.0, 10.0, 5.0)
    assert seen.buckets == [(10.0, 1)]


@pytest.mark.parametrize("worst", range(3))
def test_what_was_lost_in_one_round_is_lost(worst: int) -> None:
    whole = [replace(each, unannounced=0, announced=0, repeated=0, readers_alive=10) for each in ROUNDS]
    whole[worst] = replace(
        whole[worst], alive=7, readers_alive=6, unannounced=5, announced=4, announced_to_readers=2, repeated=3,
        least_per_conn=1, most_per_conn=1_000_000, max_ms=500.0,
    )  # fmt: skip
    seen = middle(whole)
    assert (seen.alive, seen.readers_alive, seen.least_per_conn, seen.most_per_conn) == (7, 6, 1, 1_000_000)
    assert (seen.unannounced, seen.announced, seen.announced_to_readers, seen.repeated) == (5, 4, 2, 3)
    assert seen.max_ms == 500.0


def test_who_has_stalled_has_to_be_told_in_every_round() -> None:
    told = [replace(each, announced=count) for each, count in zip(ROUNDS, (3, 0, 2), strict=True)]
    assert middle(told, some_stalled=True).announced == 0
    assert middle(told).announced == 3


def test_what_the_client_cannot_tell_stays_untold() -> None:
    blind = [replace(each, unannounced=None, client_waited=None, messages_per_send=None) for each in ROUNDS]
    seen = middle(blind)
    assert (seen.unannounced, seen.client_waited, seen.messages_per_send) == (None, None, None)


def test_what_is_in_both_of_a_round_cancels() -> None:
    seen = in_turns([11.0, 22.0, 44.0], [10.0, 20.0, 40.0])
    assert seen is not None
    assert (seen.ratio, seen.at_least) == pytest.approx((1.1, 1.1))
    assert seen.error == pytest.approx(0.0, abs=1e-9)


def test_a_ratio_that_noise_explains_is_not_above_one() -> None:
    seen = in_turns([9.22, 13.82, 13.06], [14.34, 11.01, 11.01])
    assert seen is not None
    logs = [math.log(9.22 / 14.34), math.log(13.82 / 11.01), math.log(13.06 / 11.01)]
    assert seen.ratio == pytest.approx(math.exp(sum(logs) / 3))
    assert seen.at_least < 1.0
    assert seen.error > 0.15


def test_a_ratio_that_noise_does_not_explain_is_told() -> None:
    seen = in_turns([13.0, 12.5, 13.5, 13.2, 12.8, 13.1], [10.0, 10.1, 9.9, 10.0, 10.2, 9.8])
    assert seen is not None
    assert 1.2 < seen.at_least < seen.ratio
    assert seen.error < 0.05


@pytest.mark.parametrize("rounds", STUDENT_T_95)
def test_chance_alone_puts_a_ratio_above_one_once_in_twenty(rounds: int) -> None:
    """Student's t of one degree of freedom less than there are rounds: below it lie 95 % of its density."""
    free, steps = rounds - 1, 20_000
    width = STUDENT_T_95[rounds] / steps
    scale = math.gamma(rounds / 2) / (math.sqrt(free * math.pi) * math.gamma(free / 2))
    middles = (width * (n + 0.5) for n in range(steps))
    below = 0.5 + sum(scale * (1 + t * t / free) ** (-rounds / 2) * width for t in middles)
    assert below == pytest.approx(0.95, abs=5e-5)


def test_every_workload_s_rounds_are_as_many_as_an_error_is_known_of() -> None:
    assert WORKLOADS["E"].rounds in STUDENT_T_95
    assert all(Plan(OURS_ALONE).sized(row).rounds == row.rounds for row in WORKLOADS.values())


@pytest.mark.parametrize(("ours", "others"), [([1.0], [1.0]), ([1.0, 1.0], [1.0, 1.0]), ([1.0] * 3, [1.0, 0.0, 1.0])])
def test_too_few_rounds_say_nothing_of_noise(ours: list[float], others: list[float]) -> None:
    assert in_turns(ours, others) is None
