"""Market data as ccxt's structures and caches: what each update becomes, and what a gap does to what is known."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import Any

import ccxt
import pytest
from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheByTimestamp

from driver import feeds
from driver.books import checksum
from driver.cursors import EachOf, Newest, NewestOf, One, Wakes
from driver.feeds import BarFeed, BookFeed, Candles, QuoteFeed, TradeFeed, ticker_of, trade_of
from driver.stream import Gap

T_IN = 1_795_251_773_976_131_803
LOST = Gap("quotes", "sim:BTC/USDT", "upstream", "e1", 8, 8, "e2")
SLOW = Gap("book", "sim:BTC/USDT", "slow_consumer", "e1", 8, 9, None)


class Told:
    """What feeds tell beside updates."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.again: list[Any] = []
        self.wakes = Wakes(lambda flush: None)  # flushed by the test

    @property
    def hooks(self) -> tuple[Any, Any]:
        return self.gaps.append, lambda code, message: ccxt.BadSymbol(f"{code} {message}")


@pytest.fixture(name="told")
def _told() -> Told:
    return Told()


def quote(sequence: int = 1, **data: Any) -> dict[str, Any]:
    given = {"bid": 1.5, "ask": 2.5, "last": 2, "bid_size": 10, "ask_size": 20, "volume": 100.5, **data}
    return envelope("quote", sequence, given)


def trade(sequence: int = 1, **data: Any) -> dict[str, Any]:
    given = {"price": 59999.87, "size": 0.00297, "side": "sell", "trade_id": str(sequence), **data}
    return envelope("trade", sequence, given)


def bar(sequence: int, timestamp: str, close: float, *, closed: bool = False) -> dict[str, Any]:
    given = {"open": 1, "high": 3, "low": 1, "close": close, "volume": 7, "timestamp": timestamp, "closed": closed}
    return envelope("bar", sequence, given)


def book(sequence: int, bids: Any, asks: Any, kind: str = "snapshot", expected: int | None = None) -> dict[str, Any]:
    levels = [[[float(number) for number in level] for level in side] for side in (asks, bids)]
    data = {"bids": bids, "asks": asks, "checksum": checksum(*levels) if expected is None else expected}
    return {**envelope("book", sequence, data), "kind": kind}


def envelope(kind: str, sequence: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": kind, "kind": "update", "epoch": "e1", "sequence": sequence, "t_ex": 1_795_251_774_043, "t_in": T_IN,
        "timestamp": "2026-11-21T09:02:54.043Z", "data": {"symbol": "BTC/USDT", **data},
    }  # fmt: skip


def test_a_quote_is_the_ticker_that_ccxt_would_make() -> None:
    made = ticker_of("BTC/USDT", quote())
    usual = ccxt.Exchange().safe_ticker({
        "symbol": "BTC/USDT", "timestamp": made["timestamp"], "datetime": made["datetime"], "bid": "1.5", "ask": "2.5",
        "bidVolume": "10", "askVolume": "20", "last": "2", "baseVolume": "100.5", "info": made["info"],
    })  # fmt: skip
    assert set(made) >= set(usual)
    known = {name: value for name, value in usual.items() if value is not None and name != "quoteVolume"}
    assert {name: made[name] for name in known} == known
    assert ticker_of("BTC/USDT", {**quote(), "t_ex": None})["timestamp"] == T_IN // 1_000_000


def test_a_trade_is_the_one_that_ccxt_would_make() -> None:
    made = trade_of("BTC/USDT", trade())
    usual = ccxt.Exchange().safe_trade({
        "symbol": "BTC/USDT", "timestamp": made["timestamp"], "datetime": made["datetime"], "id": "1", "side": "sell",
        "price": "59999.87", "amount": "0.00297", "info": made["info"],
    })  # fmt: skip
    assert set(made) >= set(usual)
    assert {name: made[name] for name in usual if name not in {"fee", "fees"}} == {
        name: value for name, value in usual.items() if name not in {"fee", "fees"}
    }
    assert trade_of("BTC/USDT", {**trade(), "t_ex": None})["timestamp"] == T_IN // 1_000_000
    assert trade_of("BTC/USDT", trade(price=None))["cost"] is None


def test_a_ticker_is_told_and_kept_and_void_when_the_exchange_is_lost(told: Told) -> None:
    tickers: dict[str, Any] = {}
    bidsasks: dict[str, Any] = {}
    feed, cursor = QuoteFeed("BTC/USDT", tickers, bidsasks, *told.hooks), Newest(told.wakes)
    feed.watch(cursor)
    feed.live(True)
    feed.update(quote())
    held = tickers["BTC/USDT"]
    assert cursor.unread == {"BTC/USDT": held}
    assert bidsasks["BTC/USDT"] is held
    feed.gap(LOST)
    assert (cursor.unread, tickers, bidsasks) == ({}, {}, {})
    assert held["info"]["stale"] is True
    assert told.gaps == [LOST]
    feed.update(quote(2))
    assert tickers["BTC/USDT"]["info"]["gap"]["reason"] == "upstream"
    feed.update(quote(3))
    assert "gap" not in tickers["BTC/USDT"]["info"]


