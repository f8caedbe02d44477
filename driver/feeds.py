"""Market data of one stream each, in ccxt's structures and caches: quotes, trades, bars and books.

A feed is told what its stream brings, keeps ccxt's cache as ccxt.pro's own classes do, and gives what is new to the
cursors of who watches. Pure but for the caches. Must not know sockets, sequences, or `watch_*` calls.

Structures are put together field by field: `safe_ticker` and its like cost more than all the rest of an update.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Protocol

from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheByTimestamp

from driver.books import Book
from driver.cursors import Wakes
from driver.stream import Gap, Stream

Message = dict[str, Any]
POLLED: Final = "polled"  # the reason of a gap between what REST and what the stream has told
POLLED_MAX: Final = 10_000  # trades of REST that a stream is expected to bring again: more than the gateway keeps


class Watcher(Protocol):
    """A cursor that takes items by name: `EachOf`, `One` and `Newest` of driver.cursors."""

    def put(self, name: Any, item: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Feed:
    """What all feeds have: watchers, and what is said of gaps and staleness."""

    def __init__(
        self, symbol: str, on_gap: Callable[[Gap], None], on_failed: Callable[[str, str], BaseException]
    ) -> None:
        self.symbol = symbol
        self.name: Any = symbol  # by which its watchers know it
        self.watchers: list[Any] = []
        self.is_live = False
        self._on_gap = on_gap
        self._on_failed = on_failed
        self._gap: Gap | None = None  # to be shown in the next structure

    def gap(self, gap: Gap) -> None:
        self._gap = gap
        self._lost(gap)
        self._on_gap(gap)

    def live(self, is_live: bool) -> None:
        self.is_live = is_live

    def failed(self, code: str, message: str) -> None:
        self.fail(self._on_failed(code, message))

    def fail(self, error: BaseException) -> None:
        """Raise this in who waits."""
        for watcher in self.watchers:
            watcher.fail(error)

    def begun(self, stream: Stream) -> None:
        """Its stream is of no interest."""

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        """One more; it is given the present state, where there is one."""
        self.watchers.append(watcher)

    def unwatch(self, watcher: Any) -> None:
        if watcher in self.watchers:
            self.watchers.remove(watcher)

    def _lost(self, gap: Gap) -> None:
        """What is known is void."""

    def _give(self, item: Any) -> None:
        for watcher in self.watchers:
            watcher.put(self.name, item)

    def _noted(self, message: Message) -> Message:
        """The message as `info` of a structure: with the gap before it."""
        if self._gap is not None:
            message["gap"] = self._gap._asdict()
            self._gap = None
        return message


class QuoteFeed(Feed):
    """Tickers; `tickers` and `bidsasks` are the exchange's own, `days` (by symbol) what quotes do not carry."""

    def __init__(self, symbol: str, tickers: dict[str, Any], bidsasks: dict[str, Any], *hooks: Any) -> None:
        super().__init__(symbol, *hooks)
        self._tickers = tickers
        self._bidsasks = bidsasks
        self._ticker: dict[str, Any] | None = None
        self.days: dict[str, Mapping[str, Any]] = {}

    def update(self, message: Message) -> None:
        if self._gap is not None:
            self._noted(message)
        ticker = ticker_of(self.symbol, message)
        if day := self.days.get(self.symbol):
            add_day(ticker, day)
        self.ticker(ticker)

    def ticker(self, ticker: dict[str, Any]) -> None:
        self._ticker = self._tickers[self.symbol] = self._bidsasks[self.symbol] = ticker
        for watcher in self.watchers:
            watcher.put(self.symbol, ticker)

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        super().watch(watcher, symbols)
        if self._ticker is not None and self.is_live:
            watcher.put(self.symbol, self._ticker)

    def live(self, is_live: bool) -> None:
        super().live(is_live)
        if self._ticker is not None:
            self._ticker["info"]["stale"] = not is_live

    def _lost(self, gap: Gap) -> None:
        if gap.new_epoch is None or self._ticker is None:
            return
        self.days.pop(self.symbol, None)  # its last price is none any more
        self._ticker["info"]["stale"] = True  # also for who holds it
        self._ticker = None
        self._tickers.pop(self.symbol, None)
        self._bidsasks.pop(self.symbol, None)
        for watcher in self.watchers:
            watcher.drop(self.symbol)


