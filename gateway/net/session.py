"""A stream session: one connection of the native dialect, from `connected` to its close (docs/protocol.md).

Holds the order of a connection's requests, its request rate, and who answers each action. Must not know frames,
how updates are numbered, or an exchange: those are the connection's, the hub's and the sources'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from gateway.core.key import CHANNELS, PRIVATE_CHANNELS, Key
from gateway.errors import Close, TickwireError
from gateway.limits import Limits
from gateway.net.bucket import TokenBucket
from gateway.net.guard import CLOSE_OF
from gateway.net.head import Refusal
from gateway.net.private import PrivateSession
from gateway.net.subscriptions import Spelling, Subscriptions, variant_of
from gateway.wire import stream

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.core.hub import Hub
    from gateway.net.connection import Connection
    from gateway.net.guard import Guard, Guards
    from gateway.net.head import Head
    from gateway.net.private import PrivateService
    from gateway.sources.base import Source
    from gateway.stats import Tally
    from gateway.wire.forms import Forms

log = structlog.get_logger(__name__)

CLOSE_SPACING_S = 0.001  # between two closes of a shutdown
RETRY_AFTER_S_MAX = 3600.0  # what we say when the configured rate is zero


class StreamService:
    """What the stream sessions of one process share."""

    def __init__(
        self,
        *,
        hub: Hub,
        sources: Mapping[str, Source],
        default_exchange: str | None,
        forms: Forms,
        limits: Limits,
        tally: Tally,
        guards: Guards | None = None,
        private: PrivateService | None = None,
    ) -> None:
        """Without guards there are no users, and everything is for everybody; `private`: what needs a user."""
        self.hub = hub
        self.sources = sources
        self.spelling = Spelling(sources, default_exchange)
        self.forms = forms
        self.limits = limits
        self.tally = tally
        self.sessions: set[Session] = set()
        self.private = private
        self._guards = guards
        self._emptied = asyncio.Event()

    def session(self, guard: Guard | None = None) -> Session:
        """A handler for one new connection."""
        return Session(self, guard)

    def admit(self, head: Head) -> Session | Refusal:
        """A handler for who shakes hands, or why there is none."""
        if self._guards is None:
            return self.session()
        admitted = self._guards.admit(head)
        return admitted if isinstance(admitted, Refusal) else self.session(admitted)

    def connections(self) -> int:
        return len(self.sessions)

    def subscriptions(self) -> int:
        """Streams over all connections."""
        return sum(session.subscriptions for session in self.sessions)

    def announce_shutdown(self, reconnect_after_ms: int) -> None:
        """Tell every client how long it has, and when to come back."""
        message = stream.server_shutdown(self.limits.drain_ms, reconnect_after_ms)
        for session in self.sessions:
            session.send(message)

    async def close_all(self, code: int, reason: str, span_s: float) -> None:
        """Close every session, spread over `span_s` at most: reconnects arrive as a stream, not as a wave."""
        loop = asyncio.get_running_loop()
        sessions = list(self.sessions)
        begun_s = loop.time()
        pause_s = min(CLOSE_SPACING_S, span_s / max(1, len(sessions)))
        for number, session in enumerate(sessions):
            wait_s = begun_s + pause_s * number - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            session.close(code, reason)

    async def emptied_within(self, timeout_s: float) -> bool:
        """Wait until the last session has ended; False when that takes too long."""
        if self.sessions:
            self._emptied.clear()
            try:
                await asyncio.wait_for(self._emptied.wait(), max(0.0, timeout_s))
            except TimeoutError:
                return False
        return True

    def forget(self, session: Session) -> None:
        """Its connection is gone."""
        self.sessions.discard(session)
        if not self.sessions:
            self._emptied.set()

    async def resolve(self, channel: str, spelling: str, variant: str) -> Key:
        """The key a client means, checked by its source."""
        exchange, symbol = self.spelling.read(spelling)
        source = self.sources.get(exchange)
        if source is None:
            raise TickwireError("unknown_symbol", "no exchange is the default: write exchange:symbol")
        return await source.resolve(channel, symbol, variant)


class Session:
    """One connection. Requests are answered in the order they came; nothing here waits for the socket."""

    __slots__ = (
        *("_conn", "_guard", "_private", "_received", "_refusals", "_requests", "_service", "_streams"),
        *("_waiting", "_waiting_bytes", "_worker"),
    )

    def __init__(self, service: StreamService, guard: Guard | None = None) -> None:
        self._service = service
        self._guard = guard
        self._private: PrivateSession | None = None  # made when first needed
        now_s = time.monotonic()
        limits = service.limits
        self._requests = TokenBucket(limits.requests_per_s, limits.requests_burst, now_s)
        self._refusals = TokenBucket(limits.requests_per_s, limits.requests_burst, now_s)
        self._received = 0
        # Raw, so that what waits is bounded by its bytes; a list, because an empty deque holds 600 bytes.
        self._waiting: list[tuple[str | bytes, str]] = []
        self._waiting_bytes = 0
        self._worker: asyncio.Task[None] | None = None  # only while a request waits for an exchange

    @property
    def subscriptions(self) -> int:
        return len(self._streams) + len(self._private or ())

    @property
    def principal(self) -> Principal | None:
        """Whom the connection speaks for, with what they may do by now; None: nobody in particular."""
        return None if self._guard is None else self._guard.principal

    def on_open(self, conn: Connection) -> None:
        service = self._service
        self._conn = conn
        self._streams = Subscriptions(service.hub, service.forms, service.limits, service.spelling, conn.outbox)
        service.sessions.add(self)
        self.send(stream.connected(conn.id, service.limits))
        if self._guard is not None:
            self._guard.on_change = self._on_change
            self._guard.begin(conn)

    def on_closed(self, _conn: Connection) -> None:
        self._service.forget(self)  # the streams know: their outbox is discarded
        if self._guard is not None:
            self._guard.end()
        if self._private is not None:
            self._private.close()
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()

    def on_message(self, _conn: Connection, data: str | bytes) -> None:
        self._received += 1
        self._service.tally.requests += 1
        request_id = f"{self._conn.id}-{self._received}"
        now_s = time.monotonic()
        if error := self._too_much(len(data), now_s):
            self._refuse(data, request_id, error, now_s)
        elif self._worker is not None:
            self._waiting.append((data, request_id))
            self._waiting_bytes += len(data)
        else:
            subscribe = self._begin(data, request_id)
            if subscribe is not None:
                self._worker = asyncio.get_running_loop().create_task(self._work(subscribe, request_id))

    def send(self, message: bytes) -> None:
        """One reply; replies leave ahead of market data."""
        self._conn.send(message)

    def close(self, code: int, reason: str) -> None:
        self._conn.close(code, reason)

    def _too_much(self, size_bytes: int, now_s: float) -> TickwireError | None:
        """Why this request is one too many, of the connection or of its API key."""
        limits = self._service.limits
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
        self._fail(error, stream.read_id(data, self._service.limits), request_id)

    def _fail(self, error: TickwireError, echoed: stream.RequestId | None, request_id: str) -> None:
        self._service.tally.errors[error.code] += 1
        self.send(stream.error(error, echoed, request_id))

    async def _work(self, request: stream.Subscribe | None, request_id: str) -> None:
        """Finish what waits for an exchange, then what came meanwhile, in order."""
        while request is not None:
            await self._subscribe(request, request_id)
            request = None
            while request is None and self._waiting and self._conn.is_open:
                data, request_id = self._waiting.pop(0)
                self._waiting_bytes -= len(data)
                request = self._begin(data, request_id)
        self._worker = None

    def _begin(self, data: str | bytes, request_id: str) -> stream.Subscribe | None:
        """Answer a request, or return the one that has to wait for an exchange first."""
        try:
            request = stream.parse(data, self._service.limits)
        except stream.RequestError as error:
            self._fail(error, error.id, request_id)
            return None
        try:
            if self._guard is not None:
                self._guard.check(request)
            if isinstance(request, stream.Subscribe):
                return request
            answer = self._answer(request, request_id)
            if answer is not None:
                self.send(answer)
        except TickwireError as error:
            self._fail(error, request.id, request_id)
            if isinstance(request, stream.Auth) and error.code in CLOSE_OF:
                self.close(CLOSE_OF[error.code], error.message)
        except Exception:
            self._crashed(request, request_id)
        return None

    def _answer(self, request: stream.Request, request_id: str) -> bytes | None:
        """The reply; None where it comes when something is done."""
        match request:
            case stream.Ping():
                return stream.pong(request)
            case stream.List():
                private = [] if self._private is None else self._private.listed()
                return stream.subscriptions(request, [*self._streams.listed(), *private])
            case stream.Unsubscribe() if request.channel not in PRIVATE_CHANNELS:
                _known(request.channel)
                return self._streams.unsubscribe(request)
            case stream.Resend():
                _known(request.channel)
                return self._streams.resend(request)
            case stream.Auth():
                if self._guard is None:
                    raise TickwireError("unsupported_action", "this gateway has no users: there is nobody to be")
                return self._guard.authenticate(request)
        return self._accounts().answer(request, self.principal, request_id)

    def _accounts(self) -> PrivateSession:
        """What of this connection is about accounts. Raises TickwireError for nobody, and where there are none."""
        if self.principal is None:
            raise TickwireError("not_authenticated", "this needs an API key: send `auth` first")
        if self._service.private is None:
            raise TickwireError("unsupported_action", "this gateway has no accounts: market data only")
        if self._private is None:
            self._private = PrivateSession(self._service.private, self._conn)
        return self._private

    def _on_change(self) -> None:
        """What the principal may do has changed."""
        if self._private is not None:
            self._private.changed(self.principal)

    async def _subscribe(self, request: stream.Subscribe, request_id: str) -> None:
        try:
            if request.channel in PRIVATE_CHANNELS:
                await self._accounts().subscribe(request, lambda: self.principal)
                return
            _known(request.channel)
            keys, refusals = await self._resolve(request)
            if self._conn.is_open:  # it may have closed meanwhile
                self.send(self._streams.subscribe(request, keys, refusals, deflate=self._conn.deflate))
        except TickwireError as error:
            self._fail(error, request.id, request_id)
        except Exception:
            self._crashed(request, request_id)

    async def _resolve(self, request: stream.Subscribe) -> tuple[dict[str, Key], dict[str, TickwireError]]:
        """Ask all exchanges at once: the slowest decides how long it takes, not their number."""
        spellings = list(dict.fromkeys(request.symbols))
        exchanges: dict[str, list[str]] = {}
        for spelling in spellings:
            exchanges.setdefault(self._service.spelling.read(spelling).exchange, []).append(spelling)
        found: dict[str, Key | TickwireError] = {}
        async with asyncio.TaskGroup() as asking:
            for listed in exchanges.values():
                asking.create_task(self._ask(request, listed, found))
        keys: dict[str, Key] = {}
        refusals: dict[str, TickwireError] = {}
        for spelling in spellings:
            match found[spelling]:
                case TickwireError() as error:
                    refusals[spelling] = error
                    self._service.tally.errors[error.code] += 1
                case key:
                    keys[spelling] = key
        return keys, refusals

    async def _ask(
        self, request: stream.Subscribe, spellings: list[str], found: dict[str, Key | TickwireError]
    ) -> None:
        """What one exchange makes of these, in `found`."""
        variant = variant_of(request)
        for spelling in spellings:
            try:
                found[spelling] = await self._service.resolve(request.channel, spelling, variant)
            except TickwireError as error:
                found[spelling] = error

    def _crashed(self, request: stream.Request, request_id: str) -> None:
        """A bug of ours costs one request, not the connection."""
        log.exception("request failed", request_id=request_id, action=type(request).__name__)
        self._fail(TickwireError("internal_error", "the server failed on this request"), request.id, request_id)


def _known(channel: str) -> None:
    if channel in PRIVATE_CHANNELS:
        raise TickwireError("unsupported_channel", "this is not sent again by number: subscribe with `resume`")
    if channel not in CHANNELS:
        raise TickwireError(
            "unsupported_channel", "no such channel", details={"channels": [*CHANNELS, *PRIVATE_CHANNELS]}
        )
