"""A sink and a receiver that remember, and a simulated exchange with a source on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import aiohttp

from _speedups.book import Book, Changes
from gateway.core.key import Key
from gateway.sources.base import Reason
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.ccxt_tap import SUBSCRIBING
from gateway.sources.config import ExchangeConfig
from loadtest.exchange.book import Book as ExchangeBook
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.synthetic import SyntheticFeed
from tests.simulated import options_at
from tests.waiting import until

BTC = "BTC/USDT"
USUAL_VARIANTS = {"book": "10", "bars": "1m"}  # what the stream dialect means when nothing is said


class Call(NamedTuple):
    """One call of the sink; `data` decoded; `name` is publish, publish_book or lost."""

    name: str
    key: Key
    data: Any
    t_ex: int | None = None
    t_in: int = 0
    final: bool = False


class RecordingSink:
    """Remembers every call, and the state a subscriber's book would be in."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.books: dict[Key, Book] = {}
        self.settled = 0  # of the calls: how many had come the last time that a source said so
        self._changed = asyncio.Event()

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        self._add(Call("publish", key, json.loads(data), t_ex, t_in, final))

    def publish_book(self, key: Key, changes: Changes, book: Book, *, t_ex: int | None, t_in: int) -> None:
        self.books[key] = book
        data = json.loads(changes.data(key.symbol, key.exchange, 0, book.checksum()))
        self._add(Call("publish_book", key, data, t_ex, t_in))

    def settle(self) -> None:
        self.settled = len(self.calls)

    def lost(self, key: Key, reason: Reason) -> None:
        self.books.pop(key, None)
        self._add(Call("lost", key, reason))

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self._changed.set()

    def has(self, count: int) -> bool:
        """So many calls have come, and no more."""
        return len(self.calls) == count

    def of(self, key: Key, name: str | None = None) -> list[Call]:
        return [call for call in self.calls if call.key == key and name in (None, call.name)]

    def published(self, key: Key) -> list[Any]:
        return [call.data for call in self.calls if call.key == key and call.name != "lost"]

    async def until(self, condition: Callable[[], Any], timeout_s: float = 20) -> None:
        """Wait until the calls make a condition true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def levels(self, key: Key) -> dict[str, Any]:
        """The book as a snapshot would say it."""
        levels: dict[str, Any] = json.loads(self.books[key].snapshot(key.symbol, key.exchange))
        return levels


def synthetic(*, symbols: int = 2, rate: float = 0, seed: int = 1, port: int = 0) -> ExchangeServer:
    """An exchange that stands still unless told otherwise."""
    return ExchangeServer(lambda streams: SyntheticFeed(streams, symbols, rate, seed), port=port)


def source_on(server: ExchangeServer, sink: RecordingSink, **config: Any) -> CcxtSource:
    """ccxt's binance as the exchange named `sim`, in a hurry to retry."""
    settings = ExchangeConfig(klass="binance", options=options_at(server.base_url), **config)
    return CcxtSource("sim", settings, sink, rng=Random(1))


def subscriptions(server: ExchangeServer) -> dict[str, int]:
    """Upstream subscribers by stream, as the exchange counts them."""
    return {name: len(topic.connections) for name, topic in server.streams.topics.items() if topic.connections}


class Raw:
    """What the exchange itself sends on one stream, heard by a plain WebSocket client beside ccxt."""

    def __init__(self, server: ExchangeServer, stream: str) -> None:
        self.stream = stream
        self.messages: list[dict[str, Any]] = []
        self._url = f"{server.base_url}/stream/ws/raw"
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    async def __aenter__(self) -> Raw:
        self._task = asyncio.create_task(self._listen())
        await asyncio.wait_for(self._subscribed.wait(), 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _listen(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": [self.stream], "id": 1})
            async for message in socket:
                decoded = json.loads(message.data)
                if "result" in decoded:
                    self._subscribed.set()
                else:
                    self.messages.append(decoded)


def exchange_levels(book: ExchangeBook, side: str) -> list[tuple[float, float]]:
    """What the exchange itself holds, best first."""
    levels = getattr(book, side).top(2_000)
    return [(level.price / 1e8, level.size / 1e8) for level in levels]


class Rig:
    """An exchange, a source on it, and what the source said."""

    def __init__(self, server: ExchangeServer, source: CcxtSource, sink: RecordingSink) -> None:
        self.server, self.source, self.sink = server, source, sink

    async def live(self, channel: str, variant: str = "", symbol: str = BTC, poke: str = "") -> Key:
        """Acquire a key and wait until its stream is subscribed; `poke`: a stream to make a first message of."""
        key = await self.source.resolve(channel, symbol, variant or USUAL_VARIANTS.get(channel, ""))
        self.source.acquire(key)
        if poke:
            await until(lambda: poke in subscriptions(self.server))
            self.server.feed.burst(poke, 1)
            await self.sink.until(lambda: self.sink.published(key))
        return key

    def fault(self, fault: str, **command: Any) -> None:
        self.server.faults.apply({"fault": fault, **command})

    def state(self, key: Key) -> str:
        return next(status.state for status in self.source.status() if status.key == key)


async def quiet(holds: Callable[[], bool]) -> None:
    """A few turns of the loop, until a condition holds."""
    for _ in range(20):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not settle")


class Listener:
    """A receiver that remembers; `takes`: what it says of a result."""

    def __init__(self, *, takes: bool = True) -> None:
        self.results: list[tuple[Any, int]] = []
        self.errors: list[BaseException] = []
        self.takes = takes

    def resolved(self, result: Any, t_in: int) -> bool:
        self.results.append((result, t_in))
        return self.takes

    def rejected(self, error: BaseException) -> None:
        self.errors.append(error)


def subscribe(client: Any, listener: Listener, message_hash: str) -> asyncio.Future[Any]:
    """What a `watch_*` call does, in its own context."""
    token = SUBSCRIBING.set(listener)
    try:
        future: asyncio.Future[Any] = client.future(message_hash)
    finally:
        SUBSCRIBING.reset(token)
    return future