def ticker_of(symbol: str, message: Message) -> dict[str, Any]:
    """ccxt's ticker of a quote; what the channel does not carry is None."""
    data = message["data"]
    t_ex = message["t_ex"]
    last = data["last"]
    return {
        "symbol": symbol,
        "timestamp": message["t_in"] // 1_000_000 if t_ex is None else t_ex,
        "datetime": message["timestamp"],
        "high": None,
        "low": None,
        "bid": data["bid"],
        "bidVolume": data["bid_size"],
        "ask": data["ask"],
        "askVolume": data["ask_size"],
        "vwap": None,
        "open": None,
        "close": last,
        "last": last,
        "previousClose": None,
        "change": None,
        "percentage": None,
        "average": None,
        "baseVolume": data["volume"],
        "quoteVolume": None,
        "markPrice": None,
        "indexPrice": None,
        "info": message,
    }


OF_THE_DAY: Final = ("open", "vwap", "quoteVolume", "previousClose", "markPrice", "indexPrice")


def add_day(ticker: dict[str, Any], day: Mapping[str, Any]) -> None:
    """What quotes do not carry, from the ticker that REST told; what follows from the last price is of this one."""
    for name in OF_THE_DAY:
        ticker[name] = day.get(name)
    if day.get("baseVolume") is not None:  # of the same moment as the volume in quote, and its average
        ticker["baseVolume"] = day["baseVolume"]
    last = ticker["last"]
    if last is None:
        ticker["last"] = ticker["close"] = last = day.get("last")
    first, high, low = ticker["open"], day.get("high"), day.get("low")
    ticker["high"] = high if last is None or high is None else max(high, last)
    ticker["low"] = low if last is None or low is None else min(low, last)
    if first and last is not None:
        change = float(Decimal(repr(last)) - Decimal(repr(first)))
        ticker["change"] = change
        ticker["percentage"] = change / first * 100
        ticker["average"] = (first + last) / 2


class TradeFeed(Feed):
    """Trades, each once; `trades` is the exchange's own cache of the symbol."""

    def __init__(self, symbol: str, caches: dict[str, Any], limit: int, *hooks: Any) -> None:
        super().__init__(symbol, *hooks)
        self.cache: Any = caches.get(symbol)
        if self.cache is None:
            self.cache = caches[symbol] = ArrayCache(limit)
        self._polled: dict[str, None] = {}  # ids that came by REST: the stream may bring them once more
        # While REST has yet to tell what was between its last answer and the stream: from when on, and what the stream
        # has told since.
        self._from_ms: int | None = None
        self._streamed: set[str] = set()

    def update(self, message: Message) -> None:
        if self._gap is not None:
            self._noted(message)
        trade = trade_of(self.symbol, message)
        if self._polled and trade["id"] in self._polled:
            del self._polled[trade["id"]]
            return
        if self._from_ms is not None:
            self._streamed.add(trade["id"])
            if len(self._streamed) > POLLED_MAX:
                self.given_up()
        self.cache.append(trade)
        for watcher in self.watchers:
            watcher.put(self.symbol, trade)

    def polled(self, trades: list[dict[str, Any]]) -> int:
        """What REST tells while there is no stream: the last trades, also those that are known. How many were new."""
        known = self._streamed.union(self._polled, (trade["id"] for trade in self.cache))
        new = [trade for trade in trades if trade["id"] not in known]
        for trade in new:
            self._polled[trade["id"]] = None
            self.cache.append(trade)
            self._give(trade)
        for old in list(islice(self._polled, max(0, len(self._polled) - POLLED_MAX))):
            del self._polled[old]
        return len(new)

    def newest_ms(self, otherwise: int) -> int:
        """When the newest trade that is known was."""
        return max((trade["timestamp"] for trade in self.cache), default=otherwise)

    @property
    def looks_back_from_ms(self) -> int | None:
        """None: nothing is missing between REST and the stream."""
        return self._from_ms

    def look_back(self, from_ms: int) -> None:
        """REST has told all up to here, and a stream that begins meanwhile does not begin there."""
        self._from_ms = from_ms
        self._streamed.clear()

    def looked_back(self) -> None:
        """REST has told what was before the stream."""
        self._from_ms = None
        self._streamed.clear()

    def given_up(self) -> None:
        """REST does not tell it: nobody knows how many are missing."""
        self.looked_back()
        self.gap(Gap("trades", self.symbol, POLLED, "", 0, 0, None))


