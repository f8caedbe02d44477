"""An oms session: one connection of that dialect, from its greeting to its close (docs/protocol.md).

Holds who answers each action, and which accounts a connection may name. Must not know frames, how updates are numbered,
how a command is carried out, or an exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.core.private import refusing
from gateway.errors import TickwireError
from gateway.net.conversation import Conversation
from gateway.net.dialects import Name
from gateway.net.oms_markets import OmsMarkets
from gateway.net.oms_private import OmsPrivate
from gateway.net.private_stream import told
from gateway.net.running import Running
from gateway.wire import oms
from gateway.wire.codec import Codec
from gateway.wire.signed import signature_of

if TYPE_CHECKING:
    from gateway.core.hub import Hub
    from gateway.core.key import Key
    from gateway.core.private import Calls
    from gateway.net.guard import Guard
    from gateway.net.head import Head
    from gateway.net.private import PrivateService
    from gateway.net.record import Kept
    from gateway.net.sessions import Sessions
    from gateway.sources.base import Source
    from gateway.wire.oms_forms import OmsForms

CODEC: Final[Codec[oms.Request]] = oms

NOT_YOURS: Final = frozenset({"account_not_found", "permission_denied"})


class OmsService:
    """What the oms sessions of one process share. A `Dialect` of the port."""

    name: Final = Name.OMS
    subprotocol: Final = oms.SUBPROTOCOL

    def __init__(
        self,
        *,
        sessions: Sessions,
        hub: Hub,
        sources: Mapping[str, Source],
        forms: OmsForms,
        private: PrivateService | None = None,
        calls: Calls | None = None,
    ) -> None:
        """`private`, `calls`: accounts, and ccxt's functions for them; without, there is only `ping` to be answered."""
        self.sessions = sessions
        self.hub = hub
        self.sources = sources
        self.forms = forms
        self.limits = sessions.limits
        self.private = private
        self.calls = calls

    def session(self, guard: Guard | None, _head: Head | None = None) -> OmsSession:
        """A handler for one new connection."""
        return OmsSession(self, guard)


