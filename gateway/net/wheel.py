"""Deadlines of many things with one timer: each is in one slot, and a slot is looked at when its time has come.

A timer handle per connection would cost more memory than the rest of an idle one. Pure: the time is always passed in.
Must not know what a deadline means.
"""

from __future__ import annotations

from typing import Protocol

TICK_S = 0.25  # how late a deadline may be noticed


class Timed(Protocol):
    """Something with one deadline."""

    due_tick: int
    """The wheel's own note of where the thing is; -1 when it has no deadline."""

    def on_due(self, now_s: float) -> None:
        """The deadline has passed. May set a new one."""


class Wheel:
    """Slots by tick. Setting, moving and cancelling a deadline cost one set operation each."""

    __slots__ = ("_slots", "_tick")

    def __init__(self, now_s: float) -> None:
        self._tick = int(now_s / TICK_S)
        self._slots: dict[int, set[Timed]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def schedule(self, item: Timed, at_s: float) -> None:
        """Set or move the item's deadline."""
        self.cancel(item)
        item.due_tick = max(int(at_s / TICK_S), self._tick) + 1
        self._slots.setdefault(item.due_tick, set()).add(item)

    def cancel(self, item: Timed) -> None:
        """Forget the item's deadline, if it has one."""
        slot = self._slots.get(item.due_tick)
        if slot is not None:
            slot.discard(item)
            if not slot:
                del self._slots[item.due_tick]
        item.due_tick = -1

    def advance(self, now_s: float) -> None:
        """Tell every item whose deadline has passed."""
        until = int(now_s / TICK_S)
        while self._tick < until:
            self._tick += 1
            slot = self._slots.get(self._tick)
            while slot:
                item = slot.pop()
                item.due_tick = -1
                item.on_due(now_s)
            self._slots.pop(self._tick, None)
