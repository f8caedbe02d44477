"""What was seen of each axis, kept from run to run, so that axes may be measured one at a time on one machine.

Holds one file. Must not know how an axis is measured or shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from loadtest.bench import tools
from loadtest.bench.machine import Machine
from loadtest.bench.scaling import AXES, Grown

NAME: Final = "scaling.json"
ALIKE: Final = ("cores", "cpu", "memory_GiB", "kernel", "python", "versions")


@dataclass(frozen=True)
class Kept:
    """An axis, and where, when and how it was measured."""

    grown: Grown
    machine: Machine
    command: str


def merged(fresh: Sequence[Kept]) -> list[Kept]:
    """Each axis as it was measured last, in their order; those measured now replace what was kept, and are kept.

    What was kept by another version, of an axis that has other points now, or on another machine than the newest, is
    left out.
    """
    path = tools.results_folder() / NAME
    try:
        former = msgspec.json.decode(path.read_bytes(), type=list[Kept]) if path.exists() else []
    except msgspec.DecodeError:  # of another version: what it holds cannot be shown beside ours
        former = []
    newest = fresh[-1] if fresh else max(former, key=lambda kept: kept.machine.date, default=None)
    by_name = {
        kept.grown.name: kept for kept in (*former, *fresh) if newest and are_alike(kept.machine, newest.machine)
    }
    every = [
        by_name[axis.name]
        for axis in AXES
        if axis.name in by_name and tuple(row.point for row in by_name[axis.name].grown.rows) == axis.points
    ]
    path.write_bytes(msgspec.json.encode(every))
    return every


def are_alike(one: Machine, other: Machine) -> bool:
    """The same hardware, kernel and versions: all but when it was used, for which revision, and how busy it was."""
    return all(getattr(one, name) == getattr(other, name) for name in ALIKE)


def others_than_newest(kept: Sequence[Kept]) -> list[Kept]:
    """Axes that were measured on another day than the newest one, or of another revision."""
    newest = max(kept, key=lambda each: each.machine.date).machine
    return [each for each in kept if (_day(each.machine), each.machine.revision) != (_day(newest), newest.revision)]


def _day(machine: Machine) -> str:
    return machine.date.partition(" ")[0]
