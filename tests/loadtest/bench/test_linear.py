"""What is straight passes in spite of noise and fixed cost; what bends or steps up is told, and what noise hides is
not passed. Every axis here is made from a seed of its own: the same in each run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

import pytest

from loadtest.bench import linear
from loadtest.bench.linear import SHARP_MAX, Measured, Step

Law = Callable[[float], float]
DECADES: Final = (100.0, 1_000.0, 10_000.0, 30_000.0, 100_000.0)  # messages/s of the subscribers' axis
SPREAD: Final = 0.07  # of one measurement, and one in ten is disturbed: as on a machine that is shared
TIMES: Final = 9
UNIT: Final = 7e-6
MADE: Final = 200


def axis(law: Law, seed: int, *, works: tuple[float, ...] = DECADES, spread: float = SPREAD) -> list[Measured]:
    chance = random.Random(seed)

    def once(work: float) -> float:
        disturbed = 1 + 0.4 * chance.random() if chance.random() < 0.1 else 1.0
        return law(work) * math.exp(chance.gauss(0, spread)) * disturbed

    return [Measured(work, tuple(once(work) for _ in range(TIMES))) for work in works]


def share(law: Law, told: Callable[[Step], bool] = lambda step: step.above) -> float:
    """Of axes made by a law, how many have a step of which that is so."""
    return sum(any(map(told, linear.steps(axis(law, seed)))) for seed in range(MADE)) / MADE


STRAIGHT: Final[dict[str, Law]] = {
    "nothing fixed": lambda work: UNIT * work,
    "a fixed cost": lambda work: 0.004 + UNIT * work,
    "mostly fixed": lambda work: 0.2 + UNIT / 4 * work,
    "ever slower": lambda work: 0.004 + 3 * UNIT * work**0.9,
}
ABOVE: Final[dict[str, Law]] = {
    "n log n": lambda work: 0.004 + UNIT * work * math.log(work) / math.log(1e5),
    "n^1.2": lambda work: 0.004 + UNIT * work * (work / 1e5) ** 0.2,
    "a square in it": lambda work: 0.004 + UNIT * work * (1 + work / 1e5),
    "half more from 3,000 on": lambda work: 0.004 + UNIT * work * (1.5 if work > 3_000 else 1.0),
    "half more at the end": lambda work: 0.004 + UNIT * work * (1.5 if work > 30_000 else 1.0),
}


@pytest.mark.parametrize("name", STRAIGHT)
def test_what_is_straight_is_not_called_steep(name: str) -> None:
    assert share(STRAIGHT[name]) <= 0.01


@pytest.mark.parametrize("name", ABOVE)
def test_what_grows_faster_than_the_work_is_told(name: str) -> None:
    assert share(ABOVE[name]) >= 0.9


@pytest.mark.parametrize("name", ABOVE)
def test_without_noise_the_least_bend_is_told(name: str) -> None:
    assert any(step.above for step in linear.steps(axis(ABOVE[name], 1, spread=1e-4)[:5]))


def test_what_is_straight_without_noise_is_exactly_on_its_line() -> None:
    points = [Measured(work, (STRAIGHT["a fixed cost"](work),)) for work in DECADES]
    second, *others = linear.steps(points)
    assert second.ratio < 1  # what is fixed is in its favour: its line begins at nothing
    assert [step.ratio for step in others] == pytest.approx([1.0] * 3)
    assert [step.marginal for step in (second, *others)] == pytest.approx([UNIT] * 4)


def test_a_slow_bend_over_the_whole_axis_is_told_though_every_step_is_near_its_neighbour() -> None:
    """Each step costs 4 % more than the one before: only the lines from afar are left behind."""
    cpu, points = 0.01, []
    for at in range(9):
        points.append(Measured(1_000.0 * (at + 1), (cpu * 0.99, cpu, cpu * 1.01)))
        cpu += 0.01 * 1.04**at
    near = [linear.steps(points[at - 3 : at])[-1].ratio for at in range(4, 10)]
    assert max(near) < linear.steps(points)[-1].limit
    assert linear.steps(points)[-1].above


def test_what_hardly_grows_hides_nothing_however_far_its_line_reaches() -> None:
    points = [Measured(work, (cpu * 0.99, cpu, cpu * 1.01)) for work, cpu in ((1, 0.1), (2, 0.101), (40, 0.11))]
    step = linear.steps(points)[-1]
    assert step.limit > SHARP_MAX > step.sharp
    assert not step.above
    assert not step.undecided


def test_what_noise_could_hide_is_undecided_and_not_passed() -> None:
    noisy = linear.steps(axis(STRAIGHT["a fixed cost"], 3, spread=0.3))
    assert any(step.undecided for step in noisy)
    assert noisy[-1].sharp > SHARP_MAX
    assert share(STRAIGHT["a fixed cost"], lambda step: step.undecided) <= 0.05


def test_noise_is_what_measurements_of_a_point_are_apart_whatever_their_size() -> None:
    points = axis(lambda work: UNIT * work, 5, works=tuple(float(n) for n in range(1, 41)))
    assert linear.noise(points) == pytest.approx(SPREAD, rel=0.3)  # a tenth disturbed hardly adds
    assert linear.noise([Measured(1.0, (0.5,)), Measured(2.0, (1.0,))]) == 0.0


def test_one_disturbed_measurement_moves_neither_a_point_nor_the_noise() -> None:
    calm = [Measured(work, (UNIT * work * 0.98, UNIT * work, UNIT * work * 1.02)) for work in DECADES]
    hit = [*calm[:-1], Measured(calm[-1].work, (*calm[-1].cpus[:2], 10 * calm[-1].cpu))]
    assert hit[-1].cpu == calm[-1].cpu
    assert linear.noise(hit) < 2 * linear.noise(calm)
    assert not linear.steps(hit)[-1].above


def test_a_dip_is_not_taken_for_what_more_work_costs() -> None:
    """Where more work seemed to cost less, the next point is held against what the dip cost, not against less still."""
    dipped = [Measured(1.0, (0.10,)), Measured(2.0, (0.09,)), Measured(3.0, (0.09,))]
    assert linear.steps(dipped)[-1].ratio == pytest.approx(1.0)