def test_a_ticker_is_stale_while_there_is_no_connection(told: Told) -> None:
    tickers: dict[str, Any] = {}
    feed = QuoteFeed("BTC/USDT", tickers, {}, *told.hooks)
    feed.live(True)
    feed.update(quote())
    feed.live(False)
    assert tickers["BTC/USDT"]["info"]["stale"] is True
    late, later = Newest(told.wakes), Newest(told.wakes)
    feed.watch(late)
    assert not late.unread, "nobody is given an old price as if it were new"
    feed.live(True)
    assert tickers["BTC/USDT"]["info"]["stale"] is False
    feed.watch(later)
    assert later.unread == tickers
    feed.unwatch(late)
    feed.update(quote(2))
    assert not late.unread


def test_trades_go_to_ccxts_cache_and_to_who_watches(told: Told) -> None:
    caches: dict[str, Any] = {}
    feed, cursor = TradeFeed("BTC/USDT", caches, 3, *told.hooks), EachOf(told.wakes)
    feed.watch(cursor)
    for number in range(1, 6):
        feed.update(trade(number))
    assert isinstance(caches["BTC/USDT"], ArrayCache)
    assert [each["id"] for each in caches["BTC/USDT"]] == ["3", "4", "5"]
    assert [each["id"] for each in cursor.unread["BTC/USDT"]] == ["1", "2", "3", "4", "5"]
    feed.gap(LOST)
    feed.update(trade(6))
    assert cursor.unread["BTC/USDT"][-1]["info"]["gap"]["new_epoch"] == "e2"
    assert TradeFeed("BTC/USDT", caches, 3, *told.hooks).cache is feed.cache


def test_a_ticker_has_what_the_day_says_until_the_exchange_is_lost(told: Told) -> None:
    feed = QuoteFeed("BTC/USDT", {}, {}, *told.hooks)
    cursor = Newest(told.wakes)
    feed.watch(cursor)
    feed.days = {"BTC/USDT": {"open": 0.1, "high": 5, "low": 1, "last": 4, "quoteVolume": 7}}
    feed.update(quote(1, last=0.3))
    ticker = cursor.take()["BTC/USDT"]
    assert [ticker[name] for name in ("last", "high", "low", "change", "quoteVolume")] == [0.3, 5, 0.3, 0.2, 7]
    feed.gap(LOST)
    feed.update(quote(1, last=None))
    ticker = cursor.take()["BTC/USDT"]
    assert [ticker[name] for name in ("last", "high", "change")] == [None, None, None]


def test_trades_that_came_by_rest_are_not_told_twice(told: Told) -> None:
    feed, cursor = TradeFeed("BTC/USDT", {}, 100, *told.hooks), EachOf(told.wakes)
    feed.watch(cursor)
    feed.update(trade(1))
    polled = [trade_of("BTC/USDT", trade(number)) for number in (1, 2, 3)]
    feed.polled(polled)
    feed.polled(polled)
    for number in (2, 3, 4):
        feed.update(trade(number))
    assert [each["id"] for each in cursor.unread["BTC/USDT"]] == ["1", "2", "3", "4"]


