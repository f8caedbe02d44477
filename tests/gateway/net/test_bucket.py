"""The token bucket against its definition."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.net.bucket import TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now_s=100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0]
    assert math.isclose(bucket.take(100.0), 0.1)
    assert math.isclose(bucket.take(100.05), 0.05)
    assert bucket.take(100.1001) == 0


def test_what_is_charged_is_owed() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now_s=0.0)
    bucket.charge(5)
    assert math.isclose(bucket.take(0.0), 0.3)
    assert [bucket.take(0.3001), bucket.take(0.3001) > 0] == [0, True]


def test_what_is_saved_up_is_bounded() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=2, now_s=0.0)
    assert [bucket.take(1e6) > 0 for _ in range(3)] == [False, False, True]


def test_without_a_rate_there_is_only_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=0, burst=1, now_s=0.0)
    assert bucket.take(0.0) == 0
    assert bucket.take(1e9) == math.inf


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 20), st.integers(1, 50))
def test_never_more_than_burst_and_rate_allow(steps: list[float], burst: int, rate: int) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    now_s, taken = 0.0, 0
    for step in steps:
        now_s += step
        taken += bucket.take(now_s) == 0
        assert taken <= burst + now_s * rate + 1e-6
