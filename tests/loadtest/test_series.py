"""Rates between readings, and the slope of memory."""

from __future__ import annotations

import pytest

from loadtest import series
from loadtest.outcome import Sample
from loadtest.series import Reading


def grown(*memory_kib: int) -> list[Sample]:
    """One sample a second."""
    return [Sample(float(at_s), 0.0, 0.0, kib) for at_s, kib in enumerate(memory_kib)]


def test_rates_are_between_two_readings() -> None:
    readings = [Reading(10.0, 0, 1.0, 500), Reading(12.0, 200, 2.0, 600), Reading(13.0, 201, 2.25, 550)]
    assert series.samples(readings) == [Sample(2.0, 100.0, 0.5, 600), Sample(3.0, 1.0, 0.25, 550)]
    assert series.samples(readings[:1]) == []


def test_the_slope_leaves_out_the_first_quarter() -> None:
    assert series.memory_slope_kib_per_h(grown(0, 900, 1000, 1000, 1000, 1000, 1000, 1000, 1000)) == 0.0
    assert series.memory_slope_kib_per_h(grown(0, 50, 100, 101, 102, 103, 104, 105, 106)) == pytest.approx(3600)


def test_noise_around_a_level_is_no_slope() -> None:
    assert series.memory_slope_kib_per_h(grown(*[0] * 4, *[9, 11, 11, 9] * 3)) == pytest.approx(0, abs=0.1)


def test_too_little_says_nothing() -> None:
    assert series.memory_slope_kib_per_h(grown(1, 2)) is None
    assert series.memory_slope_kib_per_h([]) is None
    assert series.memory_grown_kib([]) is None


def test_growth_is_what_is_settled_from_lowest_to_highest() -> None:
    assert series.memory_grown_kib(grown(0, 900, 1000, 1010, 1005, 1002, 1003, 1004, 1001)) == 10
