"""What samples of a server say: rates between them, and how its memory grows.

Pure: readings are handed in. Must not know processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import NamedTuple

from loadtest.outcome import Sample

PARTS = 12
STUDENT_T = 2.764  # one-sided 99 %, of the PARTS - 1 changes: one run in a hundred without a leak seems to have one
SETTLING_SHARE = 0.25  # of the run: until rings, caches and pools are full, memory grows
SETTLING_S = 180.0  # at the rates of a soak


class Reading(NamedTuple):
    """Counters of a server as they were read."""

    at_s: float
    messages: int
    cpu_s: float
    memory_KiB: int  # noqa: N815 - units last, as they are written
    sends: int = 0  # system calls, of a server that tells them


def samples(readings: Sequence[Reading]) -> list[Sample]:
    """One for each reading but the first, its rates since the one before; times are since the first."""
    return [
        Sample(
            at_s=now.at_s - readings[0].at_s,
            messages_per_s=(now.messages - former.messages) / (now.at_s - former.at_s),
            cpu_share=(now.cpu_s - former.cpu_s) / (now.at_s - former.at_s),
            memory_KiB=now.memory_KiB,
        )
        for former, now in pairwise(readings)
    ]


def settled(seen: Sequence[Sample]) -> Sequence[Sample]:
    """What comes after the first quarter of the time, or after three minutes of what is not much longer."""
    whole_s = seen[-1].at_s if seen else 0.0
    from_s = max(whole_s * SETTLING_SHARE, SETTLING_S if whole_s >= SETTLING_S / (1 - SETTLING_SHARE) else 0.0)
    return [each for each in seen if each.at_s >= from_s]


class Slope(NamedTuple):
    """How memory grows, and how far off that may be by chance: one standard error."""

    kib_per_h: float
    error_kib_per_h: float


def memory_slope(seen: Sequence[Sample]) -> Slope | None:
    """The mean change from one of equal parts of what is settled to the next; nothing of fewer samples than parts.

    An allocator takes and gives back pieces and keeps them: each part begins where the one before has ended, and what
    chance does is done to the changes. A line through the parts takes a single step for a slope that is certain; of
    the changes it is one among many that are none. Where memory does vary around a level, changes alternate, and the
    error is larger than it need be.
    """
    used = settled(seen)
    if len(used) < PARTS:
        return None
    parts = [used[len(used) * n // PARTS : len(used) * (n + 1) // PARTS] for n in range(PARTS)]
    at_s = [fmean(each.at_s for each in part) for part in parts]
    changes = [now - former for former, now in pairwise(fmean(each.memory_KiB for each in part) for part in parts)]
    return slope_of(changes, part_h=(at_s[-1] - at_s[0]) / len(changes) / 3600)


def slope_of(changes_kib: Sequence[float], part_h: float) -> Slope:
    """Of the changes between parts of that length: their mean, and the error of it."""
    error_kib = stdev(changes_kib) / math.sqrt(len(changes_kib))
    return Slope(fmean(changes_kib) / part_h, error_kib / part_h)


def memory_slope_beyond_noise_kib_per_h(slope: Slope | None) -> float | None:
    """What of the slope chance does not explain, to 99 %; 0 when it may be all chance. Memory given back is no leak,
    and counts as 0, too."""
    return None if slope is None else max(0.0, slope.kib_per_h - STUDENT_T * slope.error_kib_per_h)


def leak_kib_per_h(seen: Sequence[Sample]) -> float | None:
    """The slope beyond its noise, of a run that is long enough for its memory to settle; of others nothing is known."""
    return memory_slope_beyond_noise_kib_per_h(memory_slope(seen)) if _is_long(seen) else None


def leak_seen_kib_per_h(seen: Sequence[Sample]) -> float | None:
    """The leak that 99 of 100 such runs would have shown: so far above what may be chance that chance does not hide
    it. A run without a slope proves no more than that there is none as large."""
    slope = memory_slope(seen) if _is_long(seen) else None
    return None if slope is None else 2 * STUDENT_T * slope.error_kib_per_h


def _is_long(seen: Sequence[Sample]) -> bool:
    return bool(seen) and seen[-1].at_s >= SETTLING_S / (1 - SETTLING_SHARE)


def memory_grown_kib(seen: Sequence[Sample]) -> int | None:
    """From the lowest to the highest of what is settled."""
    used = [each.memory_KiB for each in settled(seen)]
    return max(used) - min(used) if used else None
