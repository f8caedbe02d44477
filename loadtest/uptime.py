"""What a probe saw of a service, held against the faults that were injected: uptime, recovery, what was announced.

Pure: what was seen and injected is handed in. Must not know sockets, nor how faults are made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from loadtest.unrest import Injected

LIVE_WITHIN_S = 3.0  # without an update for so long a stream is not live
RECOVERY_S = 8.0  # after a fault, for the gateway to connect again (its pauses double) and streams to flow


class Slot(NamedTuple):
    """A piece of time, of the wall clock: whether a request was answered, and since when no stream is older."""

    at_s: float
    answered: bool
    oldest_s: float  # the newest update of the stream whose newest is oldest

    @property
    def live(self) -> bool:
        return self.at_s - self.oldest_s <= LIVE_WITHIN_S


class Announced(NamedTuple):
    """A gap that a probe was told."""

    at_s: float
    stream: str
    reason: str


def share_up(slots: Sequence[Slot], injected: Sequence[Injected]) -> float:
    """Of the pieces of time outside of faults and of what is allowed to recover from them; of the others an answer is
    wanted all the same. 0 of nothing."""
    up = sum(slot.answered and (slot.live or _within(slot.at_s, injected)) for slot in slots)
    return up / len(slots) if slots else 0.0


def _within(at_s: float, injected: Sequence[Injected]) -> bool:
    return any(fault.from_s <= at_s <= fault.until_s + RECOVERY_S for fault in injected)


def recovery_max_s(slots: Sequence[Slot], injected: Sequence[Injected]) -> float | None:
    """The longest from the end of a fault until every stream had an update from after it; infinite where one had none
    before the next fault. None without faults."""
    longest = None
    for number, fault in enumerate(injected):
        ends_s = injected[number + 1].from_s if number + 1 < len(injected) else math.inf
        after = (slot for slot in slots if fault.until_s <= slot.at_s < ends_s)
        back_s = next((slot.at_s for slot in after if slot.answered and slot.oldest_s >= fault.until_s), math.inf)
        longest = max(longest or 0.0, back_s - fault.until_s)
    return longest


def unannounced(injected: Sequence[Injected], gaps: Sequence[Announced], streams: Collection[str]) -> list[Injected]:
    """The faults that broke streams, and of which not every stream was told while they lasted or soon after."""
    missed = []
    for fault in injected:
        told = {gap.stream for gap in gaps if fault.from_s <= gap.at_s <= fault.until_s + RECOVERY_S}
        if fault.breaks and not told >= set(streams):
            missed.append(fault)
    return missed


def outside(injected: Sequence[Injected], gaps: Sequence[Announced]) -> int:
    """Gaps that no fault explains."""
    return sum(not _within(gap.at_s, injected) for gap in gaps)
