"""A dashboard session: one connection of that dialect, from its handshake to its close (docs/protocol.md).

Holds what the sessions share, who is told what, and who answers each request. Must not know frames, how a message
looks, when one is due, or an exchange.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway.core.health import StreamHealth
from gateway.core.key import EVERY, OWN, Extent, Key, stream_id
from gateway.core.moment import moment
from gateway.errors import TickwireError
from gateway.net.conversation import Conversation
from gateway.net.dashboard_portfolio import PortfolioBoard
from gateway.net.dashboard_prices import PriceBoard, Symbols
from gateway.net.dashboard_private import DashboardAccounts, DashboardPrivate, Follows
from gateway.net.dashboard_wanted import NOTHING, Choice, Wanted
from gateway.net.dialects import Name
from gateway.net.head import Refusal
from gateway.net.subscriptions import Spelling
from gateway.wire import dashboard

if TYPE_CHECKING:
    from _speedups.fanout import Fanout, Stream
    from gateway.config import DashboardConfig
    from gateway.core.health import Health
    from gateway.core.hub import Hub
    from gateway.net.guard import Guard
    from gateway.net.head import Head
    from gateway.net.portfolio import Portfolios
    from gateway.net.private import PrivateService
    from gateway.net.record import Kept
    from gateway.net.sessions import Sessions
    from gateway.wire.codec import Codec
    from gateway.wire.dashboard_forms import DashboardForms, SignalForm

TICKER: Final = "ccxt_ticker"

Resolve = Callable[[str, str, str], Awaitable[Key]]


class DashboardService:
    """What the dashboard sessions of one process share. A `Dialect` of the port."""

    name: Final = Name.DASHBOARD
    subprotocol: Final = dashboard.SUBPROTOCOL

    def __init__(
        self,
        *,
        sessions: Sessions,
        hub: Hub,
        fanout: Fanout,
        resolve: Resolve,
        spelling: Spelling,
        forms: DashboardForms,
        config: DashboardConfig,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`resolve`: the key that a channel, a client's spelling and a variant mean."""
        self.sessions = sessions
        self.hub = hub
        self.spelling = spelling
        self.forms = forms
        self.config = config
        self.limits = sessions.limits
        self.accounts: DashboardAccounts | None = None
        self.reader: Any = None
        self.codec: Codec[dashboard.Request] = dashboard.DashboardCodec(now_ns)
        self.prices = PriceBoard(hub, fanout, self.key_of, config.price_update_interval_s, now_ns)
        self.connections = 0
        self._fanout = fanout
        self._variant = str(Extent(period_ms=int(config.price_update_interval_s * 1_000)))
        self._resolve = resolve
        self._now_ns = now_ns

    def serve_accounts(self, private: PrivateService, portfolios: Portfolios, reader: Any = None) -> None:
        """Tell of accounts too.

        `reader`: the principal that may read the one account of single-user mode, for who has not said who they are.
        """
        interval_s = self.config.portfolio_update_interval_s
        board = PortfolioBoard(portfolios.follow, self._fanout, interval_s, self._now_ns)
        self.accounts = DashboardAccounts(private, portfolios, board)
        self.reader = reader

    def session(self, guard: Guard | None, _head: Head | None = None) -> DashboardSession | Refusal:
        """A handler for one new connection, or why there is none."""
        if self.connections >= self.config.connections_max:
            return Refusal(429, "too_many_connections", "there are as many dashboards as there may be")
        return DashboardSession(self, guard)

    async def key_of(self, spelling: str) -> Key:
        """The key of a symbol's ticker. Raises TickwireError."""
        return await self._resolve(TICKER, spelling, self._variant)

    def status(self) -> dict[str, Any]:
        """The document of `GET /websocket/status`."""
        config = self.config
        now_ns = self._now_ns()
        return {
            "enabled": config.enabled,
            "active_connections": self.connections,
            "max_connections": config.connections_max,
            "ping_interval": _seconds(config.ping_interval_s),
            "price_update_interval": _seconds(config.price_update_interval_s),
            "portfolio_update_interval": _seconds(config.portfolio_update_interval_s),
            "stream_health": {name: _told(health.at(now_ns)) for name, health in self._health().items()},
        }

    def _health(self) -> dict[str, StreamHealth]:
        """Of what is told by the clock."""
        portfolio = self.accounts.board.health if self.accounts is not None else StreamHealth()
        return {dashboard.PRICES: self.prices.health, dashboard.PORTFOLIO: portfolio}

    def close(self) -> None:
        """Tell nothing more."""
        self.prices.close()
        if self.accounts is not None:
            self.accounts.board.close()


