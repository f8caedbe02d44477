"""What the tests of a venue share: one who listens, orders, and what stands between it and the simulated exchange."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp import web
from msgspec.structs import replace

from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET
from loadtest.exchange.decimals import parse
from loadtest.exchange.orders import Order as ExchangeOrder
from loadtest.exchange.server import ExchangeServer
from oms.model import Environment, Order
from oms.venues.base import VenueOrder, VenueTrade
from oms.venues.ccxt import CcxtVenue
from oms.venues.config import VenueConfig
from tests.loadtest.exchange.tools import ccxt_options
from tests.oms import orders_made

BTC = "BTC/USDT"
LOW = Decimal(20_000)  # a price at which nothing is bought of the synthetic market
CREDENTIALS = {"apiKey": DEFAULT_KEY, "secret": DEFAULT_SECRET}


@contextmanager
def hurried(venue: CcxtVenue, timeout_ms: int) -> Iterator[None]:
    """Requests may take this long, for now: a busy machine makes nothing else of a test a matter of time."""
    usual_ms, venue._exchange.timeout = venue._exchange.timeout, timeout_ms
    yield
    venue._exchange.timeout = usual_ms


class Ears:
    """Keeps what a venue tells."""

    def __init__(self) -> None:
        self.orders: list[VenueOrder] = []
        self.trades: list[VenueTrade] = []
        self.stream: list[bool] = []
        self._told = asyncio.Event()

    def on_order(self, order: VenueOrder) -> None:
        self.orders.append(order)
        self._told.set()

    def on_trade(self, trade: VenueTrade) -> None:
        self.trades.append(trade)
        self._told.set()

    def on_stream(self, connected: bool) -> None:
        self.stream.append(connected)
        self._told.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():
                self._told.clear()
                await self._told.wait()


def config(base_url: str, *, ping_ms: int = 10_000, **changes: Any) -> VenueConfig:
    """Of the default account; `options` are added to the usual ones."""
    options = {**ccxt_options(base_url), "timeout_on_exit": 0, **changes.pop("options", {})}
    return VenueConfig(
        **{
            "klass": "binance",
            "environment": Environment.SIMULATED,
            "credentials": CREDENTIALS,
            "options": options,
            "ping_ms": ping_ms,
            **changes,
        }
    )


def order(order_id: int = 1, **changes: Any) -> Order:
    """Rests on the synthetic market, unless changed."""
    return orders_made.order(order_id, **{"price": LOW, "created_ns": time.time_ns(), **changes})


async def placed(venue: CcxtVenue, asked: Order) -> Order:
    """The order as it is known once it was taken."""
    return replace(asked, exchange_order_id=(await venue.place(asked, asked.client_order_id)).exchange_order_id)


def at_exchange(exchange: ExchangeServer, placed: Order) -> ExchangeOrder:
    assert placed.exchange_order_id is not None
    found = exchange.trading.order("BTCUSDT", int(placed.exchange_order_id))
    assert found is not None
    return found


def fill(exchange: ExchangeServer, placed: Order, qty: str) -> None:
    found = at_exchange(exchange, placed)
    exchange.trading.fill_by_hand(found, found.request.price, parse(qty), exchange.feed.trading_ms())


def client_ids(exchange: ExchangeServer) -> list[str]:
    return [each.request.client_id for each in exchange.trading.ledger.orders]


class Between:
    """A plain HTTP proxy that fails on command: `fault` is for the next request that changes something.

    `refuse`: cut before it is passed on. `lose`: pass it on, cut instead of answering. `half`: answer half.
    A number: pass it on and answer with that status. `delay`: pass it on, answer after `delay_s`.
    """

    def __init__(self, target: str) -> None:
        self.fault: str | int | None = None
        self.delay_s = 1.0
        self.received: Counter[tuple[str, str]] = Counter()
        self._target = target
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Between:
        self._session = aiohttp.ClientSession()
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.received[request.method, request.path.rpartition("/")[2]] += 1
        fault, self.fault = (self.fault, None) if request.method != "GET" else (None, self.fault)
        if fault == "refuse":
            return self._cut(request)
        body, headers = await request.read(), dict(request.headers)
        url = f"{self._target}{request.raw_path}"
        async with self._session.request(request.method, url, data=body, headers=headers) as response:
            status, answer = response.status, await response.read()
        if fault == "lose":
            return self._cut(request)
        if fault == "half":
            broken = web.StreamResponse(headers={"Content-Length": str(len(answer))})
            await broken.prepare(request)
            await broken.write(answer[: len(answer) // 2])
            return self._cut(request)
        if fault == "delay":
            await asyncio.sleep(self.delay_s)
        if isinstance(fault, int):
            return web.Response(status=fault, text="<html>gateway</html>", content_type="text/html")
        return web.Response(status=status, body=answer, content_type="application/json")

    @staticmethod
    def _cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
