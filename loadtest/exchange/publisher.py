"""Publishes one market: every Binance stream of it, derived from its state or passed on as recorded.

Formats nothing nobody listens to. The caller says what time it is; this reads no clock.
"""

from loadtest.exchange import messages
from loadtest.exchange.bars import INTERVALS_MS, Trade, next_open_time, open_time
from loadtest.exchange.book import Changes
from loadtest.exchange.market import AggTrade, Market
from loadtest.exchange.streams import Streams, Topic

TICK_MS = 100
SLOW_MS = 1_000
KLINE_MS = 2_000
PARTIAL_DEPTHS = (5, 10, 20)


class Klines:
    """The kline stream of one interval: closes bars in order and repeats the current one."""

    __slots__ = ("interval", "opened_ms", "pushed_ms", "topic")

    def __init__(self, interval: str, topic: Topic) -> None:
        self.interval = interval
        self.topic = topic
        self.opened_ms: int | None = None
        self.pushed_ms = 0

    def close_until(self, market: Market, time_ms: int, event_ms: int) -> None:
        """Publish as closed every bar that ended by `time_ms`."""
        current_ms = open_time(self.interval, time_ms)
        if self.opened_ms is None:
            self.opened_ms = current_ms
        while self.opened_ms < current_ms:
            bar = market.bars.bar(self.interval, self.opened_ms, time_ms)
            if bar is not None:
                data = messages.kline(market.spec.symbol, self.interval, bar, event_ms, closed=True)
                self.topic.publish(data)
            self.opened_ms = next_open_time(self.interval, self.opened_ms)

    def push(self, market: Market, time_ms: int, event_ms: int) -> None:
        """Publish the current bar as far as it has come."""
        self.close_until(market, time_ms, event_ms)
        assert self.opened_ms is not None
        bar = market.bars.bar(self.interval, self.opened_ms, time_ms)
        if bar is not None:
            self.topic.publish(messages.kline(market.spec.symbol, self.interval, bar, event_ms, closed=False))
        self.pushed_ms = event_ms


