"""Conflation: what waits between two ticks of a throttled lane, and the metronome that says when a tick is due.

Holds accumulators and time arithmetic; the time is passed in. Must not know sockets, subscribers or JSON's insides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from _speedups.book import Changes

GRID_S = 0.005  # due times are rounded up to this, so that lanes that tick together leave in one write a socket


class Item(msgspec.Struct, frozen=True, gc=False):
    """One update on its way to a stream: `data` is finished JSON, or the changes of a book."""

    data: bytes | Changes
    t_ex: int | None  # ms
    t_in: int  # ns
    final: bool = False  # must not be replaced by a later one: a closed bar


class Pending(Protocol):
    """What gathers in an interval."""

    def put(self, item: Item) -> None: ...
    def drain(self) -> list[Item]: ...
    def __len__(self) -> int: ...


class Newest:
    """State channels: the newest item, and every final one before it."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def put(self, item: Item) -> None:
        if self._items and not self._items[-1].final:
            self._items[-1] = item
        else:
            self._items.append(item)

    def drain(self) -> list[Item]:
        items, self._items = self._items, []
        return items

    def __len__(self) -> int:
        return len(self._items)


class Every(Newest):
    """Append channels: all items, in order."""

    def put(self, item: Item) -> None:
        self._items.append(item)


class Levels(Newest):
    """Books: the touched levels, each with its newest size."""

    def put(self, item: Item) -> None:
        if self._items:
            touched = self._items[0].data
            assert isinstance(touched, Changes)
            assert isinstance(item.data, Changes)
            self._items[0] = Item(touched.merged(item.data), item.t_ex, item.t_in)
        else:
            self._items.append(item)


class Metronome:
    """Calls lanes when they are due, with one timer for all that are due in the same step."""

    def __init__(self, call_at: Callable[[float, Callable[[], None]], object]) -> None:
        self._call_at = call_at
        self._due: dict[int, list[Callable[[float], None]]] = {}

    def at(self, due_s: float, tick: Callable[[float], None]) -> None:
        """Call `tick(now)` at `due_s` or up to one grid step later."""
        step = math.ceil(due_s / GRID_S - 1e-6)  # a time on the grid stays there, whatever floats make of it
        if step not in self._due:
            self._due[step] = []
            self._call_at(step * GRID_S, partial(self._fire, step))
        self._due[step].append(tick)

    def _fire(self, step: int) -> None:
        for tick in self._due.pop(step):
            tick(step * GRID_S)
