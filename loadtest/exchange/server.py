"""The exchange as one server: joins a feed, the trading side, REST, WebSockets and the admin endpoint on one port."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from loadtest.exchange.accounts import Accounts
from loadtest.exchange.admin import Admin
from loadtest.exchange.decimals import ONE
from loadtest.exchange.event_faults import EventFaults
from loadtest.exchange.faults import Faults
from loadtest.exchange.feed import Feed
from loadtest.exchange.fills import Fills
from loadtest.exchange.params import BinanceError
from loadtest.exchange.private import Private
from loadtest.exchange.request_faults import RequestFaults
from loadtest.exchange.rest import JSON_TYPE, Rest
from loadtest.exchange.signed import Signed
from loadtest.exchange.sockets import Sockets
from loadtest.exchange.streams import Streams
from loadtest.exchange.trading import Trading
from loadtest.exchange.trading_admin import TradingAdmin
from loadtest.exchange.userdata import UserData

SHUTDOWN_S = 2.0
BASE_FUNDS = 100 * ONE
QUOTE_FUNDS = 1_000_000 * ONE


async def _not_found(_: web.Request) -> web.Response:
    error = BinanceError(-1000, "No such path on this exchange.", status=404)
    return web.Response(status=error.status, body=error.body(), content_type=JSON_TYPE)


def opening_funds(feed: Feed) -> dict[str, int]:
    """What the default account has to begin with, of every asset that is traded."""
    specs = [market.spec for market in feed.markets.values()]
    return {spec.base: BASE_FUNDS for spec in specs} | {spec.quote: QUOTE_FUNDS for spec in specs}


class ExchangeServer:
    """Runs inside the current loop; `async with`, or `start` and `close`.

    `make_feed` gets the streams it is to publish to. Port 0 takes any free one.
    """

    def __init__(self, make_feed: Callable[[Streams], Feed], host: str = "127.0.0.1", port: int = 0) -> None:
        self.streams = Streams()
        self.feed = feed = make_feed(self.streams)
        self._host = host
        self.accounts = Accounts(opening_funds(feed))
        user_data = UserData(self.streams, self.accounts, feed)
        event_faults = EventFaults(self.accounts, user_data.emit)
        self.trading = trading = Trading(feed.matchers, feed.moved, event_faults.emit, first_order_id=feed.trading_ms())
        feed.on_traded = trading.traded
        fills = Fills(feed, self.accounts, trading, self.streams)
        signed = Signed(trading, on_canceled=fills.canceled)
        request_faults = RequestFaults(signed.acts.keys())
        self._sockets = Sockets(self.streams, user_data.reply)
        self.faults = Faults(self.streams, self._sockets, (request_faults, event_faults, fills))
        app = web.Application(middlewares=[self.faults.middleware])
        app.add_routes(Rest(self.feed).routes())
        app.add_routes(Private(feed, self.accounts, signed, trading.ledger, request_faults).routes())
        app.add_routes(self._sockets.routes())
        app.add_routes(Admin(self.streams, self.feed, self.faults).routes())
        app.add_routes(TradingAdmin(feed, self.accounts, trading, fills).routes())
        app.router.add_route("*", "/{path:.*}", _not_found)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._tasks: list[asyncio.Task[None]] = []
        self.port = port

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._tasks = [asyncio.create_task(self.feed.run()), asyncio.create_task(self._sockets.keep_alive())]

    async def failed(self) -> None:
        """Wait until a part of the server fails, and raise what it raised; a feed may end, the server goes on."""
        await asyncio.gather(*self._tasks)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Stop, say goodbye to every connection, and raise what a part failed with, if one did."""
        for task in self._tasks:
            task.cancel()
        try:
            for task in self._tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        finally:
            self._tasks = []
            await self._sockets.disconnect(list(self.streams.connections.values()))
            await self._runner.cleanup()

    async def __aenter__(self) -> "ExchangeServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