class DashboardSession(Conversation[dashboard.Request]):
    """One connection."""

    __slots__ = ("_prices", "_private", "_service", "_signals", "_symbols", "_wanted")
    dialect = "dashboard"

    def __init__(self, service: DashboardService, guard: Guard | None = None) -> None:
        super().__init__(service.sessions, service.codec, guard)
        self._service = service
        self._wanted = Wanted(service.limits.dashboard_symbols_max)
        self._symbols: Symbols = ()  # whose prices are told
        self._prices: Stream | None = None
        self._signals: dict[str, SignalForm] = {}  # by the symbol of their stream
        self._private: DashboardPrivate | None = None  # made when first needed

    @property
    def subscriptions(self) -> int:
        return len(self._symbols) + len(self._signals) + len(self._private or ())

    def opened(self) -> None:
        self._service.connections += 1
        self._conn.ping_every(self._service.config.ping_interval_s)
        self._follow()

    def left(self, _subscribed: Kept) -> None:
        """The streams know: their outbox is discarded."""
        self._service.connections -= 1
        if self._private is not None:
            self._private.close()

    def principal_changed(self) -> None:
        self._follow()

    def is_for_anybody(self, request: dashboard.Request) -> bool:
        return isinstance(request, dashboard.Auth | dashboard.Ping)

    def waits(self, request: dashboard.Request) -> bool:
        """Exchanges are asked whether they have a symbol."""
        if not isinstance(request, dashboard.Subscribe):
            return False
        return request.channel == dashboard.PRICES and bool(request.symbols)

    def answer(self, request: dashboard.Request, _request_id: str) -> bytes | None:
        match request:
            case dashboard.Ping():
                return dashboard.pong()
            case dashboard.Auth():
                if self._guard is None:
                    raise TickwireError("unsupported_action", "this gateway has no users: there is nobody to be")
                return dashboard.authenticated(self._guard.authenticate(request.token))
            case dashboard.Subscribe():
                if request.channel in (dashboard.TRADES, dashboard.PORTFOLIO):
                    self._require_reader()
                self._wanted.subscribe(request.channel, self._named(request))
            case dashboard.Unsubscribe():
                self._wanted.unsubscribe(request.channel, self._named(request))
        self._follow()
        return None

    async def answer_later(self, request: dashboard.Request, request_id: str) -> None:
        assert isinstance(request, dashboard.Subscribe)
        named = list(dict.fromkeys(request.symbols or ()))
        keys = await asyncio.gather(*map(self._service.key_of, named), return_exceptions=True)
        if not self._conn.is_open:
            return
        found: list[str] = []
        for symbol, key in zip(named, keys, strict=True):
            if isinstance(key, Key):
                found.append(symbol)
            elif isinstance(key, TickwireError):
                self.fail(key, None, request_id)
            else:
                raise key
        if found:
            self._wanted.subscribe(dashboard.PRICES, found)
            self._follow()

    def _named(self, request: dashboard.Subscribe | dashboard.Unsubscribe) -> Sequence[str]:
        """The symbols of a request, as what it asks for names them: executions do not say their exchange."""
        symbols = request.symbols or ()
        if request.channel != dashboard.TRADES:
            return symbols
        return [self._service.spelling.read(symbol).symbol for symbol in symbols]

    # Who is told what

    def _follow(self) -> None:
        """Be told what is wanted and may be had by now, and nothing else; or why not."""
        try:
            self._follow_what_may_be_had()
        except TickwireError as error:
            self.fail(error, None, self._conn.id)

    def _follow_what_may_be_had(self) -> None:
        is_let_in = self._guard is None or self._guard.may_ask
        self._follow_prices(self._wanted.of(dashboard.PRICES, self._service.config.symbols if is_let_in else ()))
        self._follow_signals(self._wanted.choice(dashboard.SIGNALS) if is_let_in else NOTHING)
        self._follow_accounts()

    def _follow_prices(self, wanted: frozenset[str]) -> None:
        service, symbols = self._service, tuple(sorted(wanted))
        if symbols == self._symbols:
            return
        outbox, form = self._conn.outbox, service.forms.of(deflate=self._conn.deflate).prices
        if self._prices is not None:
            self._prices.detach(outbox, form)
        self._symbols = symbols
        self._prices = service.prices.join(outbox, symbols, form) if symbols else None

    def _follow_signals(self, wanted: Choice) -> None:
        """Everybody who wants the same shares a form, but for who wants all without some. Raises TickwireError."""
        form, now = self._service.forms.of(deflate=self._conn.deflate).signals, self._signals.get(EVERY)
        if wanted.less:
            form = now if now is not None and now.less == wanted.less else form.but(wanted.less)
        forms = {EVERY: form} if wanted.everything else dict.fromkeys(wanted.more, form)
        hub, outbox = self._service.hub, self._conn.outbox
        for symbol, old in list(self._signals.items()):
            if forms.get(symbol) is not old:
                hub.unsubscribe(outbox, stream_id(_signals_of(symbol)), self._signals.pop(symbol))
        for symbol in forms.keys() - self._signals.keys():
            hub.subscribe(outbox, _signals_of(symbol), form=forms[symbol], guest=self.is_guest)
            self._signals[symbol] = forms[symbol]

    def _reader(self) -> Any:
        """Whose accounts are told of; None: nobody's."""
        if self._service.accounts is None:
            return None
        if self.principal is None and self._guard is not None and self._guard.may_ask:
            return self._service.reader
        return self.principal

    def _require_reader(self) -> None:
        """Raises TickwireError where there is none that may be told of."""
        if self._service.accounts is None:
            raise TickwireError("unsupported_action", "this gateway has no accounts: prices and signals only")
        if self._reader() is None:
            raise TickwireError("not_authenticated", "this needs an API key: send `auth` first")

    def _follow_accounts(self) -> None:
        wanted = self._wanted
        trades, portfolio = wanted.has(dashboard.TRADES), wanted.has(dashboard.PORTFOLIO)
        reader = self._reader() if trades or portfolio else None
        if self._private is None:
            if reader is None:
                return
            assert self._service.accounts is not None, "there is somebody who reads"
            forms = self._service.forms.of(deflate=self._conn.deflate)
            self._private = DashboardPrivate(self._service.accounts, self._conn, forms, self._shows_trade)
        is_there = reader is not None
        self._private.follow(Follows(reader, trades=is_there and trades, portfolio=is_there and portfolio))

    def _shows_trade(self, symbol: str) -> bool:
        return self._wanted.shows(dashboard.TRADES, symbol)


def _signals_of(symbol: str) -> Key:
    return Key(OWN, dashboard.SIGNALS, symbol)


def _seconds(interval_s: float) -> float:
    """Whole seconds as a whole number."""
    return int(interval_s) if interval_s == int(interval_s) else interval_s


def _told(health: Health) -> dict[str, Any]:
    def when(time_ns: int | None) -> str | None:
        return None if time_ns is None else moment(time_ns)

    return {
        "last_update": when(health.last_update_ns),
        "error_count": health.error_count,
        "recovery_attempts": health.recovery_attempts,
        "is_healthy": health.is_healthy,
        "started_at": when(health.started_at_ns),
    }
