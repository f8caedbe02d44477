"""A stream session: one connection of the native dialect, from `connected` to its close (docs/protocol.md).

Holds who answers each action. Must not know frames, how updates are numbered, or an exchange: those are the
connection's, the hub's and the sources'; nor the order of requests, which is the conversation's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Final

from gateway.auth import SUBPROTOCOL
from gateway.core.key import CHANNELS, OWN, PORTFOLIO, PRIVATE_CHANNELS, PUBLISHED_CHANNELS, STREAM_CHANNELS, Key
from gateway.core.remembering import Remembering
from gateway.errors import Close, TickwireError
from gateway.net.conversation import Conversation
from gateway.net.portfolio_streams import PortfolioStreams
from gateway.net.private import PrivateSession
from gateway.net.record import Kept
from gateway.net.subscriptions import Spelling, Subscriptions, variant_of
from gateway.wire import stream
from gateway.wire.codec import Codec
from gateway.wire.restoring import packed, streams_of, unpacked

if TYPE_CHECKING:
    from gateway.core.hub import Hub
    from gateway.core.private import Register
    from gateway.net.guard import Guard
    from gateway.net.head import Head
    from gateway.net.portfolio import Portfolios
    from gateway.net.private import PrivateService
    from gateway.net.sessions import Sessions
    from gateway.sources.base import Source
    from gateway.wire.forms import Forms

CODEC: Final[Codec[stream.Request]] = stream
NOT_KEPT: Final = "no connection of yours had this id, or it ended too long ago: subscribe anew"
NO_ACCOUNTS: Final = "this gateway has no accounts: market data only"


class StreamService:
    """What the stream sessions of one process share. A `Dialect` of the port."""

    name: Final = "stream"
    subprotocol: Final = SUBPROTOCOL

    def __init__(
        self,
        *,
        sessions: Sessions,
        hub: Hub,
        sources: Mapping[str, Source],
        default_exchange: str | None,
        forms: Forms,
        private: PrivateService | None = None,
    ) -> None:
        """`private`: what needs a user."""
        self.sessions = sessions
        self.hub = hub
        self.sources = sources
        self.spelling = Spelling(sources, default_exchange)
        self.forms = forms
        self.limits = sessions.limits
        self.tally = sessions.tally
        self.private = private
        self.portfolios: Portfolios | None = None  # where there are accounts
        self.register: Register | None = None  # where there is a database
        self.past = Remembering(self.limits.restore_within_s, self.limits.restorable_bytes_max)
        self.open: dict[str, StreamSession] = {}  # by connection id

    def session(self, guard: Guard | None, _head: Head | None = None) -> StreamSession:
        """A handler for one new connection."""
        return StreamSession(self, guard)

    async def resolve(self, channel: str, spelling: str, variant: str) -> Key:
        """The key a client means, checked by its source."""
        source, symbol = self._source(spelling)
        return await source.resolve(channel, symbol, variant)

    def known(self, channel: str, spelling: str, variant: str) -> Key:
        """The same of a source that answers at once."""
        source, symbol = self._source(spelling)
        return source.known(channel, symbol, variant)

    def answer_at_once(self, spellings: Iterable[str]) -> bool:
        """Whether nothing has to be waited for to know what these are."""
        named = {self.spelling.read(each).exchange for each in spellings}
        return all(name not in self.sources or self.sources[name].answers_at_once for name in named)

    def _source(self, spelling: str) -> tuple[Source, str]:
        exchange, symbol = self.spelling.read(spelling)
        source = self.sources.get(exchange)
        if source is None:
            raise TickwireError("unknown_symbol", "no exchange is the default: write exchange:symbol")
        return source, symbol


class StreamSession(Conversation[stream.Request]):
    """One connection."""

    __slots__ = ("_portfolios", "_private", "_service", "_streams")
    dialect = "stream"

    def __init__(self, service: StreamService, guard: Guard | None = None) -> None:
        super().__init__(service.sessions, CODEC, guard)
        self._service = service
        self._private: PrivateSession | None = None  # made when first needed
        self._portfolios: PortfolioStreams | None = None  # likewise

    @property
    def subscriptions(self) -> int:
        return len(self._streams) + len(self._private or ()) + len(self._portfolios or ())

    def opened(self) -> None:
        service, conn = self._service, self._conn
        self._streams = Subscriptions(service.hub, service.forms, service.limits, service.spelling, conn.outbox)
        service.open[conn.id] = self
        self.send(stream.connected(conn.id, service.limits))

    def left(self, subscribed: Kept) -> None:
        """The streams know: their outbox is discarded."""
        service, conn = self._service, self._conn
        service.open.pop(conn.id, None)
        if self.subscriptions:
            service.past.keep(conn.id, self.owner, subscribed.body, time.monotonic())
        if self._private is not None:
            self._private.close()

    def principal_changed(self) -> None:
        self.changed()
        if self._private is not None:
            self._private.changed(self.principal)
        if self._portfolios is not None:
            for said in self._portfolios.changed(self.principal):
                self.send(said)

    def kept(self) -> list[stream.Subscribe]:
        """The requests that bring back what it is subscribed to."""
        others = [each.kept() for each in (self._private, self._portfolios) if each is not None]
        return [*self._streams.kept(), *chain(*others)]

    def subscribed(self) -> Kept:
        kept = self.kept()
        return Kept(chain(*map(streams_of, kept)), packed(kept))

    def is_for_anybody(self, request: stream.Request) -> bool:
        return isinstance(request, stream.Auth | stream.Ping)

    def waits(self, request: stream.Request) -> bool:
        if isinstance(request, stream.Subscribe):
            is_public = request.channel in CHANNELS
            return not is_public or not self._service.answer_at_once(request.named)
        return isinstance(request, stream.Restore)

    def answer(self, request: stream.Request, request_id: str) -> bytes | None:
        answer: bytes | None
        match request:
            case stream.Ping():
                answer = stream.pong(request)
            case stream.Subscribe():
                self.changed()
                answer = self._subscribe_at_once(request)
            case stream.Unsubscribe():
                self.changed()
                answer = self._unsubscribe(request, request_id)
            case stream.List():
                listed = [each.listed() for each in (self._private, self._portfolios) if each is not None]
                answer = stream.subscriptions(request, [*self._streams.listed(), *chain(*listed)])
            case stream.Resend():
                _known(request.channel)
                answer = self._streams.resend(request)
            case stream.Auth():
                if self._guard is None:
                    raise TickwireError("unsupported_action", "this gateway has no users: there is nobody to be")
                answer = stream.authenticated(request, *self._guard.authenticate(request.token))
            case _:
                answer = self._accounts().answer(request, self.principal, request_id)
        return answer

    def _unsubscribe(self, request: stream.Unsubscribe, request_id: str) -> bytes | None:
        if request.channel == PORTFOLIO:
            return self._worth().unsubscribe(request)
        if request.channel in PRIVATE_CHANNELS:
            return self._accounts().answer(request, self.principal, request_id)
        _known(request.channel)
        return self._streams.unsubscribe(request)

    def _accounts(self) -> PrivateSession:
        """What of this connection is about accounts. Raises TickwireError for nobody, and where there are none."""
        self._require_user()
        if self._service.private is None:
            raise TickwireError("unsupported_action", NO_ACCOUNTS)
        if self._private is None:
            self._private = PrivateSession(self._service.private, self._conn)
        return self._private

    def _worth(self) -> PortfolioStreams:
        """The same for what accounts are worth."""
        self._require_user()
        if self._service.portfolios is None:
            raise TickwireError("unsupported_action", NO_ACCOUNTS)
        if self._portfolios is None:
            self._portfolios = PortfolioStreams(self._service.portfolios, self._service.forms, self._conn)
        return self._portfolios

    def _require_user(self) -> None:
        if self.principal is None:
            raise TickwireError("not_authenticated", "this needs an API key: send `auth` first")

    async def answer_later(self, request: stream.Request, request_id: str) -> None:
        if isinstance(request, stream.Restore):
            await self._restore(request, request_id)
        else:
            assert isinstance(request, stream.Subscribe)
            await self._subscribe(request)
        self.changed()

    async def _restore(self, request: stream.Restore, request_id: str) -> None:
        """Subscribe to what a connection of the same API key was subscribed to, which ends if it is still there."""
        former = self._service.open.get(request.connection_id)
        if former is not None and former is not self and former.owner == self.owner:
            former.close(Close.GOING_AWAY, "taken over by another connection")
            body: bytes | None = packed(former.kept())
        else:
            body = self._service.past.find(request.connection_id, self.owner, time.monotonic())
        if body is None:
            body = await self._recorded(request.connection_id)
        if body is None:
            raise TickwireError("validation_error", NOT_KEPT, details={"connection_id": request.connection_id})
        requests = unpacked(body, request)
        self.send(stream.restored(request, len(requests)))
        for each in requests:
            if not self._conn.is_open:
                return
            try:
                await self._subscribe(each)
            except TickwireError as error:  # of a channel that is not there any more
                self.fail(error, None, request_id)

    async def _recorded(self, connection_id: str) -> bytes | None:
        """What another process, or this one before it was started again, has recorded of a connection of ours."""
        register = self._service.register
        if register is None:
            return None
        found = await register.restorable(connection_id, self._service.limits.restore_within_s)
        return found[1] if found is not None and found[0] == self.owner else None

    async def _subscribe(self, request: stream.Subscribe) -> None:
        if request.channel == PORTFOLIO:
            self.send(self._worth().subscribe(request, self.principal))
            return
        if request.channel in PRIVATE_CHANNELS:
            await self._accounts().subscribe(request, lambda: self.principal)
            return
        _known(request.channel)
        keys, refusals = await self._resolve(request)
        if self._conn.is_open:  # it may have closed meanwhile
            self.send(self._streams.subscribe(request, keys, refusals, deflate=self._conn.deflate, guest=self.is_guest))

    def _subscribe_at_once(self, request: stream.Subscribe) -> bytes:
        """The ack of what needs not wait: by far the most, and without a task."""
        variant = variant_of(request)
        keys: dict[str, Key] = {}
        refusals: dict[str, TickwireError] = {}
        for spelling in request.named:
            try:
                keys[spelling] = self._service.known(request.channel, spelling, variant)
            except TickwireError as error:
                self._refuse_symbol(refusals, spelling, error)
        return self._streams.subscribe(request, keys, refusals, deflate=self._conn.deflate)

    def _refuse_symbol(self, refusals: dict[str, TickwireError], spelling: str, error: TickwireError) -> None:
        if spelling not in refusals:  # else it was named twice
            refusals[spelling] = error
            self._service.tally.errors[error.code] += 1

    async def _resolve(self, request: stream.Subscribe) -> tuple[dict[str, Key], dict[str, TickwireError]]:
        """Ask all exchanges at once: the slowest decides how long it takes, not their number."""
        spellings = list(dict.fromkeys(request.named))
        if request.channel in PUBLISHED_CHANNELS:
            return {spelling: Key(OWN, request.channel, spelling) for spelling in spellings}, {}
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
                    self._refuse_symbol(refusals, spelling, error)
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


def _known(channel: str) -> None:
    if channel in PRIVATE_CHANNELS:
        raise TickwireError("unsupported_channel", "this is not sent again by number: subscribe with `resume`")
    if channel not in STREAM_CHANNELS:
        channels = [*STREAM_CHANNELS, *PRIVATE_CHANNELS]
        raise TickwireError("unsupported_channel", "no such channel", details={"channels": channels})
