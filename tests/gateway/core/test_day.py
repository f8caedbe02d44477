"""The beginning of a trading day, through changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.day import SECOND_NS, Boundary, zone_of

HOUR_NS = 3_600 * SECOND_NS
BERLIN = ZoneInfo("Europe/Berlin")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("hour", "now", "start"),
    [
        (0, "2026-02-07T22:59:59+00:00", "2026-02-07T00:00:00+01:00"),
        (0, "2026-02-07T23:00:00+00:00", "2026-02-08T00:00:00+01:00"),
        (17, "2026-02-07T16:00:00+01:00", "2026-02-06T17:00:00+01:00"),
        (2, "2026-03-29T05:00:00+02:00", "2026-03-29T03:00:00+02:00"),  # there is no 2 o'clock
        (2, "2026-10-25T02:30:00+01:00", "2026-10-25T02:00:00+02:00"),  # there are two: the first
    ],
)
def test_a_day_begins_at_its_hour(hour: int, now: str, start: str) -> None:
    assert Boundary(BERLIN, hour).start_ns(ns(now)) == ns(start)


@given(
    st.sampled_from([UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
    st.integers(0, 23),
    st.integers(1_500_000_000, 2_000_000_000),
)
def test_days_follow_each_other_without_a_hole(zone: ZoneInfo, hour: int, now_s: int) -> None:
    boundary, now_ns = Boundary(zone, hour), now_s * SECOND_NS
    start_ns, next_ns = boundary.start_ns(now_ns), boundary.next_ns(now_ns)
    assert start_ns <= now_ns < next_ns
    assert 22 * HOUR_NS < next_ns - start_ns < 26 * HOUR_NS
    assert boundary.start_ns(next_ns) == next_ns
    assert boundary.start_ns(next_ns - 1) == start_ns


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_a_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such time zone"):
        zone_of(name)


def test_utc_needs_no_database() -> None:
    assert zone_of("UTC") is UTC
    assert str(zone_of("Europe/Berlin")) == "Europe/Berlin"
