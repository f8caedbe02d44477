"""Quotes for who trades in this process: the hub's own updates, with their digits, and a word when they are stale.

Holds what is watched, how often, and who waits for a first price. Synchronous: what waits is handed back as a future.
Must not know an exchange or an order, nor the class a quote is made of: that is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import structlog

from gateway.core.heard import Heard
from gateway.core.hub import Hub
from gateway.core.key import Key
from gateway.core.tiers import Item
from gateway.errors import TickwireError

log = structlog.get_logger(__name__)

CHANNEL: Final = "quotes"
NEVER: Final = frozenset({"unknown_symbol", "unsupported_channel"})  # waiting for these would be in vain

Q = TypeVar("Q")
Q_co = TypeVar("Q_co", covariant=True)


class MakeQuote(Protocol[Q_co]):
    """The class of a quote."""

    def __call__(
        self, *, bid: Decimal | None, ask: Decimal | None, last: Decimal | None, t_in_ns: int, stale: bool
    ) -> Q_co: ...


class Resolver(Protocol):
    """The part of a source that knows what a symbol means."""

    def resolve(self, channel: str, symbol: str, variant: str) -> Awaitable[Key]: ...


class _Prices(msgspec.Struct):
    """A quote on the wire, as far as it is wanted: digit for digit."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None


_prices_of: Final = msgspec.json.Decoder(_Prices).decode


class _Market(Heard, Generic[Q]):
    """One watched symbol. What an exchange that is not served says is never waited for."""

    def __init__(self, owner: MarketData[Q], exchange: str, symbol: str) -> None:
        super().__init__(owner.hub, lambda: owner.sources[exchange].resolve(CHANNEL, symbol, ""))
        self.quote: Q | None = None
        self.is_fresh = False
        self.watchers = 0
        self.waiting: set[asyncio.Future[Q | None]] = set()
        self._owner = owner
        self._exchange = exchange
        self._symbol = symbol
        self._prices = (_Prices(), 0)

    def begin(self) -> None:
        if self._exchange in self._owner.sources:
            super().begin()
        else:
            self._answer(None)

    def end(self) -> None:
        super().end()
        self._answer(None)

    def refused(self, error: BaseException, *, is_first: bool) -> None:
        if is_first:
            log.warning("no quotes", exchange=self._exchange, symbol=self._symbol, error=str(error))
        if isinstance(error, TickwireError) and error.code in NEVER:
            self._answer(None)

    def on_update(self, _key: Key, item: Item) -> None:
        assert isinstance(item.data, bytes)
        self._prices = _prices_of(item.data), item.t_in
        self.is_fresh = True
        self._tell()
        self._answer(self.quote)

    def on_lost(self, _key: Key) -> None:
        if self.is_fresh:
            self.is_fresh = False
            self._tell()

    def _tell(self) -> None:
        prices, t_in_ns = self._prices
        self.quote = self._owner.make(
            bid=prices.bid, ask=prices.ask, last=prices.last, t_in_ns=t_in_ns, stale=not self.is_fresh
        )
        self._owner.tell(self._exchange, self._symbol, self.quote)

    def _answer(self, quote: Q | None) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(quote)
        self.waiting.clear()


class MarketData(Generic[Q]):
    """What is watched, by exchange and symbol. Needs a running loop."""

    def __init__(self, hub: Hub, sources: Mapping[str, Resolver], make: MakeQuote[Q]) -> None:
        self.hub = hub
        self.sources = sources
        self.make = make
        self._markets: dict[tuple[str, str], _Market[Q]] = {}
        self._told: list[Callable[[str, str, Q], None]] = []

    def listen(self, on_quote: Callable[[str, str, Q], None]) -> None:
        """Tell of each new quote of what is watched, also when it has become stale."""
        self._told.append(on_quote)

    def quote(self, exchange: str, symbol: str) -> Q | None:
        """The last one, if it is watched and there was one."""
        market = self._markets.get((exchange, symbol))
        return None if market is None else market.quote

    def watch(self, exchange: str, symbol: str) -> None:
        """Keep its quote from now on; each `watch` needs an `unwatch`."""
        self._watch(exchange, symbol)

    def unwatch(self, exchange: str, symbol: str) -> None:
        market = self._markets[exchange, symbol]
        market.watchers -= 1
        if not market.watchers:
            del self._markets[exchange, symbol]
            market.end()

    def fresh(self, exchange: str, symbol: str, timeout_s: float) -> Awaitable[Q | None]:
        """A quote that is not stale, awaited if it must be; None when there is none in time or no such symbol."""
        market = self._watch(exchange, symbol)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Q | None] = loop.create_future()
        timer = loop.call_later(timeout_s, self._expire, future)

        def answered(_: asyncio.Future[Q | None]) -> None:
            timer.cancel()
            market.waiting.discard(future)
            self.unwatch(exchange, symbol)

        future.add_done_callback(answered)
        if market.is_fresh or exchange not in self.sources:
            future.set_result(market.quote)
        else:
            market.waiting.add(future)
        return future

    def close(self) -> None:
        """Watch nothing any more; who waits gets no quote."""
        for market in self._markets.values():
            market.end()

    def tell(self, exchange: str, symbol: str, quote: Q) -> None:
        """A quote has come, or has become stale."""
        for on_quote in self._told:
            try:
                on_quote(exchange, symbol, quote)
            except Exception:  # who listens must not stop the market data of everybody
                log.exception("quote not taken", exchange=exchange, symbol=symbol)

    def _watch(self, exchange: str, symbol: str) -> _Market[Q]:
        market = self._markets.get((exchange, symbol))
        if market is None:
            market = self._markets[exchange, symbol] = _Market(self, exchange, symbol)
            market.watchers = 1
            market.begin()
        else:
            market.watchers += 1
        return market

    @staticmethod
    def _expire(future: asyncio.Future[Q | None]) -> None:
        if not future.done():
            future.set_result(None)
