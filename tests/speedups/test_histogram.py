"""The histogram against its definition: a value's bucket bounds it from above within one sixteenth."""

from hypothesis import given
from hypothesis import strategies as st

from _speedups.histogram import Histogram


@given(st.integers(0, 2**63 - 1) | st.integers(0, 62).map(lambda bits: 2**bits))
def test_a_bucket_bounds_its_values_within_a_sixteenth(value: int) -> None:
    histogram = Histogram()
    histogram.add(value, 3)
    [(bound, count)] = histogram.buckets()
    assert count == 3
    assert value <= bound <= value + value // 16


@given(st.lists(st.integers(-10, 2**63 - 1), min_size=1, max_size=50))
def test_nothing_is_lost_and_buckets_are_in_order(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    buckets = histogram.buckets()
    assert sum(count for _, count in buckets) == len(values)
    assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets})
