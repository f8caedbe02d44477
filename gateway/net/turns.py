"""Work that comes by the thousand, done so much of it in a turn of the loop: updates do not wait behind all of it.

Holds the order and the count. Must not know what is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """The first `per_turn` calls of a turn are made at once, the others in the turns that follow, in their order."""

    __slots__ = ("_made", "_per_turn", "_waiting")

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._made = 0  # in this turn; the next one is asked for as long as it is not 0
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def call(self, work: Callable[[], None]) -> None:
        """`work` must not raise."""
        if self._made == 0:
            asyncio.get_running_loop().call_soon(self._next)
        if self._made < self._per_turn:
            self._made += 1
            work()
        else:
            self._waiting.append(work)

    def _next(self) -> None:
        self._made = 0
        while self._waiting and self._made < self._per_turn:
            self._made += 1
            self._waiting.popleft()()
        if self._made:
            asyncio.get_running_loop().call_soon(self._next)
