"""What is told of connections to whoever keeps that: as they are now, at most once a second each, and at their end.

Holds which ones have changed. Must not know a dialect, nor a database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.net.addresses import network_of

if TYPE_CHECKING:
    from gateway.core.private import Register


TOLD_PER_TURN: Final = 16  # of thousands that came in one second: as many as are let in in a turn, for 0.3 ms


class Kept(NamedTuple):
    """What a connection is subscribed to: (channel, name, timeframe, throttle_ms), and what brings it back."""

    streams: Iterable[tuple[str, str, str, int]] = ()
    body: bytes = b"[]"


class Recorded(Protocol):
    """A session, as far as it is told of."""

    @property
    def id(self) -> str: ...
    @property
    def dialect(self) -> str: ...
    @property
    def owner(self) -> int | None: ...
    @property
    def peer(self) -> str: ...
    @property
    def opened_ns(self) -> int: ...
    def subscribed(self) -> Kept: ...


class Record:
    """Of one process."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._changed: dict[Recorded, None] = {}
        self._due: dict[Recorded, None] = {}  # of the last tick, not told yet

    def touch(self, session: Recorded) -> None:
        """Something of it has changed, or it is new."""
        self._changed[session] = None

    def closed(self, session: Recorded, code: int, subscribed: Kept) -> None:
        """Its connection is gone; `subscribed`: what it was subscribed to."""
        self._changed.pop(session, None)
        self._due.pop(session, None)
        self._tell(session, subscribed, time.time_ns(), code)

    def tick(self) -> None:
        """Once a second: tell what has changed, a slice in each turn of the loop."""
        is_idle = not self._due
        self._due |= self._changed
        self._changed = {}
        if is_idle:
            self._tell_some()

    def _tell_some(self) -> None:
        try:
            for _ in range(min(TOLD_PER_TURN, len(self._due))):
                session, _ = self._due.popitem()
                self._tell(session, session.subscribed(), None, None)
        finally:  # one of whom it cannot be told does not keep the others from it
            if self._due:
                asyncio.get_running_loop().call_soon(self._tell_some)

    def _tell(self, session: Recorded, subscribed: Kept, closed_ns: int | None, code: int | None) -> None:
        self._register.told(
            session.id,
            dialect=session.dialect,
            api_key_id=session.owner,
            peer=network_of(session.peer),
            opened_ns=session.opened_ns,
            closed_ns=closed_ns,
            close_code=code,
            body=subscribed.body,
            streams=subscribed.streams,
        )