class Publisher:
    """The streams of one market."""

    def __init__(self, market: Market, streams: Streams, now_ms: int) -> None:
        self.market = market
        self._symbol = market.spec.symbol
        prefix = self._symbol.lower() + "@"
        self._trade = streams.topic(prefix + "trade")
        self._agg_trade = streams.topic(prefix + "aggTrade")
        self._book_ticker = streams.topic(prefix + "bookTicker")
        self._ticker = streams.topic(prefix + "ticker")
        self._mini_ticker = streams.topic(prefix + "miniTicker")
        self._fast_depth = streams.topic(prefix + "depth@100ms")
        self._slow_depth = streams.topic(prefix + "depth")
        self._fast_partial = [(count, streams.topic(f"{prefix}depth{count}@100ms")) for count in PARTIAL_DEPTHS]
        self._slow_partial = [(count, streams.topic(f"{prefix}depth{count}")) for count in PARTIAL_DEPTHS]
        self._klines = [Klines(interval, streams.topic(f"{prefix}kline_{interval}")) for interval in INTERVALS_MS]
        self._second = now_ms // SLOW_MS
        self._trade_second = now_ms // SLOW_MS
        self.next_tick_ms = now_ms + TICK_MS

    # what happened

    def trade(self, trade: Trade, event_ms: int, data: bytes | None = None, envelope: bytes | None = None) -> None:
        """A trade was made; `data` and `envelope` are its recorded bytes when it was recorded."""
        if trade.time_ms // SLOW_MS != self._trade_second:
            self._trade_second = trade.time_ms // SLOW_MS
            self._close_klines(trade.time_ms, event_ms)
        ended = self.market.add_trade(trade)
        if ended is not None:
            self._publish_aggregate(ended, event_ms)
        if self._trade.connections:
            self._trade.publish(data or messages.trade(self._symbol, trade, event_ms), envelope)

    def end_aggregate(self, event_ms: int) -> None:
        ended = self.market.end_aggregate()
        if ended is not None:
            self._publish_aggregate(ended, event_ms)

    def _publish_aggregate(self, ended: AggTrade, event_ms: int) -> None:
        if self._agg_trade.connections:
            self._agg_trade.publish(messages.agg_trade(self._symbol, ended, event_ms))

    def best_changed(self) -> None:
        best = self.market.book.best()
        if best is not None and self._book_ticker.connections:
            self._book_ticker.publish(messages.book_ticker(self._symbol, self.market.book.update_id, best))

    def recorded_best(self, data: bytes, envelope: bytes) -> None:
        self._book_ticker.publish(data, envelope)

    def recorded_diff(self, data: bytes, envelope: bytes) -> None:
        self._fast_depth.publish(data, envelope)

    # what the clock brings

    def tick(self, now_ms: int) -> None:
        """Publish what is due every 100 ms and every second."""
        self.next_tick_ms = max(self.next_tick_ms + TICK_MS, now_ms + 1)
        self.end_aggregate(now_ms)
        self.push_diff(now_ms)
        self._push_partial(self._fast_partial)
        settled_ms = now_ms - self.market.late_ms
        self._close_klines(settled_ms, now_ms)
        for klines in self._klines:
            period_ms = SLOW_MS if klines.interval == "1s" else KLINE_MS
            if klines.topic.connections and now_ms - klines.pushed_ms >= period_ms:
                klines.push(self.market, settled_ms, now_ms)
        if now_ms // SLOW_MS != self._second:
            self._second = now_ms // SLOW_MS
            self._push_diff_of(self.market.slow_changes, self._slow_depth, now_ms)
            self._push_partial(self._slow_partial)
            self.push_ticker(now_ms)
            self.push_mini_ticker(now_ms)

    def push_diff(self, now_ms: int) -> None:
        self._push_diff_of(self.market.fast_changes, self._fast_depth, now_ms)

    def push_kline(self, interval: str, now_ms: int) -> None:
        next(klines for klines in self._klines if klines.interval == interval).push(
            self.market, now_ms - self.market.late_ms, now_ms
        )

    def push_now(self, kind: str, now_ms: int) -> None:
        """Publish one message of a stream that otherwise waits for the clock; the others need nothing done."""
        name, _, interval = kind.partition("_")
        if name == "kline":
            self.push_kline(interval, now_ms)
        elif name == "ticker":
            self.push_ticker(now_ms)
        elif name == "miniTicker":
            self.push_mini_ticker(now_ms)
        elif name == "depth@100ms":
            self.push_diff(now_ms)
        elif name == "depth":
            self._push_diff_of(self.market.slow_changes, self._slow_depth, now_ms)
        elif name.startswith("depth"):
            self._push_partial(
                [entry for entry in self._fast_partial + self._slow_partial if entry[1].name.endswith(kind)]
            )

    def _push_diff_of(self, changes: Changes, topic: Topic, now_ms: int) -> None:
        if not topic.connections:
            changes.skip(self.market.book.update_id)
            return
        diff = changes.take(self.market.book.update_id)
        if diff is not None:
            topic.publish(messages.depth_update(self._symbol, diff, now_ms))

    def _push_partial(self, topics: list[tuple[int, Topic]]) -> None:
        for count, topic in topics:
            if topic.connections:
                topic.publish(messages.depth(self.market.book, count))

    def push_ticker(self, now_ms: int) -> None:
        data = messages.ticker(self.market, now_ms) if self._ticker.connections else None
        if data is not None:
            self._ticker.publish(data)

    def push_mini_ticker(self, now_ms: int) -> None:
        data = messages.mini_ticker(self.market, now_ms) if self._mini_ticker.connections else None
        if data is not None:
            self._mini_ticker.publish(data)

    def _close_klines(self, time_ms: int, event_ms: int) -> None:
        for klines in self._klines:
            if klines.topic.connections:
                klines.close_until(self.market, time_ms, event_ms)
            else:
                klines.opened_ms = None
