"""REST instead of a stream, while there is none: what each feed would have been told, as far as REST tells it.

Must not know when to poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ccxt.base.errors import BaseError, NetworkError, NotSupported

from driver.feeds import TradeFeed
from driver.private_feeds import DealFeed, OrderFeed, PositionFeed
from driver.stream import PRIVATE, Stream

AT_ONCE: Final = 8  # requests
PAGE: Final = 500  # rows of a request
TRADE_PAGES_MAX: Final = 10  # of what was between REST and the stream


async def poll(exchange: Any, streams: Sequence[Stream]) -> None:
    """Bring the feeds of these streams up to date once; what is refused is told to who waits for that.

    Raises NetworkError when something could not be asked for, once all the others were.
    """
    room = asyncio.Semaphore(AT_ONCE)

    async def one(stream: Stream) -> None:
        if exchange.is_elsewhere() and stream.key.channel not in PRIVATE:
            raise NotSupported(f"{exchange.id} without a WebSocket has market data of the account's own exchange only")
        async with room:
            await POLLS[stream.key.channel](exchange, stream)

    results = await asyncio.gather(*map(one, streams), return_exceptions=True)
    for stream, result in zip(streams, results, strict=True):
        if isinstance(result, BaseError) and not isinstance(result, NetworkError):
            stream.sink.fail(result)
        elif isinstance(result, BaseException):
            raise result


async def _quote(exchange: Any, stream: Stream) -> None:
    feed: Any = stream.sink
    # Not what `ticker_cache_ms` keeps: that would be told as new.
    ticker = await exchange.carry_out(exchange.pass_through("fetch_ticker", (feed.symbol,), api="public"))
    feed.ticker({**ticker, "info": {"polled": True, "ticker": ticker.get("info")}})


async def _book(exchange: Any, stream: Stream) -> None:
    feed: Any = stream.sink
    feed.polled(await exchange.fetch_order_book(feed.symbol, stream.depth))


async def _trades(exchange: Any, stream: Stream) -> None:
    feed = stream.sink
    assert isinstance(feed, TradeFeed)
    since = feed.looks_back_from_ms
    if stream.is_live:
        if since is not None:
            await _trades_before(exchange, feed, since)
        return
    since = feed.newest_ms(exchange.milliseconds() - 1000)
    feed.polled(await exchange.fetch_trades(feed.symbol, since))
    if not stream.epoch:  # else the stream goes on from where it was, and tells all of it, or a gap
        feed.look_back(feed.newest_ms(since))


async def _trades_before(exchange: Any, feed: TradeFeed, since: int) -> None:
    """What was between the last answer of REST and the stream; a gap when there is no end of it."""
    for _ in range(TRADE_PAGES_MAX):
        trades = await exchange.fetch_trades(feed.symbol, since)
        if not feed.polled(trades):
            feed.looked_back()
            return
        since = max(trade["timestamp"] for trade in trades)
    feed.given_up()


async def _bars(exchange: Any, stream: Stream) -> None:
    feed: Any = stream.sink
    for candle in await exchange.fetch_ohlcv(feed.symbol, stream.key.timeframe, None, 2):
        feed.candle(candle)


async def _orders(exchange: Any, stream: Stream) -> None:
    feed = stream.sink
    assert isinstance(feed, OrderFeed)
    where = {"account_ids": int(stream.key.name)}
    if not feed.over_after:  # those that were over before do not matter
        newest = await exchange.carry_out(exchange.rows("oms/orders/history", where, limit=1))
        feed.over_after = [newest[-1]["id"] if newest else 0]
    opened = await exchange.carry_out(exchange.rows("oms/orders/open", where, since=0))
    ids = {row["id"] for row in opened}
    ended = await _rows_after(exchange, "oms/orders/history", where, feed.over_after[0])
    # From where it began the last time: what was open for no look at all may be older than what it has seen since.
    feed.over_after = [feed.over_after[-1], max((feed.over_after[-1], *ids, *(row["id"] for row in ended)))]
    known = ids | {row["id"] for row in ended}
    over = [
        int(order["id"]) for order in feed.cache if order["status"] == "open" and int(order["id"]) not in known
    ]  # fmt: skip
    for row in opened + ended + (await exchange.carry_out(exchange.orders_by_ids(over)) if over else []):
        feed.row(row)


async def _rows_after(exchange: Any, path: str, where: dict[str, Any], after: int) -> list[Any]:
    """All rows with a higher number."""
    rows: list[Any] = []
    while True:
        query = {**where, "after_id": after, "page_size": PAGE}
        items = (await exchange.carry_out(exchange.read(path, query)))["items"]
        rows += items
        if len(items) < PAGE:
            return rows
        after = items[-1]["id"]


async def _deals(exchange: Any, stream: Stream) -> None:
    feed = stream.sink
    assert isinstance(feed, DealFeed)
    where = {"account_ids": int(stream.key.name)}
    is_live = stream.is_live
    if not feed.is_begun:  # those before do not matter
        newest = await exchange.carry_out(exchange.rows("oms/deals", where, limit=1))
        feed.begin(newest[-1]["id"] if newest else 0)
        return
    if not stream.epoch:  # else the stream goes on from where it was, and tells all of it
        feed.look_back()
    if is_live and not feed.is_looking_back:  # REST was never asked: there is nothing before the stream
        return
    for row in await _rows_after(exchange, "oms/deals", where, feed.newest_id):
        feed.row(row)
        feed.read_to(row["id"])
    if is_live:
        feed.looked_back()


async def _positions(exchange: Any, stream: Stream) -> None:
    feed = stream.sink
    assert isinstance(feed, PositionFeed)
    where = {"account_ids": int(stream.key.name)}
    feed.snapshot(await exchange.carry_out(exchange.rows("oms/positions/open", where, since=0)))


POLLS: Final[dict[str, Any]] = {
    "quotes": _quote,
    "book": _book,
    "trades": _trades,
    "bars": _bars,
    "orders": _orders,
    "deals": _deals,
    "positions": _positions,
}
