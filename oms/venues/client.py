"""ccxt's class of an exchange as a venue needs it: a request goes out once, every event of ours is heard, no secret
is written down.

Holds what is the same for every exchange. Must not know the venue contract.
"""

from __future__ import annotations

import asyncio
import decimal
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import ccxt.pro
from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById
from ccxt.base.errors import ExchangeNotAvailable, NetworkError, RateLimitExceeded

from oms.errors import OmsError
from oms.model import Environment
from oms.venues import binance, rehearsal
from oms.venues.config import CREDENTIALS, VenueConfig
from oms.venues.errors import Sending
from oms.venues.lean import LeanBinance
from oms.venues.sockets import SteadyClient

# The request that the running call of ours is about.
SENDING: ContextVar[Sending | None] = ContextVar("SENDING", default=None)
CACHED: Final = 1_000  # orders and trades that ccxt keeps to merge updates into
NOT_OURS: Final = frozenset({"session", "verbose", "number", "id", "asyncio_loop"})  # options that break a promise

# ccxt logs each request with its headers, the key among them, when this level is on.
SILENT: Final = logging.getLogger(f"{__name__}.ccxt")
SILENT.setLevel(logging.INFO)


class HeardCache(ArrayCacheBySymbolById):  # type: ignore[misc]  # ccxt is not typed
    """Where ccxt puts every update that it parsed, once, in order: telling it from here misses none.

    `watch_*` gives an update only to who awaits at that moment.
    """

    def __init__(self, heard: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__(CACHED)
        self._heard = heard

    def append(self, item: dict[str, Any]) -> None:
        super().append(item)
        self._heard(item)

    def tell(self, item: Mapping[str, Any]) -> None:
        """Of what is not kept: nothing is merged into it."""
        self._heard(item)


class VenueMixin:
    """Goes in front of any ccxt.pro class."""

    clients: dict[str, Any]
    session: Any
    timeout: int
    decimal_to_precision: Callable[..., str]
    options: dict[str, Any]
    logger = SILENT
    is_closed = False  # for good: whoever comes late must not open a session that nobody closes

    def __init__(self, config: dict[str, Any], ping_ms: int) -> None:
        super().__init__(config)  # type: ignore[call-arg]  # ccxt's class comes behind the mixin
        self.ping_ms = ping_ms
        self.opened = asyncio.Event()  # a WebSocket of ours is connected
        self.closing: set[asyncio.Task[None]] = set()
        self.decimal_to_precision = apart(self.decimal_to_precision)

    # Requests

    def open(self, *args: Any, **kwargs: Any) -> None:
        """aiohttp sends a DELETE again by itself when a kept connection turns out to be dead."""
        self._require_open()
        super().open(*args, **kwargs)  # type: ignore[misc]  # as above
        if self.session is not None:
            self.session._retry_connection = False

    def _require_open(self) -> None:
        if self.is_closed:
            raise ExchangeNotAvailable("the exchange is being opened anew")

    def get_socks_proxy_session(self, proxy: str) -> Any:
        session = super().get_socks_proxy_session(proxy)  # type: ignore[misc]  # as above
        session._retry_connection = False
        return session

    async def fetch2(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Options, or the caller's params, could make ccxt try again."""
        params = {} if params is None else params
        rehearsal.stop_here(api, method, path, params)
        if isinstance(params, dict):
            params = {**params, "maxRetriesOnFailure": 0}
        return await super().fetch2(path, api, method, params, *args, **kwargs)  # type: ignore[misc]  # as above

    async def throttle(self, cost: Any = None) -> None:
        """What waits longer for its turn than a request may take is not sent at all."""
        try:
            async with asyncio.timeout(self.timeout / 1000):
                await super().throttle(cost)  # type: ignore[misc]  # as above
        except TimeoutError:
            raise RateLimitExceeded("too many requests wait for their turn") from None

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        self._require_open()
        sending = SENDING.get()
        if sending is None:
            return await super().fetch(url, method, headers, body)  # type: ignore[misc]  # as above
        sending.on_turn()
        sending.sent, sending.status, sending.taken = True, None, False
        answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]  # as above
        sending.taken = True
        return answer

    def on_rest_response(self, code: int, *args: Any) -> Any:
        """ccxt's hook for an answer that was read whole."""
        text = super().on_rest_response(code, *args)  # type: ignore[misc]  # as above
        if sending := SENDING.get():
            sending.status, sending.body = code, text
        return text

    # Sockets

    def client(self, url: str) -> Any:
        client = super().client(url)  # type: ignore[misc]  # as above
        if not isinstance(client, SteadyClient):
            SteadyClient.adopt(client, self.ping_ms)
        return client

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)  # type: ignore[misc]  # as above
        self.opened.set()

    def handle_event_stream_terminated(self, client: Any, message: Any) -> None:
        """Binance ends the user stream and keeps the connection: ccxt tells nobody who watches."""
        client.on_error(NetworkError("the exchange ended the user stream"))

    def listen(
        self, on_order: Callable[[Mapping[str, Any]], None], on_trade: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """Whom to tell what comes from now on; what came before is forgotten, nothing is merged into it."""
        self.orders, self.myTrades = HeardCache(on_order), HeardCache(on_trade)
        self.opened.clear()

    def hang_up(self) -> None:
        """Let go of every socket, now: a silent peer may take long to say goodbye."""
        clients, self.clients = self.clients or {}, {}
        for client in clients.values():
            if client.error is None:
                # Otherwise ccxt would remove whichever client has this URL by the time it is closed.
                client.error = NetworkError("closed by us")
            task = asyncio.create_task(client.close())
            self.closing.add(task)
            task.add_done_callback(self.closing.discard)

    async def close(self, *args: Any) -> None:
        self.is_closed = True
        self.hang_up()
        await asyncio.gather(*self.closing, return_exceptions=True)
        await super().close(*args)  # type: ignore[misc]  # as above


def apart(rounding: Callable[..., str]) -> Callable[..., str]:
    """ccxt sets rounding and traps of whatever context of decimals it finds: ours is not its to change."""

    def round_apart(*args: Any, **kwargs: Any) -> str:
        with decimal.localcontext():
            return rounding(*args, **kwargs)

    return round_apart


def build(config: VenueConfig) -> Any:
    """The exchange of an account, to trade at. Raises OmsError `unsupported_engine`."""
    exchange = make(config, config.credentials, str)  # numbers as the exchange sent them
    if not exchange.has.get("watchOrders") or not exchange.has.get("watchMyTrades"):
        raise OmsError("unsupported_engine", f"ccxt watches no orders and trades of {config.klass}")
    return exchange


def make(config: VenueConfig, credentials: Mapping[str, str], number: type[str] | type[float]) -> Any:
    """ccxt's class of it, for whoever these credentials are of. Raises OmsError `unsupported_engine`."""
    klass = getattr(ccxt.pro, config.klass, None)
    if klass is None:
        raise OmsError("unsupported_engine", f"ccxt streams no exchange called {config.klass!r}")
    settings = {
        "enableRateLimit": True,
        "timeout": config.timeout_ms,
        **{name: value for name, value in config.options.items() if name not in NOT_OURS | CREDENTIALS},
        **credentials,
        "number": number,
        "newUpdates": True,
    }
    lean = config.klass == binance.KLASS and number is str
    mixins = (LeanBinance, VenueMixin) if lean else (VenueMixin,)
    exchange = type(klass.__name__, (*mixins, klass), {})(settings, config.ping_ms)
    if config.environment is Environment.SANDBOX:
        exchange.set_sandbox_mode(True)
    if config.environment is Environment.SIMULATED:
        # Nowhere else, whatever a method of ccxt may want to reach.
        exchange.urls = {**exchange.urls, "api": dict(config.urls)}
    if config.klass == binance.KLASS:
        exchange.options.update(binance.OPTIONS)
    exchange.options["maxRetriesOnFailure"] = 0
    exchange.options["warnOnFetchOpenOrdersWithoutSymbol"] = False  # it is an exception
    return exchange
