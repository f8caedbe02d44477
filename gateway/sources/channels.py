"""Quotes, trades, books and the exchange's own candles as finished JSON objects, handed to the sink.

Each class is the consumer of one key: told what is new in its feeds, encoded before it returns. Must not know ccxt's
classes, how a feed is read, or who receives an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from _speedups.book import Book
from gateway.core.key import Key
from gateway.core.moment import moment
from gateway.sources.base import Reason, Sink
from gateway.sources.unpack import Payload


class Quotes:
    """Best prices, last price and volume; `split`: best prices have a feed of their own, the rest is the ticker's.

    What is not known, or no longer, is null. Best prices' own feed speaks at every change. When it said nothing from
    one ticker to the next, the ticker's are the same or it is stuck: they are told until it speaks again. Once either
    feed came without a time, no quote has a `t_ex`, or its time would go to and fro between two clocks.
    """

    def __init__(self, key: Key, sink: Sink, *, split: bool) -> None:
        self.key = key
        self._sink = sink
        self._split = split
        self._top: dict[str, Any] = {}
        self._day: dict[str, Any] = {}
        self._tickers = 0  # since the best prices' own feed spoke
        self._timeless = False

    def update(self, kind: str, payload: Payload, t_in: int) -> None:
        if kind == "bidask":
            self._top = payload
            self._tickers = 0
        else:
            self._day = payload
            self._tickers += 1
        top, day = self._best(), self._day
        data = orjson.dumps(
            {
                "symbol": self.key.symbol,
                "exchange": self.key.exchange,
                "bid": top.get("bid"),
                "ask": top.get("ask"),
                "last": day.get("last"),
                "bid_size": top.get("bidVolume"),
                "ask_size": top.get("askVolume"),
                "volume": day.get("baseVolume"),
            }
        )
        t_ex = payload.get("timestamp")
        self._timeless |= self._split and t_ex is None
        self._sink.publish(self.key, data, t_ex=None if self._timeless else t_ex, t_in=t_in)

    def lost(self, kind: str, reason: Reason) -> None:
        if kind == "bidask":
            self._top = {}
        else:
            self._day = {}
        self._sink.lost(self.key, reason)

    def _best(self) -> dict[str, Any]:
        """The fresher of the two that may tell the best prices."""
        top, day = self._top, self._day
        if top and self._tickers < 2:
            return top
        prices = day.get("bid"), day.get("ask")
        if prices == (None, None):
            return top
        # Not every ticker says sizes.
        return top if prices == (top.get("bid"), top.get("ask")) and day.get("bidVolume") is None else day


class Trades:
    """Every trade, once, in the exchange's order."""

    def __init__(self, key: Key, sink: Sink) -> None:
        self.key = key
        self._sink = sink

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        for trade in payload:
            t_ex = trade["timestamp"]
            data = orjson.dumps(
                {
                    "symbol": self.key.symbol,
                    "exchange": self.key.exchange,
                    "price": trade["price"],
                    "size": trade["amount"],
                    "side": trade["side"],
                    "timestamp": trade["datetime"],
                    "trade_id": trade["id"],
                }
            )
            self._sink.publish(self.key, data, t_ex=t_ex, t_in=t_in)

    def lost(self, _kind: str, reason: Reason) -> None:
        self._sink.lost(self.key, reason)


class BookLevels:
    """The best `depth` levels of each side, as changes; the whole is the sink's to ask of the book."""

    def __init__(self, key: Key, sink: Sink) -> None:
        self.key = key
        self.depth = int(key.variant)
        self._sink = sink
        self._book = Book(self.depth)

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        bids, asks = payload["bids"], payload["asks"]
        try:
            changes = self._book.replace(bids, asks)
        except ValueError:
            # Some exchanges list orders, several at a price. Anything else that is wrong fails again.
            changes = self._book.replace(merged(bids, self.depth), merged(asks, self.depth))
        if changes is not None:
            self._sink.publish_book(self.key, changes, self._book, t_ex=payload.get("timestamp"), t_in=t_in)

    def lost(self, _kind: str, reason: Reason) -> None:
        self._book = Book(self.depth)
        self._sink.lost(self.key, reason)


def merged(levels: Sequence[Sequence[float]], depth: int) -> list[list[float]]:
    """One level a price, best first, as many as `depth`."""
    whole: list[list[float]] = []
    for level in levels:
        if whole and whole[-1][0] == level[0]:
            whole[-1][1] += level[1]
        elif len(whole) == depth:
            break
        else:
            whole.append([level[0], level[1]])
    return whole


TIME: Final = 0  # of a ccxt candle [time, open, high, low, close, volume]


class Candles:
    """The exchange's candles: the newest as it grows, and once more as closed when the next one begins.

    Candles carry no vwap. The history some exchanges send first is not news: only its newest candle is told.
    """

    def __init__(self, key: Key, sink: Sink) -> None:
        self.key = key
        self._sink = sink
        self._newest: list[float] | None = None

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        for candle in payload if self._newest is not None else payload[-1:]:
            before = self._newest
            if before is not None and candle[TIME] > before[TIME]:
                self._publish(before, t_in, closed=True)
            elif before is not None and candle[TIME] < before[TIME]:
                continue
            # A copy: ccxt changes the list it gave.
            self._newest = list(candle)
        if payload and self._newest is not None:
            self._publish(self._newest, t_in, closed=False)

    def lost(self, _kind: str, reason: Reason) -> None:
        self._newest = None
        self._sink.lost(self.key, reason)

    def _publish(self, candle: list[float], t_in: int, *, closed: bool) -> None:
        data = orjson.dumps(
            {
                "symbol": self.key.symbol,
                "exchange": self.key.exchange,
                "timeframe": self.key.variant,
                "open": candle[1],
                "high": candle[2],
                "low": candle[3],
                "close": candle[4],
                "volume": candle[5],
                "vwap": None,
                "timestamp": moment(int(candle[TIME]) * 1_000_000),
                "closed": closed,
            }
        )
        self._sink.publish(self.key, data, t_ex=None, t_in=t_in, final=closed)