def test_of_trades_that_rest_told_the_newest_are_remembered(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLLED_MAX", 20)
    feed = TradeFeed("BTC/USDT", {}, 10, *told.hooks)
    for number in range(100):
        assert feed.polled([trade_of("BTC/USDT", trade(number))]) == 1
    assert list(feed._polled) == [str(number) for number in range(80, 100)]


def test_what_the_stream_told_before_rest_tells_it_is_not_told_twice_however_little_is_kept(told: Told) -> None:
    feed, cursor = TradeFeed("BTC/USDT", {}, 1, *told.hooks), EachOf(told.wakes)
    feed.watch(cursor)
    feed.polled([trade_of("BTC/USDT", trade(1))])
    feed.look_back(feed.newest_ms(0))
    for number in (3, 4, 5):
        feed.update(trade(number))
    assert feed.polled([trade_of("BTC/USDT", trade(number)) for number in range(1, 6)]) == 1
    feed.looked_back()
    assert [each["id"] for each in cursor.unread["BTC/USDT"]] == ["1", "3", "4", "5", "2"]
    assert (feed.looks_back_from_ms, feed._streamed) == (None, set())


def test_what_rest_never_tells_is_a_gap_and_not_remembered_for_ever(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "POLLED_MAX", 5)
    feed = TradeFeed("BTC/USDT", {}, 10, *told.hooks)
    feed.look_back(7)
    for number in range(10):
        feed.update(trade(number))
    assert [(gap.channel, gap.name, gap.reason) for gap in told.gaps] == [("trades", "BTC/USDT", "polled")]
    assert (feed.looks_back_from_ms, feed._streamed) == (None, set())


def test_candles_grow_and_close(told: Told) -> None:
    caches: dict[str, Any] = {}
    feed, cursor = BarFeed("BTC/USDT", "1m", caches, 100, *told.hooks), NewestOf(told.wakes)
    feed.watch(cursor)
    feed.update(bar(1, "2026-11-21T09:02:00.000Z", 1.5))
    feed.update(bar(2, "2026-11-21T09:02:00.000Z", 2.5, closed=True))
    feed.update(bar(3, "2026-11-21T09:03:00.000Z", 2))
    start = 1_795_251_720_000
    candles = [[start, 1, 3, 1, 2.5, 7], [start + 60_000, 1, 3, 1, 2, 7]]
    assert list(caches["BTC/USDT"]["1m"]) == candles
    assert isinstance(caches["BTC/USDT"]["1m"], ArrayCacheByTimestamp)
    assert cursor.take() == (("BTC/USDT", "1m"), candles)


def test_another_thread_may_copy_candles_while_they_grow() -> None:
    candles = Candles(1_000)
    done = threading.Event()

    def grow() -> None:
        for number in range(60_000):
            candles.append([number, 1, 2, 3, 4, 5])
        done.set()

    thread = threading.Thread(target=grow)
    thread.start()
    copies = 0
    while not done.is_set():
        copied = copy.deepcopy(candles)
        assert [row[0] for row in copied] == sorted(row[0] for row in copied)
        copies += 1
    thread.join()
    assert copies
    copied = copy.deepcopy(candles)
    copied[0][0] = None
    assert candles[0][0] == 59_000


def test_a_book_is_shown_once_a_burst_and_verified(told: Told) -> None:
    books: dict[str, Any] = {}
    feed, cursor = BookFeed("BTC/USDT", books, told.wakes, told.again.append, *told.hooks), One(told.wakes)
    feed.watch(cursor)
    feed.live(True)
    assert books["BTC/USDT"]["info"]["stale"] is False
    feed.update(book(1, [[10, 1]], [[11, 1]]))
    feed.update(book(2, [[10, 2]], [], "update", checksum([[11.0, 1.0]], [[10.0, 2.0]])))
    assert not cursor.unread
    told.wakes.flush()
    assert cursor.take() == ("BTC/USDT", books["BTC/USDT"])
    assert list(books["BTC/USDT"]["bids"]) == [[10.0, 2.0]]
    assert books["BTC/USDT"]["info"]["sequence"] == 2
    late = One(told.wakes)
    feed.watch(late)
    assert late.unread


def test_a_book_that_is_not_the_servers_is_shown_to_nobody_and_asked_for_anew(told: Told) -> None:
    books: dict[str, Any] = {}
    feed, cursor = BookFeed("BTC/USDT", books, told.wakes, told.again.append, *told.hooks), One(told.wakes)
    feed.watch(cursor)
    feed.update(book(1, [[10, 1]], [[11, 1]]))
    told.wakes.flush()
    cursor.take()
    feed.update(book(2, [[10, 2]], [], "update", 12345))
    told.wakes.flush()
    assert not cursor.unread
    assert told.again == [feed]
    assert (told.gaps[0].reason, told.gaps[0].first) == ("checksum", 2)
    assert (list(books["BTC/USDT"]["bids"]), books["BTC/USDT"]["info"]["stale"]) == ([], True)
    feed.update(book(3, [[10, 3]], [[11, 1]]))
    told.wakes.flush()
    assert books["BTC/USDT"]["info"]["gap"]["reason"] == "checksum"
    assert cursor.unread


def test_a_gap_leaves_no_book_until_the_next_snapshot(told: Told) -> None:
    books: dict[str, Any] = {}
    feed, cursor = BookFeed("BTC/USDT", books, told.wakes, told.again.append, *told.hooks), One(told.wakes)
    feed.watch(cursor)
    feed.update(book(1, [[10, 1]], [[11, 1]]))
    told.wakes.flush()
    feed.gap(SLOW)
    told.wakes.flush()
    assert not cursor.unread
    assert (list(books["BTC/USDT"]["asks"]), books["BTC/USDT"]["info"]["stale"]) == ([], True)
    feed.update(book(10, [[10, 1]], [], "update"))
    assert told.again == [feed], "changes without a snapshot are no book"


def test_a_book_that_came_by_rest_says_so(told: Told) -> None:
    books: dict[str, Any] = {}
    feed, cursor = BookFeed("BTC/USDT", books, told.wakes, told.again.append, *told.hooks), One(told.wakes)
    feed.watch(cursor)
    feed.polled({"bids": [[1, 2]], "asks": [[3, 4]], "timestamp": 5, "nonce": 6})
    assert cursor.unread
    assert (books["BTC/USDT"]["nonce"], books["BTC/USDT"]["info"]["polled"]) == (6, True)
    feed.update(book(2, [[10, 1]], [], "update"))
    assert told.again == [feed]


async def test_a_refusal_reaches_who_waits(told: Told) -> None:
    wakes = Wakes(lambda flush: asyncio.get_running_loop().call_soon(flush))
    feed, cursor = QuoteFeed("XXX", {}, {}, *told.hooks), Newest(wakes)
    feed.watch(cursor)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    feed.failed("unknown_symbol", "no such market")
    with pytest.raises(ccxt.BadSymbol, match="no such market"):
        await waiting
