"""Percentile curves and their axis."""

from __future__ import annotations

import pytest

from loadtest import histogram


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
