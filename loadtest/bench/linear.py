"""Whether cost grows as the work does: a linear model of a server's CPU, and each step along an axis held against it.

Pure arithmetic. Must not know servers, clients or tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

# What noise and the kernel may add to one step. Six measurements of one point in two runs on a shared machine spread by
# 15 %, which moves a step by as much; and a system call has no one price: it costs more where the client sleeps between
# small bursts and has to be woken than where it is still reading. In those runs no step was above 1.35.
STEP_MAX: Final = 1.4
WEIGHT_CPU_FLOOR: Final = 0.002  # of a core: below it a point is noise, however small the difference
SWEEPS: Final = 20_000


class Work(NamedTuple):
    """What a server did, a second."""

    turns: float  # of the loop, in which something is due
    updates: float  # numbered, in all sequences
    sends: float  # system calls
    messages: float  # frames to subscribers
    bytes: float  # of their payload


class Model(NamedTuple):
    """Share of a core: `idle` + `turn_us` x turns/s + ... None of them is negative."""

    idle: float
    turn_us: float
    update_us: float
    send_us: float
    message_us: float
    byte_ns: float

    def fixed(self, work: Work) -> float:
        """What does not depend on how many receive it."""
        return self.idle + (self.turn_us * work.turns + self.update_us * work.updates) / 1e6

    def cpu(self, work: Work) -> float:
        received = self.send_us * work.sends + self.message_us * work.messages + self.byte_ns * work.bytes / 1e3
        return self.fixed(work) + received / 1e6


@dataclass(frozen=True)
class Measured:
    """One point: what was done, and the share of a core it took."""

    work: Work
    cpu: float


def fit(points: Sequence[Measured]) -> Model:
    """The model of the least relative errors, none of its terms negative, by coordinate descent."""
    rows = [(1.0, *(part / 1e6 for part in point.work[:-1]), point.work.bytes / 1e9) for point in points]
    weights = [(point.cpu + WEIGHT_CPU_FLOOR) ** -2 for point in points]
    terms = [0.0] * len(Model._fields)
    every = range(len(terms))
    squares = [[sum(w * row[i] * row[j] for w, row in zip(weights, rows, strict=True)) for j in every] for i in every]
    wanted = [sum(w * row[i] * p.cpu for w, row, p in zip(weights, rows, points, strict=True)) for i in every]
    for _ in range(SWEEPS):
        for i in every:
            if squares[i][i]:
                rest = sum(squares[i][j] * terms[j] for j in every if j != i)
                terms[i] = max(0.0, (wanted[i] - rest) / squares[i][i])
    return Model(*terms)


def steps(model: Model, points: Sequence[Measured]) -> list[float]:
    """For each point but the first: how many times more CPU grew from the point before than the model's did."""
    ratios = [point.cpu / model.cpu(point.work) for point in points]
    return [after / before for before, after in pairwise(ratios)]


def message_us(model: Model, point: Measured) -> float:
    """CPU a message, without what an update costs whoever receives it."""
    return (point.cpu - model.fixed(point.work)) / point.work.messages * 1e6
