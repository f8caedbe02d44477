"""A moving market and everything a fault test holds a client against: what the exchange itself says happened.

The truth comes over a connection of its own, on a stream no fault is aimed at, and over REST when the faults are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.client import Client, client_of
from tests.e2e.position import Stream
from tests.e2e.processes import Exchange, Gateway, config_of, exchange_of, gateway_of
from tests.e2e.recordings import Trade, assert_same, bar_of, iso

BTC = "BTC/USDT"
DEPTH = 20
TRADE, DIFF, BEST, TICKER = "btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@ticker"
TRUTH = f"btcusdt@depth{DEPTH}@100ms"
RATE = "150"  # arrivals a second: a changed book in nearly every diff, some twenty trades a second
RECENT = 3  # two sockets are never at the very same message
IN_STEP = 10  # messages of the truth to keep up with before a stream counts as recovered

State = tuple[tuple[tuple[float, float], ...], ...]

# Silence must be found out within a test's patience. For the other faults the defaults are right, and a machine that is
# busy with something else is not taken for a silent exchange.
IMPATIENT: dict[str, Any] = {
    "stale_after_ms": {"book": 1_500, "quotes": 2_500},  # the ticker, a part of quotes, comes once a second
    "book_start_ms": 3_000,
    "connection_silence_ms": 1_000,
}


class Truth:
    """The exchange's own best levels after each of its ticks."""

    def __init__(self, wire: ClientConnection) -> None:
        self.states: list[State] = []
        self._wire = wire
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for raw in self._wire:
                message = orjson.loads(raw)
                self.states.append(state_of(message["bids"], message["asks"]))
        except ConnectionClosed:
            raise AssertionError("a fault hit the observer") from None

    async def leave(self) -> None:
        await self._wire.close()
        await self._reader


class Market:
    """An exchange, a gateway on it, and a client of all its public channels."""

    def __init__(self, exchange: Exchange, gateway: Gateway, client: Client, truth: Truth) -> None:
        self.exchange = exchange
        self.gateway = gateway
        self.client = client
        self.truth = truth

    @property
    def book(self) -> Stream:
        return self.client.stream("book", BTC)

    @property
    def trades(self) -> Stream:
        return self.client.stream("trades", BTC)

    @property
    def quotes(self) -> Stream:
        return self.client.stream("quotes", BTC)

    @property
    def bars(self) -> Stream:
        return self.client.stream("bars", BTC, "1s")

    async def fault(self, fault: str, *streams: str, **fields: Any) -> None:
        """Strike the connections of these streams, else all but the observer's."""
        for stream in streams or (TRADE, DIFF, BEST, TICKER):
            await self.exchange.fault(fault, stream=stream, **fields)

    async def gapped(self, *streams: Stream, since: int = 0) -> None:
        """Wait until each of these has been told of a loss."""
        await self.client.until(lambda: all(len(stream.gaps) > since for stream in streams))

    async def in_step(self) -> None:
        """Wait until every channel runs, and the book has kept up with the exchange's for a while."""
        began = len(self.truth.states)
        counts = {name: stream.count for name, stream in self.client.streams.items()}

        def runs() -> bool:
            return (
                len(self.truth.states) >= began + IN_STEP
                and all(stream.count >= counts[name] + 2 for name, stream in self.client.streams.items())
                and is_current(self.book, self.truth)
            )

        await self.client.until(runs)

    async def check(self) -> None:
        """All that was ever served is what happened; what is missing was announced."""
        check_book(self.book, self.truth)
        rows = await self.exchange.get("/api/v3/trades", symbol="BTCUSDT", limit=1000)
        trades = {
            row["id"]: Trade(
                row["id"], row["time"], Decimal(row["price"]), Decimal(row["qty"]),
                "sell" if row["isBuyerMaker"] else "buy",
            )
            for row in rows
        }  # fmt: skip
        check_trades(self.trades, trades)
        check_bars(self.bars, trades)
        for stream in (self.book, self.quotes, self.bars):
            check_epochs(stream)


@asynccontextmanager
async def market_of(limits: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Market]:
    """Everything running and in step."""
    async with (
        exchange_of("--synthetic", "--symbols", "1", "--rate", RATE, "--seed", "7") as exchange,
        connect(f"{exchange.ws_url}/ws/{TRUTH}", compression=None, ping_interval=None) as wire,
        gateway_of(config_of(exchange, limits=limits, **settings)) as gateway,
        client_of(gateway.url) as client,
    ):
        truth = Truth(wire)
        try:
            market = Market(exchange, gateway, client, truth)
            await client.join("book", BTC, depth=DEPTH)
            await client.join("trades", BTC)
            await client.join("quotes", BTC)
            await client.join("bars", BTC, timeframe="1s")
            await market.in_step()
            yield market
        finally:
            await truth.leave()


def state_of(bids: list[Any], asks: list[Any]) -> State:
    return tuple(tuple((float(price), float(size)) for price, size in side) for side in (bids, asks))


def is_current(stream: Stream, truth: Truth) -> bool:
    """Whether the client's book is the exchange's, give or take a message."""
    book = stream.book
    return book is not None and book.valid and state_of(*book.history[-1]) in truth.states[-RECENT:]


def check_book(stream: Stream, truth: Truth) -> None:
    """Every state an update led to was once the exchange's, in that order; each epoch began with the whole book."""
    assert stream.book is not None
    at = 0
    for message, sides in zip(stream.messages, stream.book.history, strict=True):
        if message["kind"] == "update":  # a snapshot may have been taken between two ticks
            at = truth.states.index(state_of(*sides), at)


def check_trades(stream: Stream, truth: dict[int, Trade]) -> None:
    """What came is what was traded, in order; no trade is missing within an epoch."""
    last = 0
    for _, group in groupby(stream.messages, key=lambda message: message["epoch"]):
        told = [message["data"] for message in group]
        numbers = [int(each["trade_id"]) for each in told]
        assert numbers[0] > last
        assert all(later == earlier + 1 for earlier, later in pairwise(numbers)), "a trade is missing"
        last = numbers[-1]
        for each in told:
            trade = truth[int(each["trade_id"])]
            assert (each["price"], each["size"], each["side"], each["timestamp"]) == (
                float(trade.price), float(trade.size), trade.side, iso(trade.time_ms),
            )  # fmt: skip


def check_bars(stream: Stream, truth: dict[int, Trade]) -> None:
    """A bar that was closed holds every trade of its second: one that cannot be whole is not told.

    But for one: a bar that time alone closed, when only later trades showed that its own had been lost.
    """
    epochs = [list(group) for _, group in groupby(stream.messages, key=lambda message: message["epoch"])]
    closed = [each for messages in epochs for each in messages if each["data"]["closed"]]
    assert len({each["data"]["timestamp"] for each in closed}) == len(closed)
    unknowing = [messages[-1] for messages in epochs[:-1] if messages[-1]["t_ex"] is None]
    for each in closed:
        if each not in unknowing:
            start = each["data"]["timestamp"]
            trades = [trade for trade in truth.values() if iso(trade.time_ms - trade.time_ms % 1000) == start]
            assert_same(each["data"], bar_of(trades))


def check_epochs(stream: Stream) -> None:
    """The first message of an epoch is the whole state, and every change of epoch was announced."""
    epochs = [(epoch, next(group)["kind"]) for epoch, group in groupby(stream.messages, key=lambda each: each["epoch"])]
    assert {kind for _, kind in epochs} == {"snapshot"}
    announced = [gap.new_epoch for gap in stream.gaps if gap.new_epoch is not None]
    assert set(announced) >= {epoch for epoch, _ in epochs[1:]}
