"""Who is connected, in whatever dialect: counted, told of a shutdown, and closed.

Holds the open sessions of a process, and what all of them share. Must not know a dialect, requests, or how a socket is
accepted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.limits import Limits
    from gateway.net.record import Record
    from gateway.stats import Tally

CLOSE_SPACING_S: Final = 0.001  # between two closes of a shutdown


class Session(Protocol):
    """One connection, from when it is open until its socket is gone."""

    @property
    def subscriptions(self) -> int: ...
    @property
    def principal(self) -> Principal | None:
        """Whom it speaks for, with what they may do by now; None: nobody in particular."""

    def announce_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> None:
        """Say that the gateway goes."""

    def close(self, code: int, reason: str) -> None: ...


class Sessions:
    """The sessions of one process."""

    def __init__(self, limits: Limits, tally: Tally) -> None:
        self.limits = limits
        self.tally = tally
        self.open: set[Session] = set()
        self.record: Record | None = None  # where there is a database
        self._emptied = asyncio.Event()

    def connections(self) -> int:
        return len(self.open)

    def subscriptions(self) -> int:
        """Streams over all connections."""
        return sum(session.subscriptions for session in self.open)

    def enter(self, session: Session) -> None:
        """Its connection is open."""
        self.open.add(session)

    def forget(self, session: Session) -> None:
        """Its connection is gone, or somebody else's now."""
        self.open.discard(session)
        if not self.open:
            self._emptied.set()

    def announce_shutdown(self, reconnect_after_ms: int) -> None:
        """Tell every client how long it has, and when to come back."""
        for session in self.open:
            session.announce_shutdown(self.limits.drain_ms, reconnect_after_ms)

    async def close_all(self, code: int, reason: str, span_s: float) -> None:
        """Close every session, spread over `span_s` at most: reconnects arrive as a stream, not as a wave."""
        loop = asyncio.get_running_loop()
        sessions = list(self.open)
        begun_s = loop.time()
        pause_s = min(CLOSE_SPACING_S, span_s / max(1, len(sessions)))
        for number, session in enumerate(sessions):
            wait_s = begun_s + pause_s * number - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            session.close(code, reason)

    async def emptied_within(self, timeout_s: float) -> bool:
        """Wait until the last session has ended; False when that takes too long."""
        if self.open:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), max(0.0, timeout_s))
            except TimeoutError:
                return False
        return True
