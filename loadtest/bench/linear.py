"""Whether cost grows as the work does: each point of an axis held against straight lines through two points before it.

Pure arithmetic, and nothing is fitted. Must not know servers, clients or tables.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

# A point is above linear when its CPU is above a straight line by more than so many times what noise moves the two
# apart. There are up to 14 lines on an axis of five points and the noise itself is estimated; with four, fewer than
# 1 in 100 made axes that are straight is called steep (tests/loadtest/bench/test_linear.py counts them).
NOISE_TIMES: Final = 4.0
# Noise must not hide more: a point that costs half as much again as its sharpest line says is to be told in nine runs
# of ten, so the line's limit may be no higher than this.
MUST_TELL: Final = 1.5
NINE_OF_TEN: Final = 1.2816  # of what spreads normally by 1, nine tenths lie above minus this
SHARP_MAX: Final = 1 + (MUST_TELL - 1) * NOISE_TIMES / (NOISE_TIMES + NINE_OF_TEN)
SHAMOS: Final = 0.9539  # median of |a - b| of two values that spread normally by 1
MEDIAN_SPREAD: Final = math.sqrt(math.pi / 2)  # of a median of n: this, over the square root of n


@dataclass(frozen=True)
class Measured:
    """One point: work done a second, and the share of a core it took each time it was measured."""

    work: float
    cpus: tuple[float, ...]

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)


NOTHING: Final = Measured(0.0, (0.0,))


class Step(NamedTuple):
    """From one point to the next."""

    marginal: float  # CPU seconds for each unit of the work that was added
    ratio: float  # CPU at its end over that of the straight line it is furthest above, in terms of noise
    limit: float  # what that ratio may be, for noise
    sharp: float  # the most that the ratio can be unseen: the limit of the line that noise touches least, or all growth

    @property
    def above(self) -> bool:
        """More than linear."""
        return self.ratio > self.limit

    @property
    def undecided(self) -> bool:
        """Noise could hide too much."""
        return not self.above and self.sharp > SHARP_MAX


def noise(points: Sequence[Measured]) -> float:
    """By how much of its CPU one measurement spreads (a standard deviation), from all of an axis.

    The Shamos estimator, the median difference of two measurements of one point: one that was disturbed does not count
    for more than that. 0.0 where nothing was measured twice.
    """
    apart = [
        2 * abs(one - other) / (one + other)
        for point in points
        for one, other in combinations(point.cpus, 2)
        if one + other > 0
    ]
    return statistics.median(apart) / SHAMOS if apart else 0.0


def steps(points: Sequence[Measured]) -> list[Step]:
    """For each point but the first; points have more and more work.

    Cost that is linear, whatever is fixed in it, has every point on the line through any two before it; cost that
    grows ever slower lies below. The first line is from nothing to the first point.
    """
    spread = noise(points)
    errors = [0.0, *(spread * point.cpu * MEDIAN_SPREAD / math.sqrt(len(point.cpus)) for point in points)]
    return [_step([NOTHING, *points], errors, at) for at in range(2, len(points) + 1)]


class _Line(NamedTuple):
    """What a straight line through two points says of a later one."""

    through_work: bool  # neither of the two is NOTHING
    over: float  # by how many times its noise the point is above it
    ratio: float  # the point's CPU over the line's
    limit: float  # of that ratio


def _step(points: Sequence[Measured], errors: Sequence[float], at: int) -> Step:
    before, here = points[at - 1], points[at]
    lines = [_line(points, errors, first, second, at) for first, second in combinations(range(at), 2)]
    furthest = max(lines, key=lambda line: line.over)
    limits = [line.limit for line in lines if line.through_work or len(lines) == 1]
    return Step(
        marginal=(here.cpu - before.cpu) / (here.work - before.work),
        ratio=furthest.ratio,
        limit=furthest.limit,
        sharp=min(_flat(before, here, errors[at - 1], errors[at]), *limits),
    )


def _flat(before: Measured, here: Measured, error_before: float, error: float) -> float:
    """A line never falls: a point cannot be further above one than above the point before it."""
    return here.cpu / before.cpu * (1 + NOISE_TIMES * math.hypot(error / here.cpu, error_before / before.cpu))


def _line(points: Sequence[Measured], errors: Sequence[float], first: int, second: int, at: int) -> _Line:
    low, high, here = points[first], points[second], points[at]
    longer = (here.work - high.work) / (high.work - low.work)
    expected = high.cpu + max(0.0, high.cpu - low.cpu) * longer  # more work is never expected to cost less
    error = math.hypot(errors[at], errors[second] * (1 + longer), errors[first] * longer)
    over = (here.cpu - expected) / error if error else math.copysign(math.inf, here.cpu - expected)
    return _Line(low is not NOTHING, over, here.cpu / expected, 1 + NOISE_TIMES * error / expected)
