"""The replay feed: recorded messages go out as they were received, and move the markets on their way.

Diffs, trades and best prices are passed on byte for byte. The book starts from the recorded snapshot and follows the
diffs, so REST depth and diffs always fit together. Tickers, klines, aggregates and the slower books are derived. The
exchange's clock is the newest event time played.
"""

import asyncio
import time
from enum import StrEnum

import orjson

from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import parse
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.market import Market
from loadtest.exchange.matching import Matcher
from loadtest.exchange.publisher import Publisher
from loadtest.exchange.recording import Line, Recording, levels
from loadtest.exchange.streams import Streams

# Recorded trades came up to 213 ms after a message with a later event time.
LATE_MS = 250
# Messages sent between two looks at how far the readers are.
SLICE_MESSAGES = 32
_DATA_MARK = b'","data":'


class StartOn(StrEnum):
    """What a replay waits for before its first message."""

    NOW = "now"
    SUBSCRIBE = "subscribe"
    COMMAND = "command"


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class ReplayFeed(Feed):
    """`speed` is a factor on the recorded pace; None sends as fast as the readers take it.

    At any speed readers that fall behind hold the replay up rather than lose a part of it. `again` begins anew at the
    end: connections are cut, as ids go back.
    """

    def __init__(
        self,
        streams: Streams,
        recording: Recording,
        speed: float | None,
        start_on: StartOn = StartOn.SUBSCRIBE,
        *,
        again: bool = False,
    ) -> None:
        self._streams = streams
        self._recording = recording
        self._speed = speed
        self._start_on = start_on
        self._again = again
        self._begin = asyncio.Event()
        self._done = asyncio.Event()
        self._matchers: dict[str, Matcher] = {}
        self.matchers = self._matchers
        self._rewind()
        if start_on is StartOn.SUBSCRIBE:
            streams.on_subscribe = self._begin.set
        elif start_on is StartOn.NOW:
            self._begin.set()

    def _rewind(self) -> None:
        self._position = 0
        self._state = State.WAITING
        self._now_ms = self._recording.begins_ms
        self._publishers: dict[str, Publisher] = {}
        self.markets = {}
        for symbol, (spec, depth) in self._recording.markets.items():
            market = self.markets[symbol] = Market(spec, LATE_MS)
            market.load_book(*depth)
            if symbol in self._matchers:
                self._matchers[symbol].go_on_in(market)
            else:
                self._matchers[symbol] = Matcher(market, shown=False, first_trade_id=self.trading_ms())
            self._publishers[symbol] = Publisher(market, self._streams, self._now_ms)

    def now_ms(self) -> int:
        return self._now_ms

    def status(self) -> dict[str, object]:
        return {
            "kind": "replay",
            "state": self._state.value,
            "position": self._position,
            "messages": len(self._recording.lines),
            "speed": "max" if self._speed is None else self._speed,
            "start_on": self._start_on.value,
            "market_time_ms": self._now_ms,
        }

    def start(self) -> None:
        if self._state is not State.WAITING:
            raise FeedError(f"the replay is {self._state.value}")
        self._begin.set()

    def step(self, count: int) -> int:
        if self._state is not State.WAITING:
            raise FeedError(f"the replay is {self._state.value}")
        lines = self._recording.lines[self._position : self._position + count]
        for line in lines:
            self._play(line)
        return len(lines)

    async def finished(self) -> None:
        if self._again:
            raise FeedError("this replay begins anew at its end")
        await self._done.wait()

    async def run(self) -> None:
        while True:
            await self._begin.wait()
            self._state = State.RUNNING
            await self._play_all()
            await self._streams.drained()
            self._state = State.DONE
            self._done.set()
            if not self._again:
                return
            for connection in list(self._streams.connections.values()):
                connection.abort()
            if self._start_on is not StartOn.NOW:
                self._begin.clear()
            self._rewind()

    async def _play_all(self) -> None:
        lines = self._recording.lines
        began_s = time.monotonic()
        first_ns = lines[self._position].received_ns if self._position < len(lines) else 0
        for count in range(len(lines) - self._position):
            line = lines[self._position]
            ahead_s = 0.0
            if self._speed is not None:
                ahead_s = (line.received_ns - first_ns) / 1e9 / self._speed - (time.monotonic() - began_s)
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            elif count % SLICE_MESSAGES == 0:
                await self._streams.drained()
            self._play(line)
        for publisher in self._publishers.values():
            publisher.tick(self._now_ms)

    def _play(self, line: Line) -> None:
        self._position += 1
        message = orjson.loads(line.raw)
        name: str = message["stream"]
        data = message["data"]
        payload = line.raw[line.raw.index(_DATA_MARK) + len(_DATA_MARK) : -1]
        symbol, _, kind = name.partition("@")
        publisher = self._publishers[symbol.upper()]
        if kind == "bookTicker":
            publisher.recorded_best(payload, line.raw)
            return
        self._advance(data["E"])
        matcher = self._matchers[symbol.upper()]
        if kind == "trade":
            trade = Trade(data["t"], parse(data["p"]), parse(data["q"]), data["T"], data["m"])
            publisher.trade(trade, data["E"], payload, line.raw)
            now_ms = self.trading_ms()
            matcher.printed(trade, now_ms)
            self.moved(symbol.upper(), [trade], now_ms)
        elif kind == "depth@100ms":
            if data["u"] > publisher.market.book.update_id:
                bids, asks = levels(data["b"]), levels(data["a"])
                matcher.told(bids, asks, self.trading_ms())
                publisher.market.apply_diff(data["u"], bids, asks)
            publisher.recorded_diff(payload, line.raw)

    def _advance(self, event_ms: int) -> None:
        """Move the clock, and publish what it brings before the message that moved it."""
        self._now_ms = max(self._now_ms, event_ms)
        for publisher in self._publishers.values():
            if self._now_ms >= publisher.next_tick_ms:
                publisher.tick(self._now_ms)
