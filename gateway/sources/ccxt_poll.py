"""A feed that asks again and again, for what an exchange does not stream.

Holds how each kind is fetched. ccxt's own throttler spaces the requests of all feeds of an exchange. Must not know keys
or encodings.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import time_ns
from typing import Any, Final, NamedTuple

from gateway.sources.feed import Feed, FeedId, FeedSettings
from gateway.sources.quirks import AGGREGATED_TRADES
from gateway.sources.unpack import UNPACK

TRADES_MAX: Final = 500  # in one answer: ample between two polls, within what exchanges give


class Fetch(NamedTuple):
    """How ccxt names one kind."""

    has: str
    method: str


FETCHES: Final[dict[str, Fetch]] = {
    "trades": Fetch("fetchTrades", "fetch_trades"),
    "book": Fetch("fetchOrderBook", "fetch_order_book"),
    "ticker": Fetch("fetchTicker", "fetch_ticker"),
    "ohlcv": Fetch("fetchOHLCV", "fetch_ohlcv"),
}


class PollFeed(Feed):
    """An answer that is late is an update that is late; one that fails is a loss."""

    polled = True

    def __init__(self, identity: FeedId, settings: FeedSettings, exchange: Any, interval_ms: int) -> None:
        super().__init__(identity, settings)
        self._exchange = exchange
        self._interval_s = interval_ms / 1000
        self._paced = asyncio.Event()  # the interval is another one
        self._unpack = UNPACK[identity.kind]

    def pace(self, interval_ms: int) -> None:
        """Ask so often from now on."""
        if self._interval_s != interval_ms / 1000:
            self._interval_s = interval_ms / 1000
            self._paced.set()

    async def subscribe(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            asked_s = due_s
            result = await fetch(self._exchange, self.settings.klass, self.id)
            payload = self._unpack(result, self.id.symbol)
            if payload is None:
                raise LookupError("ccxt answered, but nothing this gateway understands")
            self.deliver(payload, time_ns())
            while (due_s := max(asked_s + self._interval_s, loop.time())) > loop.time():
                self._paced.clear()
                # Not wait_for, which forgets that it was cancelled when what it waits for has just happened (3.11).
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due_s - loop.time()):
                        await self._paced.wait()

    async def unsubscribe(self) -> None:
        """Nothing is left upstream."""


async def fetch(exchange: Any, klass: str, identity: FeedId) -> Any:
    """One answer."""
    kind, symbol, timeframe = identity
    call = getattr(exchange, FETCHES[kind].method)
    if kind == "trades":
        trades = await _trades(exchange, klass, symbol)
        if all(str(trade["id"]).isdecimal() for trade in trades):
            # ccxt sorts the ids of one millisecond as text: "10" before "9".
            trades.sort(key=lambda trade: (trade["timestamp"], int(trade["id"])))
        return trades
    if kind == "ohlcv":
        return await call(symbol, timeframe, None, 2)
    return await call(symbol)


async def _trades(exchange: Any, klass: str, symbol: str) -> list[dict[str, Any]]:
    """The last ones, with the ids that the trade stream gives them."""
    if klass in AGGREGATED_TRADES:
        await exchange.load_markets()
        market = exchange.market(symbol)
        if market["spot"]:
            rows = await exchange.public_get_trades({"symbol": market["id"], "limit": TRADES_MAX})
            return list(exchange.parse_trades(rows, market))
    return list(await exchange.fetch_trades(symbol, None, TRADES_MAX))
