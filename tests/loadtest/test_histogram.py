"""Percentile curves and their axis; and that no percentile of a compiled client is better than the true one."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest import histogram
from loadtest.swarm import HEADERS, SOURCE, compiled

SHARES = (0.5, 0.99, 0.999)
SAME_US = 1e-6  # as far as a value of floating point is another one
Told = Callable[[Sequence[float]], dict[str, Any]]


@contextmanager
def clients_histogram() -> Iterator[Told]:
    """What the compiled client's own code says of values in us."""
    program = compiled(Path(__file__).with_name("percentiles.c"), "-w", f"-I{SOURCE.parent}", depends=HEADERS)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        asking, answering = running.stdin, running.stdout
        assert asking is not None
        assert answering is not None

        def told(values_us: Sequence[float]) -> dict[str, Any]:
            asking.write(" ".join(map(repr, values_us)) + "\n")
            asking.flush()
            answer: dict[str, Any] = json.loads(answering.readline())
            return answer

        yield told


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with clients_histogram() as told:
        yield told


@given(ns=st.lists(st.integers(0, 10**10) | st.integers(0, 200_000), min_size=1, max_size=300))
@settings(max_examples=60)
def test_no_percentile_is_better_than_the_true_one_nor_much_worse(told: Told, ns: list[int]) -> None:
    values_us = sorted(each / 1e3 for each in ns)
    said = told(values_us)
    points = histogram.curve(said["buckets"])
    for share, ms in zip(SHARES, said["ms"], strict=True):
        true_us = values_us[int(len(values_us) * share)]
        assert true_us - SAME_US <= 1e3 * ms <= true_us * 33 / 32 + 1 + SAME_US
        of_curve_ms = histogram.percentile(points, share)
        assert of_curve_ms is not None
        assert 1e3 * of_curve_ms >= values_us[math.ceil(len(values_us) * share) - 1] - SAME_US
    assert values_us[-1] - SAME_US <= said["max_us"] == said["buckets"][-1][0] <= values_us[-1] + 1
    assert sum(count for _us, count in said["buckets"]) == len(values_us)


@given(us=st.integers(0, 10**7))
@settings(max_examples=60)
def test_where_a_bucket_ends_is_known_from_where_it_begins(told: Told, us: int) -> None:
    begins_us = us - us % (1 << max(0, us.bit_length() - 6))
    ends_us = told([us, 10.0**9])["buckets"][0][0]
    assert histogram.upper_ms(begins_us / 1e3, math.inf) == pytest.approx(ends_us / 1e3)
    assert begins_us <= us < ends_us


def test_no_bucket_ends_above_the_highest_there_was() -> None:
    assert histogram.upper_ms(6.016, 6.05) == 6.05
    assert math.isnan(histogram.upper_ms(-1.0, 0.0))


def test_each_bucket_is_a_point_and_the_last_one_is_all() -> None:
    assert histogram.curve([(10, 1), (20, 2), (4_000, 1)]) == [(0.25, 0.01), (0.75, 0.02), (1.0, 4.0)]
    assert histogram.curve([]) == []


def test_each_further_nine_takes_the_same_room() -> None:
    assert [histogram.nines(share, 9.0) for share in (0.0, 0.9, 0.99, 0.999)] == pytest.approx([0, 1, 2, 3])
    assert histogram.nines(1.0, 3.5) == histogram.nines(0.99999, 3.5) == 3.5


def test_the_axis_reaches_beyond_the_last_share_that_is_not_all() -> None:
    assert histogram.nines_of([(0.5, 1.0), (0.99, 2.0), (1.0, 3.0)]) == pytest.approx(2.5)
    assert histogram.nines_of([(1.0, 3.0)]) == 0.5


def test_marks_are_read_as_percentages() -> None:
    assert [histogram.word(share) for share in (0.0, 0.5, 0.999, 0.999999)] == ["0 %", "50 %", "99.9 %", "99.9999 %"]


def test_a_percentile_is_of_the_bucket_that_has_it() -> None:
    points = histogram.curve([(10_000, 89), (20_000, 1), (30_000, 10)])
    assert [histogram.percentile(points, share) for share in (0.5, 0.89, 0.9, 0.91, 1.0)] == [10, 10, 20, 30, 30]
    assert histogram.percentile([], 0.5) is None


def test_of_what_was_told_no_percentile_is_made_up() -> None:
    points = histogram.told(1.0, 2.0, 3.0, 4.0)
    assert [histogram.percentile(points, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)] == [1.0, None, 2.0, 3.0, 4.0]


def test_what_came_after_a_look_is_told_apart_from_what_was_there() -> None:
    assert histogram.since([(31, 2), (99, 5)], [(31, 2), (67, 1), (99, 7)]) == [(67, 1), (99, 2)]


def test_what_is_in_a_bucket_is_spread_over_it() -> None:
    # Of 16 buckets a power of two: 64 to 67, 96 to 99, 1,024 to 1,087 ns.
    assert [histogram.spread([(67, 4)], share) for share in (0.25, 0.5, 1.0)] == [65, 66, 68]
    assert histogram.spread([(67, 1), (99, 2), (1087, 1)], 0.5) == 98
    assert histogram.spread([(67, 1), (1087, 3)], 1.0) == 1088
    assert histogram.spread([(7, 2)], 0.5) == 7.5
    assert math.isnan(histogram.spread([], 0.5))
