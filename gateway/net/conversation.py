"""The requests of one connection, in any dialect: read, counted, and answered in the order they came.

Holds the order, the rates, and what becomes of a request that fails; `codec` is the dialect's grammar, a subclass knows
who answers. Must not know a dialect, frames, or how credentials are checked.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import structlog

from gateway.errors import Close, TickwireError
from gateway.net.bucket import TokenBucket
from gateway.net.guard import CredentialError
from gateway.net.record import Kept
from gateway.wire.codec import Codec, RequestError

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.net.connection import Connection
    from gateway.net.guard import Guard
    from gateway.net.sessions import Sessions

log = structlog.get_logger(__name__)

RETRY_AFTER_S_MAX: Final = 3600.0  # what we say when the configured rate is zero

R = TypeVar("R")


class Conversation(ABC, Generic[R]):
    """One connection. Nothing here waits for the socket. A dialect's session is a subclass with the methods below."""

    __slots__ = (
        *("_codec", "_conn", "_guard", "_received", "_refusals", "_requests", "_sessions", "_waiting"),
        *("_waiting_bytes", "_worker", "opened_ns"),
    )

    dialect: ClassVar[str]

    def __init__(self, sessions: Sessions, codec: Codec[R], guard: Guard | None) -> None:
        """`guard`: whom it speaks for; None where there are no users."""
        self._sessions = sessions
        self._codec = codec
        self._guard = guard
        now_s = time.monotonic()
        limits = sessions.limits
        self._requests = TokenBucket(limits.requests_per_s, limits.requests_burst, now_s)
        self._refusals = TokenBucket(limits.requests_per_s, limits.requests_burst, now_s)
        self._received = 0
        # Raw, so that what waits is bounded by its bytes; a list, because an empty deque holds 600 bytes.
        self._waiting: list[tuple[str | bytes, str]] = []
        self._waiting_bytes = 0
        self.opened_ns = time.time_ns()
        self._worker: asyncio.Task[None] | None = None  # only while a request waits for somebody

    # What a dialect says

    @property
    @abstractmethod
    def subscriptions(self) -> int:
        """How many streams this connection has."""

    @abstractmethod
    def opened(self) -> None:
        """The connection is there (`_conn`), and the dialect's own: say what is said first."""

    @abstractmethod
    def left(self, subscribed: Kept) -> None:
        """The connection is gone: let go of everything. `subscribed`: what it was subscribed to."""

    @abstractmethod
    def principal_changed(self) -> None:
        """What the principal may do has changed, or who it is."""

    @abstractmethod
    def is_for_anybody(self, request: R) -> bool:
        """Whether this may be asked by who has not said who they are, also where nothing else may."""

    @abstractmethod
    def waits(self, request: R) -> bool:
        """Whether this has to wait for somebody else; what comes meanwhile is answered after it."""

    @abstractmethod
    def answer(self, request: R, request_id: str) -> bytes | None:
        """The reply to a request that does not wait; None where it comes when something is done.

        Raises TickwireError. `request_id` names the request in logs.
        """

    @abstractmethod
    async def answer_later(self, request: R, request_id: str) -> None:
        """Answer one that waits. The connection may have closed meanwhile. Raises TickwireError."""

    # For the connection

    def on_open(self, conn: Connection) -> None:
        self._conn = conn
        self._sessions.enter(self)
        self.opened()
        if self._guard is not None:
            self._guard.begin(self)
        self.changed()

    def on_closed(self, conn: Connection) -> None:
        self._sessions.forget(self)
        if self._guard is not None:
            self._guard.end()
        subscribed = self.subscribed()
        if self._sessions.record is not None:
            self._sessions.record.closed(self, conn.close_code, subscribed)
        self.left(subscribed)
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()

    def on_message(self, _conn: Connection, data: str | bytes) -> None:
        self._received += 1
        self._sessions.tally.requests += 1
        request_id = f"{self._conn.id}-{self._received}"
        now_s = time.monotonic()
        if error := self._too_much(len(data), now_s):
            self._refuse(data, request_id, error, now_s)
        elif self._worker is not None:
            self._waiting.append((data, request_id))
            self._waiting_bytes += len(data)
        else:
            waiting = self._begin(data, request_id)
            if waiting is not None:
                self._worker = asyncio.get_running_loop().create_task(self._work(waiting, request_id))

    # For the guard, and whoever ends sessions

    @property
    def principal(self) -> Principal | None:
        """Whom the connection speaks for, with what they may do by now; None: nobody in particular."""
        return None if self._guard is None else self._guard.principal

    @property
    def is_guest(self) -> bool:
        """Nobody in particular, where there are users."""
        return self._guard is not None and self._guard.principal is None

    @property
    def owner(self) -> int | None:
        """The API key that it speaks for."""
        return None if self.principal is None else self.principal.api_key_id

    @property
    def id(self) -> str:
        return self._conn.id

    @property
    def peer(self) -> str:
        return self._conn.peer

    @property
    def queued_bytes(self) -> int:
        """What waits for its socket."""
        return self._conn.queued_bytes

    def subscribed(self) -> Kept:
        """What is kept of its subscriptions; a dialect that can bring them back says more."""
        return Kept()

    def changed(self) -> None:
        """What is recorded of it is another from now on."""
        if self._sessions.record is not None:
            self._sessions.record.touch(self)

    def ask_again(self, deadline_ms: int) -> None:
        """Credentials have to be shown again."""
        self.send(self._codec.reauthenticate(deadline_ms))

    def announce_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> None:
        self.send(self._codec.server_shutdown(deadline_ms, reconnect_after_ms))

    def close(self, code: int, reason: str = "") -> None:
        self._conn.close(code, reason)

    # For a dialect

    def send(self, message: bytes) -> None:
        """One reply; replies leave ahead of market data."""
        self._conn.send(message)

    def fail(self, error: TickwireError, echo: Any, request_id: str) -> None:
        """Refuse, and count it; the connection goes on."""
        self._sessions.tally.errors[error.code] += 1
        self.send(self._codec.error(error, echo, request_id))

    def crashed(self, what: str, echo: Any, request_id: str) -> None:
        """In an exception handler: a bug of ours costs one request, not the connection."""
        log.exception("request failed", request_id=request_id, action=what)
        self.fail(TickwireError("internal_error", "the server failed on this request"), echo, request_id)

    # Within

    def _too_much(self, size_bytes: int, now_s: float) -> TickwireError | None:
        """Why this request is one too many, of the connection or of its API key."""
        limits = self._sessions.limits
        wait_s = self._requests.take(now_s)
        if wait_s or self._waiting_bytes + size_bytes > limits.requests_waiting_bytes_max:
            return TickwireError(
                "rate_limited",
                "too many requests on this connection",
                details={"requests_per_s": limits.requests_per_s, "requests_burst": limits.requests_burst},
                retry_after_ms=max(1, int(min(wait_s or 1.0, RETRY_AFTER_S_MAX) * 1000)),
            )
        return None if self._guard is None else self._guard.spend()

    def _refuse(self, data: str | bytes, request_id: str, error: TickwireError, now_s: float) -> None:
        """Too many requests: say when to try again; who does not listen to that is closed."""
        if self._refusals.take(now_s):
            self._conn.close(Close.RATE_LIMITED, "rate limited")
            return
        self.fail(error, self._codec.read_echo(data, self._sessions.limits), request_id)

    async def _work(self, request: R | None, request_id: str) -> None:
        """Finish what waits, then what came meanwhile, in order."""
        while request is not None:
            await self._finish(request, request_id)
            request = None
            while request is None and self._waiting and self._conn.is_open:
                data, request_id = self._waiting.pop(0)
                self._waiting_bytes -= len(data)
                request = self._begin(data, request_id)
        self._worker = None

    async def _finish(self, request: R, request_id: str) -> None:
        try:
            await self.answer_later(request, request_id)
        except TickwireError as error:
            self.fail(error, self._codec.echo(request), request_id)
        except Exception:
            self.crashed(type(request).__name__, self._codec.echo(request), request_id)

    def _begin(self, data: str | bytes, request_id: str) -> R | None:
        """Answer a request, or return the one that has to wait first."""
        try:
            request = self._codec.parse(data, self._sessions.limits)
        except RequestError as error:
            self.fail(error, error.echo, request_id)
            return None
        try:
            if self._guard is not None and not self.is_for_anybody(request):
                self._guard.require()
            if self.waits(request):
                return request
            answer = self.answer(request, request_id)
            if answer is not None:
                self.send(answer)
        except CredentialError as error:
            self.fail(error, self._codec.echo(request), request_id)
            self.close(error.close, error.message)
        except TickwireError as error:
            self.fail(error, self._codec.echo(request), request_id)
        except Exception:
            self.crashed(type(request).__name__, self._codec.echo(request), request_id)
        return None
