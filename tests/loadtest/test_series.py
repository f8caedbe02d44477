"""Rates between readings, and the slope of memory."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from statistics import fmean, linear_regression

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
    flat, rising = series.memory_slope(grown(*range(0, 900, 225), *[1000] * 13)), series.memory_slope(grown(*range(40)))
    assert flat == series.Slope(0.0, 0.0)
    assert rising is not None
    assert rising.kib_per_h == pytest.approx(3600)
    assert series.memory_slope_beyond_noise_kib_per_h(rising) == pytest.approx(3600, rel=0.01)


def test_noise_around_a_level_is_no_slope() -> None:
    chance = random.Random(7)  # the same each run
    level = series.memory_slope(grown(*[round(chance.gauss(50_000, 200)) for _ in range(400)]))
    assert level is not None
    assert level.error_kib_per_h > 0
    assert series.memory_slope_beyond_noise_kib_per_h(level) == 0


def test_a_leak_is_found_under_the_same_noise() -> None:
    chance = random.Random(7)
    leak = series.memory_slope(grown(*[round(chance.gauss(50_000 + 5 * at_s, 200)) for at_s in range(800)]))
    assert leak is not None
    assert leak.kib_per_h == pytest.approx(18_000, rel=0.1)
    assert (series.memory_slope_beyond_noise_kib_per_h(leak) or 0.0) > 13_000


def parts(*means: float) -> list[Sample]:
    """A run whose parts, after what settles, have these means."""
    return grown(*[round(means[0])] * 60, *[round(mean) for mean in means for _ in range(15)])


@pytest.mark.parametrize("steps_at", [{6}, {2}, {10}, {3, 8}])
def test_steps_of_the_allocator_are_no_slope(steps_at: set[int]) -> None:
    taken = [sum(256 for at in steps_at if number >= at) for number in range(series.PARTS)]
    slope = series.memory_slope(parts(*taken))
    assert slope is not None
    assert slope.kib_per_h > 0
    assert series.memory_slope_beyond_noise_kib_per_h(slope) == 0


def test_a_leak_in_steps_that_go_on_is_one() -> None:
    slope = series.memory_slope(parts(*(256 * (number - number // 6) for number in range(series.PARTS))))
    assert (series.memory_slope_beyond_noise_kib_per_h(slope) or 0.0) > 0


def made_without_leak(kind: str, chance: random.Random) -> list[float]:
    """The means of the parts of a run: around a level, wandering from part to part, or with one piece taken."""
    level, means, piece_at = 50_000.0, [], chance.randrange(1, series.PARTS)
    for number in range(series.PARTS):
        if kind == "piece":
            means.append(level + 256 * (number >= piece_at) + chance.gauss(0, 10))
            continue
        moved = chance.gauss(0, 100)
        means.append(level + moved)
        level += moved if kind == "wander" else 0.0
    return means


def rises_by_least_squares(means: list[float]) -> bool:
    """Whether a line through them rises, to 95 %: what a slope is not taken from, and why."""
    at = range(len(means))
    slope, level = linear_regression(at, means)
    squares = sum((mean - level - slope * x) ** 2 for x, mean in zip(at, means, strict=True))
    spread = sum((x - fmean(at)) ** 2 for x in at)
    return slope > 1.812 * math.sqrt(squares / (len(means) - 2) / spread)  # Student's t, one-sided, 10 degrees


@pytest.mark.parametrize(
    ("kind", "by_changes_max", "by_line_percent"), [("level", 1, 5), ("wander", 20, 34), ("piece", 0, 88)]
)
def test_chance_alone_seems_a_leak_in_no_more_runs_than_the_confidence_says(
    kind: str, by_changes_max: int, by_line_percent: int
) -> None:
    chance, alarms, of_line, runs = random.Random(11), 0, 0, 1_000  # the same each run, as docs/load.md says
    for _ in range(runs):
        means = made_without_leak(kind, chance)
        slope = series.slope_of([now - former for former, now in pairwise(means)], part_h=0.03)
        alarms += (series.memory_slope_beyond_noise_kib_per_h(slope) or 0.0) > 0
        of_line += rises_by_least_squares(means)
    assert alarms <= by_changes_max
    assert round(100 * of_line / runs) == by_line_percent


def test_memory_that_is_given_back_is_no_leak() -> None:
    assert series.memory_slope_beyond_noise_kib_per_h(series.memory_slope(grown(*range(40, 0, -1)))) == 0


def test_a_run_of_minutes_settles_for_three_of_them() -> None:
    rising = [*range(180), *[180] * 121]
    assert series.memory_slope(grown(*rising)) == series.Slope(0.0, 0.0)
    assert series.settled(grown(*[0] * 3601))[0].at_s == 900.0


def test_a_run_that_is_too_short_to_settle_shows_no_leak_and_no_soundness() -> None:
    assert series.leak_kib_per_h(grown(*range(200))) is None
    assert series.leak_kib_per_h([]) is None
    assert series.leak_kib_per_h(grown(*range(300))) == pytest.approx(3600, rel=0.01)


def test_a_run_says_how_large_a_leak_it_would_have_shown() -> None:
    unsteady = grown(*(100 * (at_s // 15 % 2) for at_s in range(300)))
    slope = series.memory_slope(unsteady)
    assert slope is not None
    seen = series.leak_seen_kib_per_h(unsteady)
    assert seen == 2 * series.STUDENT_T * slope.error_kib_per_h > 0
    leaking = [each._replace(memory_KiB=each.memory_KiB + round(seen * each.at_s / 3600)) for each in unsteady]
    assert (series.leak_kib_per_h(leaking) or 0.0) > 0
    assert series.leak_seen_kib_per_h(grown(*range(200))) is None
    assert series.leak_seen_kib_per_h(grown(*[7] * 300)) == 0


def test_too_little_says_nothing() -> None:
    assert series.memory_slope(grown(*range(8))) is None
    assert series.memory_slope_beyond_noise_kib_per_h(None) is None
    assert series.memory_grown_kib([]) is None


def test_growth_is_what_is_settled_from_lowest_to_highest() -> None:
    assert series.memory_grown_kib(grown(0, 900, 1000, 1010, 1005, 1002, 1003, 1004, 1001)) == 10
