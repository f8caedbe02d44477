"""Klines of one market, aggregated from its trades.

Keeps one-second and one-minute bars; every longer interval is merged from minutes when asked for. An interval
without trades repeats the last close with no volume, as Binance has it. No clock: the caller says what time it is.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

SECOND_MS = 1_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000
SECONDS_KEPT = 3_600
MINUTES_KEPT = 3_000
# 1970-01-05 was the first Monday: Binance's weeks begin on Mondays.
_WEEK_OFFSET_MS = 4 * DAY_MS

INTERVALS_MS: dict[str, int] = {
    "1s": SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    "1M": 31 * DAY_MS,
}


class Trade(NamedTuple):
    id: int
    price: int
    size: int
    time_ms: int
    buyer_is_maker: bool


def open_time(interval: str, time_ms: int) -> int:
    """When the bar that holds `time_ms` began."""
    if interval == "1M":
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
    length_ms = INTERVALS_MS[interval]
    offset_ms = _WEEK_OFFSET_MS if interval == "1w" else 0
    return time_ms - (time_ms - offset_ms) % length_ms


def next_open_time(interval: str, opened_ms: int) -> int:
    """When the bar after the one opened at `opened_ms` begins."""
    return open_time(interval, opened_ms + INTERVALS_MS[interval])


class Bar:
    """Open to close, volumes and trade ids of one interval; quote volumes are in units of 1e-16."""

    __slots__ = (
        "close", "count", "first_id", "high", "last_id", "low", "open", "opened_ms",
        "quote_volume", "taker_quote_volume", "taker_volume", "volume",
    )  # fmt: skip

    def __init__(self, opened_ms: int, price: int) -> None:
        self.opened_ms = opened_ms
        self.open = self.high = self.low = self.close = price
        self.volume = self.quote_volume = self.taker_volume = self.taker_quote_volume = self.count = 0
        self.first_id = self.last_id = -1

    def add(self, trade: Trade) -> None:
        price, quote = trade.price, trade.price * trade.size
        if not self.count:
            self.open = self.high = self.low = price
            self.first_id = trade.id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.count += 1
        self.volume += trade.size
        self.quote_volume += quote
        if not trade.buyer_is_maker:
            self.taker_volume += trade.size
            self.taker_quote_volume += quote
        self.last_id = trade.id

    def extend(self, later: "Bar") -> None:
        """Merge a later bar into this one."""
        if not later.count:
            return
        if self.count:
            self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        else:
            self.open, self.high, self.low, self.first_id = later.open, later.high, later.low, later.first_id
        self.close = later.close
        self.count += later.count
        self.volume += later.volume
        self.quote_volume += later.quote_volume
        self.taker_volume += later.taker_volume
        self.taker_quote_volume += later.taker_quote_volume
        self.last_id = later.last_id


def merge(opened_ms: int, bars: Iterable[Bar]) -> Bar | None:
    """One bar out of consecutive ones, or None when there are none."""
    merged: Bar | None = None
    for bar in bars:
        if merged is None:
            merged = Bar(opened_ms, bar.open)
        merged.extend(bar)
    return merged


class Series:
    """Consecutive bars of one length, without holes."""

    def __init__(self, length_ms: int, kept: int) -> None:
        self._length_ms = length_ms
        self._kept = kept
        self.bars: deque[Bar] = deque(maxlen=kept)

    def add(self, trade: Trade) -> None:
        if not self.bars:
            self.bars.append(Bar(trade.time_ms - trade.time_ms % self._length_ms, trade.price))
        self.roll(trade.time_ms)
        self.bars[-1].add(trade)

    def roll(self, now_ms: int) -> None:
        """Append flat bars until the last one holds `now_ms`."""
        if not self.bars:
            return
        last = self.bars[-1]
        current_ms = now_ms - now_ms % self._length_ms
        first_ms = max(last.opened_ms + self._length_ms, current_ms - (self._kept - 1) * self._length_ms)
        for opened_ms in range(first_ms, current_ms + 1, self._length_ms):
            self.bars.append(Bar(opened_ms, last.close))

    def since(self, start_ms: int) -> Iterator[Bar]:
        skipped = (start_ms - self.bars[0].opened_ms + self._length_ms - 1) // self._length_ms if self.bars else 0
        return (self.bars[index] for index in range(max(0, skipped), len(self.bars)))


class Bars:
    """All intervals of one market and its 24-hour statistics."""

    def __init__(self) -> None:
        self._seconds = Series(SECOND_MS, SECONDS_KEPT)
        self._minutes = Series(MINUTE_MS, MINUTES_KEPT)
        self._day_closed: Bar | None = None
        self._day_minute_ms = -1

    def add(self, trade: Trade) -> None:
        self._seconds.add(trade)
        self._minutes.add(trade)

    def _series(self, interval: str) -> Series:
        return self._seconds if interval == "1s" else self._minutes

    def bar(self, interval: str, opened_ms: int, now_ms: int) -> Bar | None:
        """The bar of `interval` opened at `opened_ms`, as far as it has come."""
        series = self._series(interval)
        series.roll(now_ms)
        end_ms = next_open_time(interval, opened_ms)
        return merge(opened_ms, (bar for bar in series.since(opened_ms) if bar.opened_ms < end_ms))

    def rows(self, interval: str, now_ms: int, start_ms: int | None, end_ms: int | None, limit: int) -> list[Bar]:
        """Bars opened from start to end: the first `limit` ones when a start is given, else the last ones."""
        series = self._series(interval)
        series.roll(now_ms)
        rows: list[Bar] = []
        for bar in series.since(0):
            opened_ms = open_time(interval, bar.opened_ms)
            if (start_ms is not None and opened_ms < start_ms) or (end_ms is not None and opened_ms > end_ms):
                continue
            if not rows or rows[-1].opened_ms != opened_ms:
                if start_ms is not None and len(rows) == limit:
                    break
                rows.append(Bar(opened_ms, bar.open))
            rows[-1].extend(bar)
        return rows[-limit:]

    def day(self, now_ms: int) -> Bar | None:
        """The last 24 hours as one bar; full minutes are merged once a minute only."""
        self._minutes.roll(now_ms)
        if not self._minutes.bars:
            return None
        current = self._minutes.bars[-1]
        start_ms = current.opened_ms + MINUTE_MS - DAY_MS
        if self._day_minute_ms != current.opened_ms:
            self._day_minute_ms = current.opened_ms
            closed = (bar for bar in self._minutes.since(start_ms) if bar is not current)
            self._day_closed = merge(start_ms, closed)
        day = merge(start_ms, (self._day_closed, current) if self._day_closed else (current,))
        if day is not None:
            day.opened_ms = max(now_ms - DAY_MS, 0)
        return day
