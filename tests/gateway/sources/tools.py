"""A sink that remembers, and a simulated exchange with a source on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from _speedups.book import Book, Changes
from gateway.core.key import Key
from gateway.sources.base import Reason
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.synthetic import SyntheticFeed

BTC = "BTC/USDT"


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
        self._changed = asyncio.Event()

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        self._add(Call("publish", key, json.loads(data), t_ex, t_in, final))

    def publish_book(self, key: Key, changes: Changes, book: Book, *, t_ex: int | None, t_in: int) -> None:
        self.books[key] = book
        data = json.loads(changes.data(key.symbol, key.exchange, 0, book.checksum()))
        self._add(Call("publish_book", key, data, t_ex, t_in))

    def lost(self, key: Key, reason: Reason) -> None:
        self.books.pop(key, None)
        self._add(Call("lost", key, reason))

    def _add(self, call: Call) -> None:
        self.calls.append(call)
        self._changed.set()

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


async def until(condition: Callable[[], Any], timeout_s: float = 20) -> None:
    """Wait for something nobody announces, by giving the loop turns."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def synthetic(*, symbols: int = 2, rate: float = 0, seed: int = 1) -> ExchangeServer:
    """An exchange that stands still unless told otherwise."""
    return ExchangeServer(lambda streams: SyntheticFeed(streams, symbols, rate, seed))


def source_on(server: ExchangeServer, sink: RecordingSink, **config: Any) -> CcxtSource:
    """ccxt's binance as the exchange named `sim`, in a hurry to retry."""
    settings = ExchangeConfig(klass="binance", options=sim_options(server.base_url), **config)
    return CcxtSource("sim", settings, sink, rng=Random(1))


def subscriptions(server: ExchangeServer) -> dict[str, int]:
    """Upstream subscribers by stream, as the exchange counts them."""
    return {name: len(topic.connections) for name, topic in server.streams.topics.items() if topic.connections}
