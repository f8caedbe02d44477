"""What is new in what ccxt resolves, whether or not anybody awaited in between."""

from __future__ import annotations

from typing import Any

from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheByTimestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources import unpack

SYMBOL = "BTC/USDT"


def trade(number: int, symbol: str = SYMBOL) -> dict[str, Any]:
    return {"id": str(number), "symbol": symbol}


@given(batches=st.lists(st.integers(0, 7), max_size=20), size=st.integers(7, 30), awaited=st.booleans())
def test_trades_of_a_cache_are_told_once(batches: list[int], size: int, awaited: bool) -> None:
    cache = ArrayCache(size)
    number, told = 0, []
    for batch in batches:
        for _ in range(batch):
            cache.append(trade(number))
            number += 1
        new = unpack.trades(cache, SYMBOL)
        assert new is not None
        told += [int(one["id"]) for one in new]
        if awaited:
            cache.getLimit(SYMBOL, None)  # what ccxt's own `watch_trades` does when it returns
    assert told == list(range(number))


def test_other_symbols_in_a_cache_are_left_out() -> None:
    cache = ArrayCache(100)
    for number in range(10):
        cache.append(trade(number, SYMBOL if number % 2 else "ETH/USDT"))
    assert [one["id"] for one in unpack.trades(cache, SYMBOL) or []] == ["1", "3", "5", "7", "9"]


def test_a_plain_list_is_all_new() -> None:
    assert unpack.trades([trade(1), trade(2, "ETH/USDT")], SYMBOL) == [trade(1)]


def test_candles_changed_or_new() -> None:
    cache = ArrayCacheByTimestamp(5)
    for time in range(3):
        cache.append([time, 1, 1, 1, 1, 1])
    assert [candle[0] for candle in unpack.candles([SYMBOL, "15m", cache], SYMBOL) or []] == [0, 1, 2]
    cache.append([2, 1, 2, 1, 2, 3])
    assert unpack.candles(cache, SYMBOL) == [[2, 1, 2, 1, 2, 3]]
    cache.append([2, 1, 2, 1, 2, 4])
    cache.append([3, 2, 2, 2, 2, 1])
    assert unpack.candles(cache, SYMBOL) == [[2, 1, 2, 1, 2, 4], [3, 2, 2, 2, 2, 1]]


def test_tickers_alone_or_in_a_table() -> None:
    ticker = {"symbol": SYMBOL, "bid": 1.0}
    assert unpack.ticker(ticker, SYMBOL) == ticker
    assert unpack.ticker({SYMBOL: ticker, "x": {}}, SYMBOL) == ticker


def test_what_is_not_of_the_kind_or_symbol_is_nobody_s() -> None:
    ticker = {"symbol": "ETH/USDT", "bid": 1.0}
    book = {"symbol": "ETH/USDT", "bids": [], "asks": []}
    for result in (True, None, "authenticated", {}, [], ticker, book, ["ETH/USDT", "1m", []]):
        for kind in ("ticker", "bidask", "book"):
            assert unpack.UNPACK[kind](result, SYMBOL) is None
    for result in (True, None, "authenticated", {}, ticker, book):
        assert unpack.trades(result, SYMBOL) is None
        assert unpack.candles(result, SYMBOL) is None
    assert unpack.candles(["ETH/USDT", "1m", []], SYMBOL) is None
    assert unpack.candles([trade(1)], SYMBOL) is None


def test_a_book_whose_symbol_is_not_filled_in_yet() -> None:
    book: dict[str, Any] = {"symbol": None, "bids": [], "asks": []}
    assert unpack.book(book, SYMBOL) is book
