"""Whom each connection speaks for: shown in its handshake or afterwards, good for a while, and taken away with the key.

Holds the deadlines of authentication and what a connection may ask before it. Must not know how a credential is
checked, a channel, or a frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import Close, TickwireError
from gateway.net.head import Refusal
from gateway.net.wheel import Wheel
from gateway.wire import stream

if TYPE_CHECKING:
    from gateway.auth import Gate, Principal, Verdict
    from gateway.net.head import Head

# Who authenticates wrongly on an open connection gets one try.
CLOSE_OF: Final[dict[str, Close]] = {
    "invalid_api_key": Close.NOT_AUTHENTICATED,
    "permission_denied": Close.NOT_AUTHENTICATED,
    "token_expired": Close.TOKEN_EXPIRED,
}


class Guarded(Protocol):
    """The connection, as far as it matters here."""

    peer: str

    def send(self, data: bytes) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...


class Guards:
    """What the guards of one process share."""

    def __init__(self, gate: Gate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.gate = gate
        self.clock = clock
        self.wheel = Wheel(clock())
        self.open: set[Guard] = set()
        self._version = gate.authenticator.version

    def admit(self, head: Head) -> Guard | Refusal:
        """The guard of who shakes hands, or why they may not come in."""
        admitted = self.gate.admit(head)
        return admitted if isinstance(admitted, Refusal) else Guard(self, admitted)

    def tick(self) -> None:
        """Once a second: look at deadlines, and when keys have changed at everybody who came with one."""
        self.wheel.advance(self.clock())
        if self._version != self.gate.authenticator.version:
            self._version = self.gate.authenticator.version
            for guard in list(self.open):
                guard.renew()


class Guard:
    """What one connection has shown of itself."""

    __slots__ = ("_conn", "_ends_s", "_guards", "_shown_s", "_verdict", "due_tick", "on_change")

    _conn: Guarded

    def __init__(self, guards: Guards, verdict: Verdict | None) -> None:
        """`verdict`: of its handshake, if that had a credential."""
        self._guards = guards
        self._verdict = verdict
        self._shown_s = guards.clock()
        self._ends_s = 0.0  # when it has to have been shown again
        self.due_tick = -1
        self.on_change: Callable[[], None] | None = None  # told when the principal may do other things than before

    @property
    def principal(self) -> Principal | None:
        """Whom the connection speaks for, with what they may do by now."""
        return None if self._verdict is None else self._verdict.principal

    def begin(self, conn: Guarded) -> None:
        self._conn = conn
        guards = self._guards
        guards.open.add(self)
        if self._verdict is not None:
            self._hold(self._verdict)
        elif not guards.gate.anonymous:
            guards.wheel.schedule(self, guards.clock() + guards.gate.config.auth_timeout_s)

    def end(self) -> None:
        """The connection is gone."""
        self._guards.open.discard(self)
        self._guards.wheel.cancel(self)

    def check(self, request: stream.Request) -> None:
        """Raises TickwireError for what needs a principal when there is none."""
        if (
            self._verdict is None
            and not self._guards.gate.anonymous
            and not isinstance(request, stream.Auth | stream.Ping)
        ):
            raise TickwireError("not_authenticated", "authenticate first: send `auth` with a token")

    def spend(self) -> TickwireError | None:
        """Count a request of the connection's API key; what to say when there were too many."""
        return None if self._verdict is None else self._guards.gate.spend(self._verdict)

    def authenticate(self, request: stream.Auth) -> bytes:
        """The reply to `auth`. Raises TickwireError; of one in CLOSE_OF the connection has to end."""
        verdict = self._guards.gate.enter(request.token, self._conn.peer)
        assert verdict.principal is not None
        if self.principal is not None and self.principal.api_key_id != verdict.principal.api_key_id:
            raise TickwireError("validation_error", "this connection is another API key's: open one for this key")
        self._shown_s = self._guards.clock()
        self._hold(verdict)
        return stream.authenticated(request, verdict.principal, int((self._ends_s - self._shown_s) * 1000))

    def renew(self) -> None:
        """Keys have changed: go on with what this one may do by now, or end."""
        if self._verdict is None:
            return
        verdict = self._guards.gate.authenticator.renew(self._verdict)
        if verdict.principal is None:
            self._conn.close(CLOSE_OF.get(verdict.code, Close.NOT_AUTHENTICATED), verdict.message)
        else:
            self._hold(verdict)

    def on_due(self, now_s: float) -> None:
        """The wheel's call: nobody has said who they are in time, or it is time to say it again."""
        if self._verdict is None:
            self._conn.close(Close.NOT_AUTHENTICATED, "not authenticated in time")
        elif now_s >= self._ends_s:
            self._conn.close(Close.TOKEN_EXPIRED, "not authenticated again in time")
        else:
            self._conn.send(stream.reauthenticate(int((self._ends_s - now_s) * 1000)))
            self._guards.wheel.schedule(self, self._ends_s)

    def _hold(self, verdict: Verdict) -> None:
        """Speak for this principal until its key expires, or it is to be shown again."""
        now_s = self._guards.clock()
        config = self._guards.gate.config
        self._verdict = verdict
        if self.on_change is not None:
            self.on_change()
        self._ends_s = self._shown_s + config.reauthenticate_after_s
        if verdict.expires_ns is not None:
            self._ends_s = min(self._ends_s, now_s + (verdict.expires_ns - time.time_ns()) / 1e9)
        self._guards.wheel.schedule(self, max(now_s, self._ends_s - config.reauthenticate_notice_s))
