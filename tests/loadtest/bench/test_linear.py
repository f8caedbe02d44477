"""The model finds what made points were made of, and only what grows faster than the work is a steep step."""

from __future__ import annotations

import random

import pytest

from loadtest.bench import linear
from loadtest.bench.linear import STEP_MAX, Measured, Model, Work

MODEL = Model(idle=0.004, turn_us=60.0, update_us=40.0, send_us=3.0, message_us=0.5, byte_ns=0.2)
WORKS = [
    *(Work(10, 10, 10 * n, 10 * n, 3_500 * n) for n in (10, 100, 1_000, 10_000)),
    *(Work(min(10 * n, 1_000), 10 * n, 10_000, 10_000, 3_500_000) for n in (10, 100, 1_000)),
    *(Work(5 * n, 5 * n, 100, 100 * n, 35_000 * n) for n in (10, 100, 1_000)),
    *(Work(10, 10, 10_000, 10_000, 10_000 * size) for size in (2_000, 20_000)),
    Work(0, 0, 0, 0, 0),
]


def made(model: Model = MODEL, noise: float = 0.0) -> list[Measured]:
    chance = random.Random(7)
    return [Measured(work, model.cpu(work) * (1 + noise * chance.uniform(-1, 1))) for work in WORKS]


def test_the_model_of_points_without_noise_is_what_made_them() -> None:
    assert linear.fit(made()) == pytest.approx(MODEL, rel=1e-3)


def test_no_term_is_negative() -> None:
    """Points that an unbounded fit would give a negative price of a system call."""
    cheaper = [Measured(w, MODEL.cpu(w) - 2e-6 * min(w.sends, 5_000)) for w in WORKS]
    assert min(linear.fit(cheaper)) >= 0


def test_linear_cost_with_noise_has_no_steep_step() -> None:
    points = made(noise=0.1)
    model = linear.fit(points)
    assert max(linear.steps(model, points[:4])) < STEP_MAX


def test_what_grows_faster_than_the_work_is_steep() -> None:
    """Each message costs twice as much with ten times the subscribers, as a search through them might."""
    points = made()
    points[:4] = [Measured(p.work, p.cpu + p.work.messages * 3.5e-6 * (2**at - 1)) for at, p in enumerate(points[:4])]
    model = linear.fit(points)
    assert max(linear.steps(model, points[:4])) > STEP_MAX


def test_a_message_costs_what_is_left_without_its_update() -> None:
    point = Measured(Work(50, 100, 1_000, 1_000, 0), MODEL.idle + 50 * 60e-6 + 100 * 40e-6 + 1_000 * 3.5e-6)
    assert linear.message_us(MODEL, point) == pytest.approx(3.5)
