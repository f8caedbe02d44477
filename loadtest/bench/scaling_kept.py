"""What was seen of each axis, kept from run to run, so that axes may be measured one at a time.

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


@dataclass(frozen=True)
class Kept:
    """An axis, and where, when and how it was measured."""

    grown: Grown
    machine: Machine
    command: str


def merged(fresh: Sequence[Kept]) -> list[Kept]:
    """Each axis as it was measured last, in their order; those measured now replace what was kept, and are kept.

    What was kept by another version, or of an axis that has other points now, is left out.
    """
    path = tools.results_folder() / NAME
    try:
        former = msgspec.json.decode(path.read_bytes(), type=list[Kept]) if path.exists() else []
    except msgspec.DecodeError:  # of another version: what it holds cannot be shown beside ours
        former = []
    by_name = {kept.grown.name: kept for kept in (*former, *fresh)}
    every = [
        by_name[axis.name]
        for axis in AXES
        if axis.name in by_name and tuple(row.point for row in by_name[axis.name].grown.rows) == axis.points
    ]
    path.write_bytes(msgspec.json.encode(every))
    return every
