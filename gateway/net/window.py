"""How much of one worker's socket is on its way there: the worker confirms marks, and too much unconfirmed has to wait.

Without it what is said to a slow client would gather in its worker, where nobody who says it sees that it waits. Holds
counts of bytes. Pure; must not know links or sockets.
"""

from __future__ import annotations


class Window:
    """At most one mark is under way, behind the first half of a window: who reads on never waits for a confirmation."""

    __slots__ = ("_ahead", "_marked", "_size")

    def __init__(self, size: int) -> None:
        """`size` in bytes; a single write may be more."""
        self._size = size
        self._marked = 0  # in front of the mark that is under way
        self._ahead = 0  # behind it

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be sent until a mark is confirmed; one is under way then."""
        return self._marked + self._ahead > self._size

    def sent(self, count: int) -> bool:
        """So many bytes more; True: a mark goes behind them."""
        self._ahead += count
        return not self._marked and self._marks()

    def confirmed(self) -> bool:
        """All in front of the mark has room where it is; True: the next one goes now."""
        self._marked = 0
        return self._marks()

    def _marks(self) -> bool:
        if self._ahead <= self._size // 2:
            return False
        self._marked, self._ahead = self._ahead, 0
        return True
