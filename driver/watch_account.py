"""`watch_*` of an account: orders, my trades, positions and the balance, each event once.

Must not know sockets or messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById, ArrayCacheBySymbolBySide
from ccxt.base.errors import BaseError, NetworkError

from driver.cursors import Each, Newest
from driver.hub import Want, Watch
from driver.plan import Host
from driver.private_feeds import DealFeed, OrderFeed, PositionFeed, PrivateFeed
from driver.stream import Key

CACHE: Final = 1000  # as ccxt.pro keeps
BALANCE_MS: Final = 30_000  # a balance that nothing seems to have changed is looked at again
BALANCE_RETRY_MS: Final = 1_000
BALANCE_AFTER_MS: Final = 50  # after an event: what comes with it is waited for


class WatchAccount(Host):
    """See the module."""

    orders: Any  # ccxt's caches; None until somebody watches
    myTrades: Any  # noqa: N815  # as ccxt has it
    positions: Any
    _balance_task: asyncio.Task[None] | None

    async def watch_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        """Orders that changed since the last call, each as it is now; with `newUpdates` off all that are kept."""
        return await self.watch_orders_for_symbols([] if symbol is None else [symbol], since, limit, params)

    async def watch_orders_for_symbols(
        self, symbols: Sequence[str], since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        names = await self._names(symbols)
        watch = await self._watch_account("orders", names, Newest, ("orders",), params, also=("deals",))
        changed = await watch.cursor.next()
        orders = list(changed.values()) if self.newUpdates else self._kept("orders", names, params)
        return self._told(orders, since, limit)

    async def watch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        """Fills since the last call, each once; with `newUpdates` off all that are kept."""
        return await self.watch_my_trades_for_symbols([] if symbol is None else [symbol], since, limit, params)

    async def watch_my_trades_for_symbols(
        self, symbols: Sequence[str], since: int | None = None, limit: int | None = None, params: Any = {}
    ) -> Any:
        names = await self._names(symbols)
        watch = await self._watch_account("deals", names, Each, ("deals",), params)
        fills = await watch.cursor.next()
        trades = fills if self.newUpdates else self._kept("deals", names, params)
        return self._told(trades, since, limit)

    async def watch_positions(
        self,
        symbols: Sequence[str] | None = None,
        since: int | None = None,
        limit: int | None = None,
        params: Any = {},
    ) -> Any:
        """Positions that changed since the last call; at first those that are open. A closed one has no contracts."""
        names = await self._names(symbols or [])
        watch = await self._watch_account("positions", names, Newest, ("positions",), params)
        changed = await watch.cursor.next()
        positions = list(changed.values()) if self.newUpdates else self._kept("positions", names, params)
        return self._told(positions, since, limit)

    async def watch_position(self, symbol: str | None = None, params: Any = {}) -> Any:
        """The position of the symbol, when it has changed."""
        (*_, position) = await self.watch_positions(None if symbol is None else [symbol], None, None, params)
        return position

    async def watch_balance(self, params: Any = {}) -> Any:
        """The balance: at first as it is, then whenever an order or a fill has changed it."""
        watch = await self._watch_account("balance", (), Newest, (), {}, also=("orders", "deals", "positions"))
        if self._balance_task is None or self._balance_task.done():
            self._balance_task = asyncio.create_task(self._follow_balance(watch), name="tickwire balance")
        return (await watch.cursor.next())["balance"]

    async def un_watch_orders(self, symbol: str | None = None, params: Any = {}) -> Any:
        names = await self._names([] if symbol is None else [symbol])
        return await self._unwatch(self._kind("orders", params), names)

    async def un_watch_my_trades(self, symbol: str | None = None, params: Any = {}) -> Any:
        names = await self._names([] if symbol is None else [symbol])
        return await self._unwatch(self._kind("deals", params), names)

    async def un_watch_positions(self, symbols: Sequence[str] | None = None, params: Any = {}) -> Any:
        return await self._unwatch(self._kind("positions", params), await self._names(symbols or []))

    async def un_watch_balance(self, params: Any = {}) -> Any:
        if self._balance_task is not None:
            self._balance_task.cancel()
            self._balance_task = None
        return await self._unwatch("balance", ())

    # Parts

    def _told(self, items: list[Any], since: int | None, limit: int | None) -> Any:
        """Those that changed last, the oldest first: an older one may change after a newer one."""
        return self.sort_by(self.filter_by_since_limit(items, since, limit, "timestamp", True), "timestamp")

    async def _names(self, symbols: Sequence[str]) -> tuple[str, ...]:
        if not self.markets:
            await self.prepared(self.load_markets)
        return tuple([self.market(symbol)["symbol"] for symbol in symbols])

    def _kept(self, channel: str, names: tuple[str, ...], params: Any) -> Any:
        strategy_id = self.strategy_id(params)
        return [
            item
            for item in self.private_feed(channel).cache
            if (not names or item["symbol"] in names)
            and (strategy_id is None or item["info"]["strategy_id"] == strategy_id)
        ]

    def _kind(self, channel: str, params: Any) -> str:
        """What of an account is watched: of one strategy it is something else than of all."""
        strategy_id = self.strategy_id(params)
        return channel if strategy_id is None else f"{channel} of strategy {strategy_id}"

    async def _watch_account(
        self,
        channel: str,
        names: tuple[str, ...],
        cursor: Any,
        channels: Sequence[str],
        params: Any,
        also: Sequence[str] = (),
    ) -> Watch:
        """`channels` are told to the cursor, `also` are subscribed for what comes with them."""
        hub = self.hub
        account, _ = await self.prepared(self.traded_at)

        strategy_id, kind = self.strategy_id(params), channel if channel == "balance" else self._kind(channel, params)
        about = tuple((strategy_id, name) for name in names or ("",))
        for each in (*channels, *also):
            self.private_feed(each).strategies.add(strategy_id)

        def wants() -> list[Want]:
            told = [Want(Key(each, str(account)), partial(self.private_feed, each), 0, about) for each in channels]
            silent = [Want(Key(each, str(account)), partial(self.private_feed, each), 0, None) for each in also]
            return told + silent

        given_up = partial(self.given_up, channel)
        watch: Watch = hub.watch((kind, names), partial(cursor, hub.wakes, given_up=given_up), wants)
        return watch

    def private_feed(self, channel: str) -> Any:
        """The feed of a private channel; it outlives its stream, so that nothing is told twice."""
        feed = self._private_feeds.get(channel)
        if feed is None:
            feed = self._private_feeds[channel] = self._new_private_feed(channel)
            feed.confirm = self.hub.streams.confirm
            feed.also.append(self._something_happened)
        return feed

    def _new_private_feed(self, channel: str) -> PrivateFeed:
        hooks = (self.on_stream_gap, self.stream_failure)
        if channel == "positions":
            if self.positions is None:
                self.positions = ArrayCacheBySymbolBySide()
            return PositionFeed(self.positions, self._position, *hooks)
        limit = int(self.options.get("ordersLimit" if channel == "orders" else "tradesLimit", CACHE))
        if channel == "orders":
            if self.orders is None:
                self.orders = ArrayCacheBySymbolById(limit)
            feed = OrderFeed(self.orders, self.order_of, *hooks)
            self.private_feed("deals").orders = feed
            return feed
        if self.myTrades is None:
            self.myTrades = ArrayCacheBySymbolById(limit)
        return DealFeed(self.myTrades, self.hub.wakes, self.trade_of, *hooks)

    def _position(self, row: Any) -> Any:
        ticker = self.tickers.get(row["symbol"]) or {}
        return self.position_of(row, ticker.get("last"))

    # The balance

    def _something_happened(self) -> None:
        self._balance_due.set()

    async def _follow_balance(self, watch: Watch) -> None:
        """Ask for it when something happened, and tell it when it is another one."""
        known: Any = None
        while True:
            self._balance_due.clear()
            wait_ms = float(self.options.get("balance_refresh_ms", BALANCE_MS))
            try:
                balance = await self.fetch_balance()
            except BaseError as error:
                watch.cursor.fail(error)
                if not isinstance(error, NetworkError):
                    return  # refused: who asks again has it asked for again
                wait_ms = BALANCE_RETRY_MS
            else:
                if (told := _amounts(balance)) != known:
                    known = told
                    self.balance = balance
                    watch.cursor.put("balance", balance)
            if await _is_set(self._balance_due.wait, wait_ms):
                await asyncio.sleep(BALANCE_AFTER_MS / 1000)


def _amounts(balance: Any) -> Any:
    return {name: balance.get(name) for name in ("free", "used", "total")}


async def _is_set(wait: Callable[[], Any], timeout_ms: float) -> bool:
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await wait()
    except TimeoutError:
        return False
    return True