class OmsSession(Conversation[oms.Request]):
    """One connection."""

    __slots__ = ("_markets", "_private", "_running", "_service")
    dialect = "oms"

    def __init__(self, service: OmsService, guard: Guard | None = None) -> None:
        super().__init__(service.sessions, CODEC, guard)
        self._service = service
        self._private: OmsPrivate | None = None  # made when first needed
        self._running: Running | None = None  # likewise

    @property
    def subscriptions(self) -> int:
        return len(self._markets) + len(self._private or ())

    def opened(self) -> None:
        service, conn = self._service, self._conn
        self._markets = OmsMarkets(service.hub, service.forms, service.limits, conn.outbox, deflate=conn.deflate)
        self.send(oms.connected())

    def left(self, _subscribed: Kept) -> None:
        """The streams of the hub know: their outbox is discarded."""
        if self._private is not None:
            self._private.close()

    def principal_changed(self) -> None:
        if self._private is not None:
            self._private.changed(self.principal)
        for account_id in self._markets.account_ids:
            try:
                self._exchange_of(account_id)
            except TickwireError as error:
                if error.code in NOT_YOURS:  # else nobody can tell just now
                    self._markets.drop(account_id)
                    self.send(oms.ended(error, oms.CCXT, f"{self._conn.id}-m{account_id}"))

    def is_for_anybody(self, request: oms.Request) -> bool:
        return isinstance(request, oms.Auth | oms.Ping)

    def waits(self, request: oms.Request) -> bool:
        return isinstance(request, oms.SubscribeMarket | oms.Subscribe)

    def answer(self, request: oms.Request, request_id: str) -> bytes | None:
        match request:
            case oms.Ping():
                return oms.pong(request)
            case oms.Auth():
                if self._guard is None:
                    raise TickwireError("unsupported_action", "this gateway has no users: there is nobody to be")
                return oms.authenticated(request, self._guard.authenticate(request.payload.secret))
            case oms.UnsubscribeMarket():
                return self._markets.unsubscribe(request)
            case oms.Unsubscribe():
                return self._listening().unsubscribe(request)
            case oms.Command():
                self._command(request, request_id)
            case oms.Call():
                self._call(request, request_id)
        return None

    async def answer_later(self, request: oms.Request, _request_id: str) -> None:
        if isinstance(request, oms.Subscribe):
            await self._listening().subscribe(request, lambda: self.principal)
            return
        assert isinstance(request, oms.SubscribeMarket)
        exchange = self._exchange_of(request.payload.account_id)
        keys = await self._resolve(request.payload, exchange)
        if self._conn.is_open:  # it may have closed meanwhile
            self._exchange_of(request.payload.account_id)  # and the key may have lost the account
            self.send(self._markets.subscribe(request, keys))

    async def _resolve(self, asked: oms.Market, exchange: str) -> Mapping[str, Key]:
        """The key of each channel; raises TickwireError for the first that there is none of."""
        source = self._service.sources.get(exchange)
        if source is None:
            raise TickwireError("unsupported_engine", f"the account's exchange {exchange} has no market data here")
        limits = self._service.limits
        return {
            channel: await source.resolve(oms.CHANNELS[channel], asked.symbol, str(asked.extent(channel, limits)))
            for channel in dict.fromkeys(asked.channels)
        }

    # Accounts

    def _accounts(self) -> PrivateService:
        """Raises TickwireError where there are none."""
        if self._service.private is None:
            raise TickwireError("unsupported_action", "this gateway has no accounts: market data is at /v1/stream")
        return self._service.private

    def _known(self) -> Any:
        """Who asks. Raises TickwireError for nobody."""
        if self.principal is None:
            raise TickwireError("not_authenticated", "this needs an API key: send `auth` first")
        return self.principal

    def _exchange_of(self, account_id: int) -> str:
        """Where an account trades. Raises TickwireError, permission_denied for who has nothing to do with it."""
        accounts, principal = self._accounts().accounts, self._known()
        try:
            with refusing():
                return accounts.exchange_of(principal, account_id)
        except TickwireError as error:
            if error.code not in NOT_YOURS:
                raise
            text = "this API key may do nothing on this account"
            raise TickwireError("permission_denied", text, details={"account_id": account_id}) from None

    def _listening(self) -> OmsPrivate:
        private = self._accounts()
        self._known()
        if self._private is None:
            self._private = OmsPrivate(private, self._service.forms, self._conn)
        return self._private

    def _begun(self) -> Running:
        if self._running is None:
            self._running = Running(self._accounts())
        return self._running

    def _command(self, request: oms.Command, request_id: str) -> None:
        """Have it done; one answer for each command, when all are done."""
        accounts, principal = self._accounts().accounts, self._known()

        payload = request.signed if isinstance(request, oms.SignedCommand) else b""
        signature = signature_of(request, payload, "")

        async def work() -> None:
            results = await told(accounts.execute(principal, request.payload, signature=signature))
            for index, result in enumerate(results):
                self.send(oms.command_result(request, result.plain(index)))

        def refuse(error: TickwireError) -> None:
            self.fail(error, oms.echo(request), request_id)

        self._begun().begin(work, request_id, refuse, self._accounts().urge)

    def _call(self, request: oms.Call, request_id: str) -> None:
        """Ask ccxt's function; what is for everybody nobody in particular may ask too."""
        calls, principal, asked = self._service.calls, self.principal, request.payload
        if calls is None:
            raise TickwireError("unsupported_action", "this gateway has no accounts: market data is at /v1/stream")

        async def work() -> None:
            result = await told(calls.call(principal, asked.account_id, asked.func, asked.args, asked.kwargs))
            self.send(oms.ccxt_result(request, result))

        self._begun().begin(work, request_id, lambda error: self.fail(error, oms.echo(request), request_id))
