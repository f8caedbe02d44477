"""Public data as ccxt's own structures: one consumer for each unified channel, over the feeds that others use too.

Each class is told what is new in its feed, and encodes it before it returns. What an exchange put into `info` goes out
as text where JSON cannot say it. Must not know ccxt's classes, how a feed is read, or who receives an update.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.core.key import Extent, Key
from gateway.sources.base import Reason, Sink
from gateway.sources.channels import TIME
from gateway.sources.unpack import Payload

# What a unified channel is read by: the kind of its feed.
KINDS: Final = {"ccxt_ticker": "ticker", "ccxt_orderbook": "book", "ccxt_trades": "trades", "ccxt_ohlcv": "ohlcv"}

# The channels of our own that are read in the same way: their budgets of silence count here too.
LIKE: Final = {"ccxt_ticker": "quotes", "ccxt_orderbook": "book", "ccxt_trades": "trades", "ccxt_ohlcv": "bars"}


class _Unified:
    """What all four do."""

    def __init__(self, key: Key, sink: Sink) -> None:
        self.key = key
        self.extent = Extent.read(key.variant)
        self._sink = sink

    def lost(self, _kind: str, reason: Reason) -> None:
        self._sink.lost(self.key, reason)

    def _publish(self, data: Any, t_ex: int | None, t_in: int) -> None:
        self._sink.publish(self.key, orjson.dumps(data, default=str), t_ex=t_ex, t_in=t_in)


class Ticker(_Unified):
    """The ticker."""

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        self._publish(payload, payload.get("timestamp"), t_in)


class OrderBook(_Unified):
    """The whole book, cut to so many levels a side."""

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        depth = self.extent.size
        t_ex = payload.get("timestamp")
        data = {
            "symbol": self.key.symbol,
            "bids": [level[:2] for level in payload["bids"][:depth]],
            "asks": [level[:2] for level in payload["asks"][:depth]],
            "timestamp": t_ex,
            "datetime": payload.get("datetime"),
            "nonce": payload.get("nonce"),
        }
        self._publish(data, t_ex, t_in)


class Trades(_Unified):
    """Every trade, once; what gathers is one list."""

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        for trade in payload:
            self._publish(trade, trade["timestamp"], t_in)


class Ohlcv(_Unified):
    """The newest candles known, oldest first: so a reader who gets only the newest list misses no closed candle."""

    def __init__(self, key: Key, sink: Sink) -> None:
        super().__init__(key, sink)
        self._candles: list[list[float]] = []

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        candles = self._candles
        for candle in payload:
            if candles and candle[TIME] < candles[-1][TIME]:
                continue
            if candles and candle[TIME] == candles[-1][TIME]:
                candles.pop()
            # A copy: ccxt changes the list it gave.
            candles.append(list(candle))
        del candles[: -self.extent.size]
        if payload:
            self._publish(candles, None, t_in)

    def lost(self, kind: str, reason: Reason) -> None:
        self._candles = []
        super().lost(kind, reason)


CONSUMERS: Final[dict[str, type[Ticker | OrderBook | Trades | Ohlcv]]] = {
    "ccxt_ticker": Ticker,
    "ccxt_orderbook": OrderBook,
    "ccxt_trades": Trades,
    "ccxt_ohlcv": Ohlcv,
}
