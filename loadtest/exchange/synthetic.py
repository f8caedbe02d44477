"""The synthetic feed: generated markets, moved by the clock or on demand.

Events carry the time they were due, not the time they were computed, so a seed gives the same market however late the
process is.
"""

import asyncio
import heapq
import time
from collections.abc import Sequence
from itertools import count as numbers

from loadtest.exchange.bars import INTERVALS_MS, Trade
from loadtest.exchange.decimals import parse, show
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.generator import Generator, listing
from loadtest.exchange.market import Market
from loadtest.exchange.publisher import TICK_MS, Publisher
from loadtest.exchange.streams import Streams

# Entries worked through before other tasks get a turn.
SLICE_ENTRIES = 500
SLEEP_S_MIN = 0.001
SLEEP_S_MAX = 0.1
_TRADE_KINDS = ("trade", "aggTrade", "ticker", "miniTicker")
_BOOK_KINDS = (
    "bookTicker",
    "depth",
    "depth@100ms",
    *(f"depth{n}{rate}" for n in (5, 10, 20) for rate in ("", "@100ms")),
)


class _Line:
    """One market with what makes and what publishes it."""

    def __init__(self, market: Market, generator: Generator, publisher: Publisher) -> None:
        self.market = market
        self.generator = generator
        self.publisher = publisher
        self._best = market.book.best()

    def publish(self, trades: Sequence[Trade], now_ms: int) -> None:
        for trade in trades:
            self.publisher.trade(trade, now_ms)
        if trades:
            self.publisher.end_aggregate(now_ms)

    def tell_best(self) -> None:
        """Publish the best prices, if they are others than before."""
        best = self.market.book.best()
        if best != self._best:
            self._best = best
            self.publisher.best_changed()


class SyntheticFeed(Feed):
    """`rate` is arrivals a second in each market; 0 leaves the markets still but for what is asked for.

    The markets opened `age_ms` ago with one trade, and nothing has happened since: so there are candles.
    """

    def __init__(
        self, streams: Streams, symbols: int, rate: float, seed: int, start_ms: int | None = None, age_ms: int = 0
    ) -> None:
        self._rate = rate
        self._seed = seed
        self._arrivals = 0
        self._began_s = time.monotonic()
        self._start_ms = start_ms if start_ms is not None else time.time_ns() // 1_000_000
        self._last_ms = self._start_ms
        self._lines: dict[str, _Line] = {}
        self.markets = {}
        self.matchers = {}
        # (due, tie-breaker, market, is it an arrival or a tick)
        self._due: list[tuple[float, int, _Line, bool]] = []
        self._order = numbers()
        for index, (spec, opening_ticks) in enumerate(listing(symbols, seed)):
            market = Market(spec)
            generator = Generator(market, opening_ticks, seed, first_trade_id=self._start_ms)
            line = _Line(market, generator, Publisher(market, streams, self._start_ms))
            self._lines[spec.symbol] = line
            self.markets[spec.symbol] = market
            self.matchers[spec.symbol] = generator.matcher
            opened_ms = self._start_ms - age_ms
            line.publish(generator.take(spec.step, opened_ms, buy=True), opened_ms)
            # Ticks are spread over the interval, so that a thousand markets do not speak at once.
            line.publisher.next_tick_ms += index % TICK_MS
            self._push(line.publisher.next_tick_ms, line, arrival=False)
            if rate > 0:
                self._push(self._start_ms + generator.wait_s(rate) * 1000, line, arrival=True)

    def _push(self, due_ms: float, line: _Line, *, arrival: bool) -> None:
        heapq.heappush(self._due, (due_ms, next(self._order), line, arrival))

    def now_ms(self) -> int:
        return self._start_ms + int((time.monotonic() - self._began_s) * 1000)

    def trading_ms(self) -> int:
        return self._command_time()

    def moved(self, symbol: str, trades: Sequence[Trade], now_ms: int) -> None:
        line = self._lines[symbol]
        line.publish(trades, now_ms)
        line.tell_best()
        super().moved(symbol, trades, now_ms)

    def advance(self, until_ms: float, entries_max: int | None = None) -> bool:
        """Work through what is due until then, at most `entries_max`; says whether all was done."""
        left = entries_max if entries_max is not None else -1
        while self._due and self._due[0][0] <= until_ms:
            if left == 0:
                return False
            left -= 1
            due_ms, _, line, arrival = heapq.heappop(self._due)
            # What was asked for in between may already carry a later time.
            self._last_ms = now_ms = max(int(due_ms), self._last_ms)
            if arrival:
                self._arrive(line, now_ms)
                self._push(due_ms + line.generator.wait_s(self._rate) * 1000, line, arrival=True)
            else:
                line.publisher.tick(now_ms)
                self._push(line.publisher.next_tick_ms, line, arrival=False)
        return True

    def _arrive(self, line: _Line, now_ms: int) -> None:
        self._arrivals += 1
        self.moved(line.market.spec.symbol, line.generator.arrive(now_ms), now_ms)

    async def run(self) -> None:
        while True:
            now_ms = (time.monotonic() - self._began_s) * 1000 + self._start_ms
            if not self.advance(now_ms, SLICE_ENTRIES):
                await asyncio.sleep(0)
                continue
            due_s = (self._due[0][0] - now_ms) / 1000
            await asyncio.sleep(min(max(due_s, SLEEP_S_MIN), SLEEP_S_MAX))

    def status(self) -> dict[str, object]:
        return {
            "kind": "synthetic",
            "state": "running",
            "symbols": len(self.markets),
            "rate": self._rate,
            "seed": self._seed,
            "arrivals": self._arrivals,
            "behind_ms": max(0, round(self.now_ms() - self._due[0][0])) if self._due else 0,
        }

    def _command_time(self) -> int:
        self._last_ms = max(self._last_ms, self.now_ms())
        return self._last_ms

    def burst(self, stream: str, count: int) -> None:
        symbol, _, kind = stream.partition("@")
        line = self._lines.get(symbol.upper())
        is_kline = kind.startswith("kline_") and kind.removeprefix("kline_") in INTERVALS_MS
        if line is None or not (is_kline or kind in _TRADE_KINDS or kind in _BOOK_KINDS):
            raise FeedError(f"no such stream: {stream}")
        now_ms = self._command_time()
        for number in range(count):
            if kind in _BOOK_KINDS:
                line.generator.touch()
            else:
                # One lot never empties a level of more: every message is one trade.
                self.moved(
                    symbol.upper(), line.generator.take(line.market.spec.step, now_ms, buy=number % 2 == 0), now_ms
                )
            line.tell_best()
            line.publisher.push_now(kind, now_ms)

    def trade(self, symbol: str, size: str, *, buy: bool) -> list[dict[str, object]]:
        line = self._lines.get(symbol.upper())
        if line is None:
            raise FeedError(f"no such symbol: {symbol}")
        now_ms = self._command_time()
        trades = line.generator.take(parse(size), now_ms, buy=buy)
        self.moved(line.market.spec.symbol, trades, now_ms)
        return [{"id": t.id, "price": show(t.price), "qty": show(t.size), "time": t.time_ms} for t in trades]