def trade_of(symbol: str, message: Message) -> dict[str, Any]:
    """ccxt's trade."""
    data = message["data"]
    t_ex = message["t_ex"]
    price, amount = data["price"], data["size"]
    cost = None
    if price is not None and amount is not None:
        cost = float(Decimal(repr(price)) * Decimal(repr(amount)))
    return {
        "info": message,
        "timestamp": message["t_in"] // 1_000_000 if t_ex is None else t_ex,
        "datetime": message["timestamp"],
        "symbol": symbol,
        "id": data["trade_id"],
        "order": None,
        "type": None,
        "takerOrMaker": None,
        "side": data["side"],
        "price": price,
        "amount": amount,
        "cost": cost,
        "fee": {"cost": None, "currency": None},
        "fees": [],
    }


class Candles(ArrayCacheByTimestamp):  # type: ignore[misc]  # ccxt is not followed: its classes are Any
    """ccxt's cache; another thread may copy it while it grows."""

    def __deepcopy__(self, memo: dict[int, Any]) -> list[list[Any]]:
        """The candles as they are now, each a list of its own."""
        return [list(candle) for candle in deque(self._deque)]


class BarFeed(Feed):
    """Candles; `caches` is `exchange.ohlcvs`."""

    def __init__(self, symbol: str, timeframe: str, caches: dict[str, Any], limit: int, *hooks: Any) -> None:
        super().__init__(symbol, *hooks)
        self.name = (symbol, timeframe)
        by_timeframe = caches.setdefault(symbol, {})
        self.cache: Any = by_timeframe.get(timeframe)
        if self.cache is None:
            self.cache = by_timeframe[timeframe] = Candles(limit)
        self._start = ("", 0)  # of the last bar: as text, and in ms

    def update(self, message: Message) -> None:
        data = message["data"]
        text = data["timestamp"]
        if text != self._start[0]:
            self._start = (text, int(datetime.fromisoformat(text).timestamp() * 1000))
        self.candle([
            self._start[1], data["open"], data["high"], data["low"], data["close"], data["volume"],
        ])  # fmt: skip

    def candle(self, candle: list[Any]) -> None:
        self.cache.append(candle)
        for watcher in self.watchers:
            watcher.put(self.name, candle)


class BookFeed(Feed):
    """An order book; `books` is `exchange.orderbooks`. A book that is not the server's is asked for anew."""

    def __init__(
        self, symbol: str, books: dict[str, Any], wakes: Wakes, again: Callable[[BookFeed], None], *hooks: Any
    ) -> None:
        super().__init__(symbol, *hooks)
        self.book = Book(symbol)
        books[symbol] = self.book.ccxt
        self._wakes = wakes
        self._again = again

    def update(self, message: Message) -> None:
        if self._gap is not None:
            self._noted(message)
        book = self.book
        if not book.apply(message):
            self._again(self)
            return
        book.ccxt["info"] = message
        self._wakes.first(self._show)

    def _show(self) -> None:
        """The burst is over."""
        book = self.book
        if not book.is_whole:
            return
        if not book.verify():
            nonce = book.ccxt["nonce"]
            book.void()
            self.gap(Gap("book", self.symbol, "checksum", "", nonce, nonce, None))
            self._again(self)
            return
        self._give(book.ccxt)

    def polled(self, fetched: dict[str, Any]) -> None:
        """What REST tells while there is no stream."""
        self.book.ccxt.reset(fetched)
        self.book.ccxt["symbol"] = self.symbol
        self.book.ccxt["info"] = {"stale": False, "polled": True}
        self.book.is_whole = False  # the stream begins with a snapshot of its own
        self._give(self.book.ccxt)

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        super().watch(watcher, symbols)
        if self.book.is_whole and self.is_live:
            watcher.put(self.symbol, self.book.ccxt)

    def live(self, is_live: bool) -> None:
        super().live(is_live)
        self.book.ccxt["info"]["stale"] = not is_live

    def _lost(self, gap: Gap) -> None:
        """An update is missing, or the exchange is away: what is left would be wrong."""
        self.book.void()
        self.book.ccxt["info"] = {"stale": True, "gap": gap._asdict()}
        for watcher in self.watchers:
            watcher.drop(self.symbol)
