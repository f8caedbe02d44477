"""What was seen of each axis, kept from run to run, so that axes may be measured one at a time on one machine.

Holds one file. Must not know how an axis is measured or shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def merged(fresh: Sequence[Kept], say: Callable[[str], None] = lambda text: None) -> list[Kept]:
    """Each axis as it was measured last, in their order; those measured now replace what was kept of this machine.

    What was kept by another version, of an axis that has other points now, or on another machine than the newest, is
    left out, which is said, and stays where it is kept.
    """
    path = tools.results_folder() / NAME
    try:
        former = msgspec.json.decode(path.read_bytes(), type=list[Kept]) if path.exists() else []
    except msgspec.DecodeError:  # of another version: what it holds cannot be shown beside ours
        former = []
        say(f"{path} is of another version: left out, and kept as {path.replace(path.with_suffix('.former'))}")
    newest = fresh[-1] if fresh else max(former, key=lambda kept: kept.machine.date, default=None)
    by_name = {
        kept.grown.name: kept for kept in (*former, *fresh) if newest and are_alike(kept.machine, newest.machine)
    }
    every = [
        by_name[axis.name]
        for axis in AXES
        if axis.name in by_name and tuple(row.point for row in by_name[axis.name].grown.rows) == axis.points
    ]
    former = [kept for kept in former if not any(_replaces(each, kept) for each in fresh)]
    for kept in (*former, *fresh):
        if not any(kept is each for each in every):
            say(
                f"left out of what was kept: {kept.grown.name}, of {kept.machine.date}: other points or another machine"
            )
    path.write_bytes(msgspec.json.encode([*former, *fresh]))
    return every


def _replaces(one: Kept, other: Kept) -> bool:
    return one.grown.name == other.grown.name and are_alike(one.machine, other.machine)


def are_alike(one: Machine, other: Machine) -> bool:
    """The same hardware, kernel and versions: all but when it was used, for which revision, and how busy it was."""
    return all(getattr(one, name) == getattr(other, name) for name in ALIKE)


def others_than_newest(kept: Sequence[Kept]) -> list[Kept]:
    """Axes that were measured on another day than the newest one, or of another revision."""
    newest = max(kept, key=lambda each: each.machine.date).machine
    return [each for each in kept if (_day(each.machine), each.machine.revision) != (_day(newest), newest.revision)]


def _day(machine: Machine) -> str:
    return machine.date.partition(" ")[0]
