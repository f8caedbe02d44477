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


class Excuse(NamedTuple):
    """The time of a fault and of recovering from it, in which streams need not be live."""

    from_s: float
    until_s: float

    def covers(self, at_s: float) -> bool:
        return self.from_s <= at_s <= self.until_s


def excuses(slots: Sequence[Slot], injected: Sequence[Injected]) -> list[Excuse]:
    """One for each fault that breaks streams: while it lasts, and after it until every stream has had an update from
    after it, but no longer than `RECOVERY_S`."""
    made = []
    for fault in injected:
        after = (slot.at_s for slot in slots if slot.at_s >= fault.until_s and slot.oldest_s >= fault.until_s)
        if fault.breaks:
            made.append(Excuse(fault.from_s, min(next(after, math.inf), fault.until_s + RECOVERY_S)))
    return made


def share_up(slots: Sequence[Slot], injected: Sequence[Injected]) -> float:
    """Of the pieces of time with an answer and live streams, or with an answer and an excuse. 0 of nothing."""
    excused = excuses(slots, injected)
    up = sum(slot.answered and (slot.live or _covered(slot.at_s, excused)) for slot in slots)
    return up / len(slots) if slots else 0.0


def share_excused(slots: Sequence[Slot], injected: Sequence[Injected]) -> float:
    """Of the pieces of time in which live streams were not asked for. All of nothing."""
    excused = excuses(slots, injected)
    return sum(_covered(slot.at_s, excused) for slot in slots) / len(slots) if slots else 1.0


def _covered(at_s: float, excused: Sequence[Excuse]) -> bool:
    return any(excuse.covers(at_s) for excuse in excused)


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
    """Gaps that no fault explains: one that breaks streams explains all while it lasts, and soon after it one of each
    stream."""
    breaks = [fault for fault in injected if fault.breaks]
    lasting = [Excuse(fault.from_s, fault.until_s) for fault in breaks]
    after = [Excuse(fault.until_s, fault.until_s + RECOVERY_S) for fault in breaks]
    told: set[tuple[str, Excuse]] = set()
    unexplained = 0
    for gap in sorted(gaps):
        if _covered(gap.at_s, lasting):
            continue
        free = (each for each in after if each.covers(gap.at_s) and (gap.stream, each) not in told)
        if (by := next(free, None)) is None:
            unexplained += 1
        else:
            told.add((gap.stream, by))
    return unexplained
