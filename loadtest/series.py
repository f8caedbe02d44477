"""What samples of a server say: rates between them, and how its memory grows.

Pure: readings are handed in. Must not know processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from loadtest.outcome import Sample

SETTLING_SHARE = 0.25  # of the run: until caches and pools are full, memory grows


class Reading(NamedTuple):
    """Counters of a server as they were read."""

    at_s: float
    messages: int
    cpu_s: float
    memory_KiB: int  # noqa: N815 - units last, as they are written


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
    """What comes after the first quarter of the time."""
    from_s = seen[-1].at_s * SETTLING_SHARE if seen else 0.0
    return [each for each in seen if each.at_s >= from_s]


def memory_slope_kib_per_h(seen: Sequence[Sample]) -> float | None:
    """Least squares over what is settled; nothing of fewer than three samples."""
    used = settled(seen)
    if len(used) < 3:
        return None
    mean_s = sum(each.at_s for each in used) / len(used)
    mean_kib = sum(each.memory_KiB for each in used) / len(used)
    spread = sum((each.at_s - mean_s) ** 2 for each in used)
    return 3600 * sum((each.at_s - mean_s) * (each.memory_KiB - mean_kib) for each in used) / spread


def memory_grown_kib(seen: Sequence[Sample]) -> int | None:
    """From the lowest to the highest of what is settled."""
    used = [each.memory_KiB for each in settled(seen)]
    return max(used) - min(used) if used else None
