"""Which dialect a connection speaks: by its path, its handshake, its first frame, or its silence.

Holds the rules (docs/protocol.md, "Which dialect"), and what becomes of a connection until one of them has decided.
Must not know what a dialect says: it is handed the connection, and nobody has said anything on it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from gateway.auth import take_credential
from gateway.errors import Close
from gateway.net.head import Refusal
from gateway.wire.stream import STREAM_PATH

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.net.connection import Connection, Handler
    from gateway.net.guard import Guard, Guards
    from gateway.net.head import Head
    from gateway.net.sessions import Sessions

SHARED_PATH: Final = "/ws"
ACCOUNT_PATH: Final = "/ws/account/"  # and the account's number or reference


class Name(StrEnum):
    STREAM = "stream"
    OMS = "oms"
    ACCOUNT = "account"
    DASHBOARD = "dashboard"


# How a refusal is told when the upgrade is done.
CLOSE_OF: Final = {429: Close.TOO_MANY_CONNECTIONS}

# What a client of the shared path offers to name the dialect itself.
SUBPROTOCOLS: Final = {"tickwire.oms": Name.OMS, "tickwire.dashboard": Name.DASHBOARD}


class Dialect(Protocol):
    """What is spoken on a connection."""

    @property
    def name(self) -> str:
        """One of `Name`."""

    @property
    def subprotocol(self) -> str | None:
        """What a client may offer in its handshake, and is answered."""

    def session(self, guard: Guard | None, head: Head) -> Handler | Refusal:
        """The handler of a new connection, or why there is none; credentials have been looked at, and taken out.

        `guard`: whom it speaks for; None where there are no users. `head` is not to be kept.
        """


def by_handshake(head: Head) -> Name | Refusal | None:
    """The dialect that a handshake names, before credentials are taken out of it; None: its first frame will."""
    if head.path == STREAM_PATH:
        return Name.STREAM
    if head.path.startswith(ACCOUNT_PATH) and len(head.path) > len(ACCOUNT_PATH):
        return Name.ACCOUNT
    if head.path != SHARED_PATH:
        return Refusal(404, "unsupported_action", f"no such path; market data is at {STREAM_PATH}")
    offered = head.tokens("Sec-WebSocket-Protocol")
    named = next((SUBPROTOCOLS[each] for each in offered if each in SUBPROTOCOLS), None)
    if named is not None:
        return named
    if "x-api-key" in head.headers or "authorization" in head.headers:
        return Name.OMS
    return Name.DASHBOARD if "client_id" in head.query else None


def by_frame(data: str | bytes) -> Name:
    """The dialect that a first frame is of; one that is of none is the dashboard's to refuse, as silence is its own."""
    try:
        message: Any = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Name.DASHBOARD
    return Name.OMS if isinstance(message, dict) and "action" in message else Name.DASHBOARD


class Dialects:
    """The dialects that this process speaks. One that it does not is refused, wherever it turns out to be meant."""

    def __init__(self, spoken: Iterable[Dialect], sessions: Sessions, guards: Guards | None) -> None:
        """Without guards there are no users, and everything is for everybody."""
        self.sessions = sessions
        self._spoken = {dialect.name: dialect for dialect in spoken}
        self._guards = guards

    def route(self, head: Head) -> Handler | Refusal:
        """Who answers on a new connection, or why nobody does."""
        named = by_handshake(head)
        if isinstance(named, Refusal):
            return named
        dialect = None if named is None else self._spoken.get(named)
        if named is not None and dialect is None:
            return _unspoken(named)
        guard, subprotocol = None, None if dialect is None else dialect.subprotocol
        if self._guards is None:
            take_credential(head, subprotocol)  # which opens nothing here, and is nobody's to keep
        else:
            admitted = self._guards.admit(head, subprotocol)
            if isinstance(admitted, Refusal):
                return admitted
            guard = admitted
        return Undecided(self, guard, head) if dialect is None else dialect.session(guard, head)

    def session(self, name: Name, guard: Guard | None, head: Head) -> Handler | Refusal:
        """The handler of a connection whose dialect has been found out."""
        dialect = self._spoken.get(name)
        return _unspoken(name) if dialect is None else dialect.session(guard, head)


def _unspoken(name: Name) -> Refusal:
    return Refusal(404, "unsupported_action", f"this gateway does not speak {name}; market data is at {STREAM_PATH}")


class Undecided:
    """A connection until its first frame, or until it was silent for `dialect_grace_ms`. Says nothing."""

    __slots__ = ("_conn", "_dialects", "_grace", "_guard", "_head")

    def __init__(self, dialects: Dialects, guard: Guard | None, head: Head) -> None:
        self._dialects = dialects
        self._guard = guard
        self._head = head
        self._grace: asyncio.TimerHandle | None = None

    # For the connection

    def on_open(self, conn: Connection) -> None:
        self._conn = conn
        self._dialects.sessions.enter(self)
        if self._guard is not None:
            self._guard.begin(self)
        grace_s = self._dialects.sessions.limits.dialect_grace_ms / 1000
        self._grace = asyncio.get_running_loop().call_later(grace_s, self._become, Name.DASHBOARD)

    def on_message(self, conn: Connection, data: str | bytes) -> None:
        self._become(by_frame(data))
        if conn.is_open:
            conn.handler.on_message(conn, data)

    def on_closed(self, _conn: Connection) -> None:
        self._wait_no_more()
        self._dialects.sessions.forget(self)
        if self._guard is not None:
            self._guard.end()

    def _become(self, name: Name) -> None:
        self._wait_no_more()
        if not self._conn.is_open:
            return
        found = self._dialects.session(name, self._guard, self._head)
        if isinstance(found, Refusal):
            self._conn.close(CLOSE_OF.get(found.status, Close.UNSUPPORTED_DATA), found.message)
        else:
            self._conn.hand_to(found)
            self._dialects.sessions.forget(self)  # not before: somebody may wait for the last one to end

    def _wait_no_more(self) -> None:
        if self._grace is not None:
            self._grace.cancel()

    # For the guard, and whoever ends sessions

    @property
    def subscriptions(self) -> int:
        return 0

    @property
    def principal(self) -> Principal | None:
        return None if self._guard is None else self._guard.principal

    @property
    def peer(self) -> str:
        return self._conn.peer

    def principal_changed(self) -> None:
        """Whoever it becomes asks the guard."""

    def ask_again(self, _deadline_ms: int) -> None:
        """Nothing can be said yet; whoever it becomes is asked."""

    def announce_shutdown(self, _deadline_ms: int, _reconnect_after_ms: int) -> None:
        """Nothing can be said yet; the close says enough."""

    def close(self, code: int, reason: str = "") -> None:
        self._conn.close(code, reason)
