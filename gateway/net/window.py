"""How much of one worker's socket is on its way there: the worker confirms marks, and too much unconfirmed has to wait.

A worker says when a socket takes no more, but what is told to it before that is heard would gather there, where nobody
who tells it sees that it waits. Holds counts of bytes. Pure; must not know links or sockets.
"""

from __future__ import annotations


class Window:
    """At most one mark is under way. It goes behind more than half a window, so that it is mostly confirmed before the
    window is full: only who is told more than that in one round trip waits for it."""

    __slots__ = ("_behind", "_marked", "_size")

    def __init__(self, size: int) -> None:
        """`size` in bytes; what is on its way may be more by the write that fills it."""
        self._size = size
        self._marked = 0  # in front of the mark that is under way; 0: none is
        self._behind = 0  # the mark, or all there is without one

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be sent until a mark is confirmed; one is under way then."""
        return self._marked + self._behind > self._size

    def sent(self, count: int) -> bool:
        """So many bytes more; True: a mark goes behind them."""
        self._behind += count
        return not self._marked and self._marks()

    def confirmed(self) -> bool:
        """All in front of the mark is with the socket, or little waits for it; True: the next mark goes now."""
        self._marked = 0
        return self._marks()

    def _marks(self) -> bool:
        if self._behind <= self._size // 2:
            return False
        self._marked, self._behind = self._behind, 0
        return True
