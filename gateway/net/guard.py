"""Whom each connection speaks for: shown in its handshake or afterwards, good for a while, and taken away with the key.

Holds the deadlines of authentication and what a connection may ask before it. Must not know how a credential is
checked, a channel, or a frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.auth import SUBPROTOCOL
from gateway.errors import Close, TickwireError
from gateway.limits import Limits
from gateway.net.head import Refusal
from gateway.net.wheel import Wheel

if TYPE_CHECKING:
    from gateway.auth import Gate, Principal, Verdict
    from gateway.net.head import Head

# Who authenticates wrongly on an open connection gets one try.
CLOSE_OF: Final[dict[str, Close]] = {
    "invalid_api_key": Close.NOT_AUTHENTICATED,
    "permission_denied": Close.NOT_AUTHENTICATED,
    "token_expired": Close.TOKEN_EXPIRED,
    "too_many_connections": Close.TOO_MANY_CONNECTIONS,
}
RETRY_AFTER_MS: Final = 1_000  # for who holds all the connections that a user may hold


class CredentialError(TickwireError):
    """What was shown opens nothing: say so, and end the connection with `close`."""

    def __init__(self, refusal: TickwireError) -> None:
        super().__init__(refusal.code, refusal.message, details=refusal.details, retry_after_ms=refusal.retry_after_ms)
        self.close = CLOSE_OF[refusal.code]


class Entered(NamedTuple):
    """Who has authenticated, and when the connection will be asked again."""

    principal: Principal
    reauthenticate_after_ms: int


class Guarded(Protocol):
    """The session, as far as it matters here."""

    @property
    def peer(self) -> str: ...
    def principal_changed(self) -> None:
        """The principal may do other things than before, or is another."""

    def ask_again(self, deadline_ms: int) -> None:
        """Tell the client to show its credentials again."""

    def close(self, code: int, reason: str = "") -> None: ...


class Guards:
    """What the guards of one process share."""

    def __init__(
        self,
        gate: Gate,
        limits: Limits = Limits(),  # noqa: B008  # immutable
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gate = gate
        self.limits = limits
        self.clock = clock
        self.wheel = Wheel(clock())
        self.open: set[Guard] = set()
        self.per_user: Counter[str] = Counter()  # connections
        self._version = gate.authenticator.version

    def admit(self, head: Head, subprotocol: str | None = SUBPROTOCOL) -> Guard | Refusal:
        """The guard of who shakes hands, or why they may not come in. `subprotocol`: of the dialect that is spoken."""
        admitted = self.gate.admit(head, subprotocol)
        if isinstance(admitted, Refusal):
            return admitted
        full = None if admitted is None or admitted.principal is None else self.full(admitted.principal)
        if full is not None:
            return Refusal(full.status, full.code, full.message, full.retry_after_ms)
        return Guard(self, admitted)

    def full(self, principal: Principal) -> TickwireError | None:
        """Why this user gets no further connection."""
        limit = self.limits.connections_per_user_max
        if self.per_user[principal.user_name] < limit:
            return None
        message = f"this user holds its {limit} connections"
        return TickwireError("too_many_connections", message, retry_after_ms=RETRY_AFTER_MS)

    def tick(self) -> None:
        """Once a second: look at deadlines, and when keys have changed at everybody who came with one."""
        self.wheel.advance(self.clock())
        if self._version != self.gate.authenticator.version:
            self._version = self.gate.authenticator.version
            for guard in list(self.open):
                guard.renew()


class Guard:
    """What one connection has shown of itself."""

    __slots__ = (*("_counted", "_ends_s", "_guarded", "_guards", "_insists", "_shown_s", "_verdict", "due_tick"),)

    _guarded: Guarded

    def __init__(self, guards: Guards, verdict: Verdict | None) -> None:
        """`verdict`: of its handshake, if that had a credential."""
        self._counted: str | None = None  # the user whose connection this counts as
        self._guards = guards
        self._verdict = verdict
        self._shown_s = guards.clock()
        self._ends_s = 0.0  # when it has to have been shown again
        self._insists = not guards.gate.anonymous
        self.due_tick = -1

    @property
    def principal(self) -> Principal | None:
        """Whom the connection speaks for, with what they may do by now."""
        return None if self._verdict is None else self._verdict.principal

    def insist(self) -> None:
        """Nobody may stay here without saying who they are, also where market data is for everybody."""
        self._insists = True

    def begin(self, guarded: Guarded) -> None:
        """The connection is open; again when it has become another session's."""
        self._guarded = guarded
        guards = self._guards
        guards.open.add(self)
        if self._verdict is not None:
            self._hold(self._verdict)
        elif self._insists:
            guards.wheel.schedule(self, self._shown_s + guards.gate.config.auth_timeout_s)

    def end(self) -> None:
        """The connection is gone."""
        guards = self._guards
        guards.open.discard(self)
        guards.wheel.cancel(self)
        if self._counted is not None:
            guards.per_user[self._counted] -= 1
            if not guards.per_user[self._counted]:
                del guards.per_user[self._counted]
            self._counted = None

    @property
    def may_ask(self) -> bool:
        """For what is not for everybody everywhere: it speaks for somebody, or needs not."""
        return self._verdict is not None or not self._insists

    def require(self) -> None:
        """Raises TickwireError where a principal is needed and there is none."""
        if not self.may_ask:
            raise TickwireError("not_authenticated", "authenticate first: send `auth` with a token")

    def spend(self) -> TickwireError | None:
        """Count a request of the connection's API key; what to say when there were too many."""
        return None if self._verdict is None else self._guards.gate.spend(self._verdict)

    def authenticate(self, secret: str) -> Entered:
        """Who shows this in a message. Raises CredentialError, and TickwireError for what ends nothing."""
        try:
            verdict = self._guards.gate.enter(secret, self._guarded.peer)
        except TickwireError as refusal:
            if refusal.code not in CLOSE_OF:
                raise
            raise CredentialError(refusal) from None
        assert verdict.principal is not None
        if self.principal is not None and self.principal.api_key_id != verdict.principal.api_key_id:
            raise TickwireError("validation_error", "this connection is another API key's: open one for this key")
        if self._counted is None and (full := self._guards.full(verdict.principal)):
            raise CredentialError(full)
        self._shown_s = self._guards.clock()
        self._hold(verdict)
        return Entered(verdict.principal, int((self._ends_s - self._shown_s) * 1000))

    def renew(self) -> None:
        """Keys have changed: go on with what this one may do by now, or end."""
        if self._verdict is None:
            return
        verdict = self._guards.gate.authenticator.renew(self._verdict)
        if verdict.principal is None:
            self._guarded.close(CLOSE_OF.get(verdict.code, Close.NOT_AUTHENTICATED), verdict.message)
        else:
            self._hold(verdict)

    def on_due(self, now_s: float) -> None:
        """The wheel's call: nobody has said who they are in time, or it is time to say it again."""
        if self._verdict is None:
            self._guarded.close(Close.NOT_AUTHENTICATED, "not authenticated in time")
        elif now_s >= self._ends_s:
            self._guarded.close(Close.TOKEN_EXPIRED, "not authenticated again in time")
        else:
            self._guarded.ask_again(int((self._ends_s - now_s) * 1000))
            self._guards.wheel.schedule(self, self._ends_s)

    def _hold(self, verdict: Verdict) -> None:
        """Speak for this principal until its key expires, or it is to be shown again."""
        now_s = self._guards.clock()
        config = self._guards.gate.config
        self._verdict = verdict
        if self._counted is None and verdict.principal is not None:
            self._counted = verdict.principal.user_name
            self._guards.per_user[self._counted] += 1
        self._guarded.principal_changed()
        self._ends_s = self._shown_s + config.reauthenticate_after_s
        if verdict.expires_ns is not None:
            self._ends_s = min(self._ends_s, now_s + (verdict.expires_ns - time.time_ns()) / 1e9)
        self._guards.wheel.schedule(self, max(now_s, self._ends_s - config.reauthenticate_notice_s))
