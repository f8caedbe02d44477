"""`watch_*` of market data: which streams each call needs, and what of that it returns.

Must not know sockets or messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ccxt.base.errors import ArgumentsRequired

from driver.cursors import EachOf, Newest, NewestOf, One
from driver.feeds import BarFeed, BookFeed, QuoteFeed, TradeFeed
from driver.hub import Want, Watch
from driver.plan import Host
from driver.stream import Key, Stream

CHANNELS: Final = {"ticker": "quotes", "bidsasks": "quotes", "trades": "trades", "book": "book", "ohlcv": "bars"}
DEPTH: Final = 100  # levels of a book, unless the program says how many
CACHE: Final = 1000  # as ccxt.pro keeps
DAY_MS: Final = 5_000  # what quotes do not carry of a ticker is asked for so often


class WatchMarket(Host):
    """See the module."""

    # Tickers

    async def watch_ticker(self, symbol: str, params: Any = {}) -> Any:
        """The ticker, as soon as there is one that was not returned yet."""
        (name,) = await self._symbols([symbol])
        await self._day((name,))
        tickers = await (await self._quotes("ticker", (name,))).cursor.next()
        return tickers[name]

    async def watch_tickers(self, symbols: Sequence[str] | None = None, params: Any = {}) -> Any:
        """Those that are new, by symbol. Raises ArgumentsRequired without symbols: a gateway has no end of them."""
        names = await self._symbols(symbols)
        await self._day(names)
        tickers = await (await self._quotes("ticker", names)).cursor.next()
        return tickers if self.newUpdates else self.filter_by_array(self.tickers, "symbol", names)

    async def watch_bids_asks(self, symbols: Sequence[str] | None = None, params: Any = {}) -> Any:
        """As `watch_tickers`, for who is interested in the best prices."""
        names = await self._symbols(symbols)
        tickers = await (await self._quotes("bidsasks", names)).cursor.next()
        return tickers if self.newUpdates else self.filter_by_array(self.bidsasks, "symbol", names)

    async def un_watch_ticker(self, symbol: str, params: Any = {}) -> Any:
        return await self._unwatch("ticker", await self._symbols([symbol]))

    async def un_watch_tickers(self, symbols: Sequence[str] | None = None, params: Any = {}) -> Any:
        return await self._unwatch("ticker", await self._symbols(symbols, may_be_all=True))

    async def un_watch_bids_asks(self, symbols: Sequence[str] | None = None, params: Any = {}) -> Any:
        return await self._unwatch("bidsasks", await self._symbols(symbols, may_be_all=True))

    async def _quotes(self, kind: str, names: tuple[str, ...]) -> Watch:
        return await self._watch(kind, names, Newest, self._quote_feed)

    def _quote_feed(self, name: str, *hooks: Any) -> QuoteFeed:
        feed = QuoteFeed(name, self.tickers, self.bidsasks, *hooks)
        feed.days = self.days.by_symbol
        return feed

    async def _day(self, names: tuple[str, ...]) -> None:
        """What the stream does not carry of a ticker is known, if it can be."""
        every_ms = float(self.options.get("ticker_refresh_ms", DAY_MS))
        if every_ms and not self.is_elsewhere():
            await self.prepared(partial(self.days.known, names, every_ms))

    async def _day_tickers(self, symbols: Sequence[str]) -> dict[str, Any]:
        """By symbol. Raises what REST refuses."""
        if len(symbols) > 1 and self.has.get("fetchTickers"):
            tickers: dict[str, Any] = await self.fetch_tickers(list(symbols))
            return tickers
        return {symbol: await self.fetch_ticker(symbol) for symbol in symbols}

    def _tickers_watched(self) -> set[str]:
        return {name for kind, names in self.hub.watches if kind == "ticker" for name in names}

    # Books

    async def watch_order_book(self, symbol: str, limit: int | None = None, params: Any = {}) -> Any:
        """The live book. `limit`: how many levels; the deepest anybody asked for counts."""
        return await self.watch_order_book_for_symbols([symbol], limit, params)

    async def watch_order_book_for_symbols(
        self, symbols: Sequence[str], limit: int | None = None, params: Any = {}
    ) -> Any:
        """One live book that has changed."""
        names = await self._symbols(symbols)
        depth = limit or int(self.options.get("watchOrderBookLimit", DEPTH))
        watch = await self._watch(
            "book", names, One,
            lambda name, *hooks: BookFeed(name, self.orderbooks, self.hub.wakes, self._book_again, *hooks),
            depth=depth,
        )  # fmt: skip
        _, book = await watch.cursor.next()
        return book

    async def un_watch_order_book(self, symbol: str, params: Any = {}) -> Any:
        return await self._unwatch("book", await self._symbols([symbol]))

    async def un_watch_order_book_for_symbols(self, symbols: Sequence[str], params: Any = {}) -> Any:
        return await self._unwatch("book", await self._symbols(symbols))

    def _book_again(self, feed: BookFeed) -> None:
        for stream in self.hub.streams.by_key.values():
            if stream.sink is feed:
                self.hub.streams.again(stream)
                return

    # Trades

    async def watch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        """All trades that came since the last call; with `newUpdates` off all that are kept."""
        return await self.watch_trades_for_symbols([symbol], since, limit, params)

    async def watch_trades_for_symbols(
        self, symbols: Sequence[str], since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        """The same of one of these symbols."""
        names = await self._symbols(symbols)
        watch = await self._watch(
            "trades", names, EachOf,
            lambda name, *hooks: TradeFeed(name, self.trades, self._cached("trades"), *hooks),
        )  # fmt: skip
        name, trades = await watch.cursor.next()
        if not self.newUpdates:
            trades = self.trades[name]
        return trades if since is None and limit is None else self._filtered(trades, since, limit, "timestamp")

    async def un_watch_trades(self, symbol: str, params: Any = {}) -> Any:
        return await self._unwatch("trades", await self._symbols([symbol]))

    async def un_watch_trades_for_symbols(self, symbols: Sequence[str], params: Any = {}) -> Any:
        return await self._unwatch("trades", await self._symbols(symbols))

    # Candles

    async def watch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        """The candles that changed since the last call; with `newUpdates` off all that are kept."""
        _, candles = await self._candles([[symbol, timeframe]], since, limit)
        return candles

    async def watch_ohlcv_for_symbols(
        self,
        symbolsAndTimeframes: Sequence[Sequence[str]],  # as ccxt has it
        since: int | None = None,
        limit: int | None = None,
        params: Any = {},
    ) -> Any:
        """The same of one of these, as `{symbol: {timeframe: candles}}`."""
        (symbol, timeframe), candles = await self._candles(symbolsAndTimeframes, since, limit)
        return self.create_ohlcv_object(symbol, timeframe, candles)

    async def un_watch_ohlcv(self, symbol: str, timeframe: str = "1m", params: Any = {}) -> Any:
        return await self.un_watch_ohlcv_for_symbols([[symbol, timeframe]], params)

    async def un_watch_ohlcv_for_symbols(
        self, symbolsAndTimeframes: Sequence[Sequence[str]], params: Any = {}  # as ccxt has it
    ) -> Any:  # fmt: skip
        return await self._unwatch("ohlcv", await self._frames(symbolsAndTimeframes))

    async def _candles(
        self, frames: Sequence[Sequence[str]], since: int | None, limit: int | None
    ) -> tuple[tuple[str, str], Any]:
        names = await self._frames(frames)
        watch = await self._watch(
            "ohlcv", names, NewestOf,
            lambda name, *hooks: BarFeed(*name, self.ohlcvs, self._cached("OHLCV"), *hooks),
        )  # fmt: skip
        (symbol, timeframe), candles = await watch.cursor.next()
        if not self.newUpdates:
            candles = self.ohlcvs[symbol][timeframe]
        return (symbol, timeframe), self._filtered(candles, since, limit, 0)

    async def _frames(self, frames: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
        if not frames or not all(len(frame) == 2 for frame in frames):
            raise ArgumentsRequired(f"{self.id} requires [[symbol, timeframe], ..]")
        names = await self._symbols([symbol for symbol, _ in frames])
        return tuple(zip(names, (timeframe for _, timeframe in frames), strict=True))

    # Parts

    async def _symbols(self, symbols: Sequence[str] | None, *, may_be_all: bool = False) -> tuple[str, ...]:
        if not self.markets:
            await self.prepared(self.load_markets)
        if not symbols:
            if may_be_all:
                return ()
            raise ArgumentsRequired(f"{self.id} requires symbols to watch")
        return tuple([self.market(symbol)["symbol"] for symbol in symbols])

    def _cached(self, what: str) -> int:
        return int(self.options.get(f"{what}Limit", CACHE))

    def _filtered(self, items: Any, since: int | None, limit: int | None, key: Any) -> Any:
        return self.filter_by_since_limit(items, since, limit, key, True)

    async def _watch(
        self, kind: str, names: tuple[Any, ...], cursor: Any, feed: Callable[..., Any], depth: int = 0
    ) -> Watch:
        """`feed` makes the feed of one of the names."""
        hub = self.hub
        watch: Watch | None = hub.watches.get((kind, names))
        if watch is not None and hub.is_open and depth <= watch.streams[0].depth:
            for stream in watch.streams:
                if not stream.is_live:
                    hub.streams.need(stream)
            return watch
        _, exchange = await self.prepared(self.traded_at)
        channel = CHANNELS[kind]
        hooks = (self.on_stream_gap, self.stream_failure)

        def wants() -> list[Want]:
            return [
                Want(self._key(channel, exchange, name), partial(feed, name, *hooks), depth)
                for name in dict.fromkeys(names)
            ]

        watch = hub.watch((kind, names), partial(cursor, hub.wakes, given_up=partial(self.given_up, channel)), wants)
        for stream in watch.streams:
            hub.streams.deepen(stream, depth)
        return watch

    def _key(self, channel: str, exchange: str, name: Any) -> Key:
        symbol, timeframe = name if isinstance(name, tuple) else (name, "")
        return Key(channel, f"{exchange}:{symbol}", timeframe)

    async def _unwatch(self, kind: str, names: tuple[Any, ...]) -> bool:
        """End every way of watching that is about nothing else than these; about all when there are none."""
        for watched, among in list(self.hub.watches):
            if watched == kind and (not names or set(among) <= set(names)):
                for stream in self.hub.unwatch((watched, among)):
                    self._forget(stream)
        return True

    def _forget(self, stream: Stream) -> None:
        """What is not kept up to date is not to be taken for what is."""
        channel, _, timeframe = stream.key
        symbol = stream.sink.symbol
        tables = {"quotes": (self.tickers, self.bidsasks), "book": (self.orderbooks,), "trades": (self.trades,)}
        for table in tables.get(channel, ()):
            table.pop(symbol, None)
        if channel == "bars":
            self.ohlcvs.get(symbol, {}).pop(timeframe, None)
