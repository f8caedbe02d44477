"""`watch_*` of market data: what each call subscribes to and returns, and what it leaves when it is not watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ccxt.base.errors import ArgumentsRequired, BadSymbol, UnsubscribeError

from tests.driver.pro_client import NAME, Pro, bar, book, pro_client, quote, trade
from tests.waiting import until


@pytest.fixture(name="pro")
async def _pro() -> AsyncIterator[Pro]:
    async with pro_client() as pro:
        yield pro


async def test_a_ticker_is_returned_and_the_next_call_waits_for_the_next(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    assert pro.server.asked[0]["symbols"] == [NAME]
    await pro.update("quotes", 1, "snapshot", **quote(5))
    assert (await waiting)["bid"] == 5
    again = asyncio.create_task(pro.exchange.watchTicker("BTC/USDT"))
    await pro.update("quotes", 2, **quote(6))
    assert (await again)["bid"] == 6
    assert pro.exchange.tickers["BTC/USDT"]["bid"] == 6


async def test_tickers_and_bids_asks_share_the_stream_and_are_told_apart(pro: Pro) -> None:
    tickers = await pro.subscribed(pro.exchange.watch_tickers(["BTC/USDT"]))
    best = asyncio.create_task(pro.exchange.watch_bids_asks(["BTC/USDT"]))
    await until(lambda: len(pro.exchange.hub.watches) == 2)
    await pro.update("quotes", 1, "snapshot", **quote(5))
    assert (await tickers)["BTC/USDT"]["ask"] == 6
    assert (await best)["BTC/USDT"]["ask"] == 6
    assert len(await pro.server.until_asked("subscribe")) == 1
    pro.exchange.newUpdates = False
    waiting = asyncio.create_task(pro.exchange.watch_tickers(["BTC/USDT"]))
    await pro.update("quotes", 2, **quote(7))
    assert (await waiting)["BTC/USDT"]["bid"] == 7


async def test_a_new_way_of_watching_begins_with_what_is_known(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    await pro.update("quotes", 1, "snapshot", **quote(5))
    await waiting
    assert (await pro.exchange.watch_bids_asks(["BTC/USDT"]))["BTC/USDT"]["bid"] == 5


def day(**more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USDT", "open": 4, "high": 6, "low": 3, "last": 4.5, "vwap": 4.2, "baseVolume": 9,
        "quoteVolume": 38, "bid": 1, "ask": 2, "info": {}, **more,
    }  # fmt: skip


async def test_a_ticker_has_all_that_ccxts_has_and_what_is_live_is_the_streams(pro: Pro) -> None:
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {"result": day()}
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    await pro.update("quotes", 1, "snapshot", **{**quote(5), "last": None, "volume": None})
    first = await waiting
    assert (first["last"], first["close"], first["baseVolume"], first["bid"], first["ask"]) == (4.5, 4.5, 9, 5, 6)
    waiting = asyncio.create_task(pro.exchange.watch_ticker("BTC/USDT"))
    await pro.update("quotes", 2, **quote(7))
    second = await waiting
    assert (second["last"], second["open"], second["high"], second["low"], second["vwap"]) == (7, 4, 7, 3, 4.2)
    assert (second["change"], second["percentage"], second["average"], second["baseVolume"]) == (3, 75, 5.5, 9)
    assert len([path for path, _ in pro.server.requests if path == "/ccxt/1/fetch_ticker"]) == 1


async def test_the_day_is_asked_for_again_while_a_ticker_is_watched(pro: Pro) -> None:
    pro.exchange.options["ticker_refresh_ms"] = 10
    highs = iter(range(10, 10_000))
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {"result": day(high=next(highs))}
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    await until(lambda: pro.exchange.days.by_symbol["BTC/USDT"]["high"] >= 12)
    await pro.update("quotes", 1, "snapshot", **quote(5))
    assert (await waiting)["high"] >= 12
    await pro.exchange.un_watch_ticker("BTC/USDT")
    await until(lambda: not pro.exchange.days.by_symbol)


async def test_symbols_are_required_and_checked(pro: Pro) -> None:
    with pytest.raises(ArgumentsRequired):
        await pro.exchange.watch_tickers()
    with pytest.raises(ArgumentsRequired):
        await pro.exchange.watch_ohlcv_for_symbols([])
    with pytest.raises(BadSymbol):
        await pro.exchange.watch_ticker("NO/SUCH")


async def test_a_stream_that_is_refused_raises_in_who_waits_and_is_asked_for_again(pro: Pro) -> None:
    pro.server.answers["subscribe"] = lambda asked: {
        "type": "subscribed", "id": asked["id"], "channel": "quotes",
        "data": {"streams": {}, "errors": {NAME: "unknown_symbol"}},
    }  # fmt: skip
    with pytest.raises(BadSymbol):
        await pro.exchange.watch_ticker("BTC/USDT")
    del pro.server.answers["subscribe"]
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"), 2)
    await pro.update("quotes", 1, **quote(5))
    await waiting


async def test_a_book_is_live_and_deep_enough_for_everybody(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_order_book("BTC/USDT", 5))
    await pro.update("book", 1, "snapshot", **book(10.0, 11.0))
    held = await waiting
    assert (held["bids"][0], held["symbol"], held["nonce"]) == ([10.0, 1.0], "BTC/USDT", 1)
    assert held is pro.exchange.orderbooks["BTC/USDT"]
    deeper = await pro.subscribed(pro.exchange.watch_order_book_for_symbols(["BTC/USDT"], 20), 2)
    assert [each["depth"] for each in pro.server.asked] == [5, 20]
    await pro.update("book", 1, "snapshot", **book(12.0, 13.0))
    assert (await deeper) is held
    assert list(held["bids"]) == [[12.0, 1.0]]


async def test_a_wrong_book_is_asked_for_anew_and_not_shown(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_order_book("BTC/USDT"))
    await pro.update("book", 1, "snapshot", **{**book(10.0, 11.0), "checksum": 1})
    await pro.server.until_asked("subscribe", 2)
    assert not waiting.done()
    assert [gap.reason for gap in pro.gaps] == ["checksum"]
    await pro.update("book", 1, "snapshot", **book(10.0, 11.0))
    assert list((await waiting)["bids"]) == [[10.0, 1.0]]


async def test_all_trades_since_the_last_call_are_returned(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_trades("BTC/USDT"))
    await pro.update("trades", 1, **trade(1))
    assert [each["id"] for each in await waiting] == ["1"]
    for number in range(2, 2_000):
        await pro.update("trades", number, **trade(number))
    await until(lambda: pro.exchange.trades["BTC/USDT"][-1]["id"] == "1999")
    assert [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")] == [
        str(number) for number in range(2, 2_000)
    ]
    assert len(pro.exchange.trades["BTC/USDT"]) == 1_000
    await pro.update("trades", 2_000, **trade(2_000))
    pro.exchange.newUpdates = False
    assert len(await pro.exchange.watch_trades("BTC/USDT")) == 1_000
    await pro.update("trades", 2_001, **trade(2_001))
    assert len(await pro.exchange.watch_trades("BTC/USDT", None, 10)) == 10


async def test_candles_are_returned_as_they_change_and_readable_where_bots_look(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_ohlcv("BTC/USDT", "1m"))
    assert pro.server.asked[0]["timeframe"] == "1m"
    await pro.update("bars", 1, "snapshot", **bar(2, 5))
    assert await waiting == [[1_795_251_720_000, 1, 9, 1, 5, 2]]
    both = asyncio.create_task(pro.exchange.watch_ohlcv_for_symbols([["BTC/USDT", "1m"], ["BTC/USDT", "5m"]]))
    await pro.server.until_asked("subscribe", 2)
    await pro.update("bars", 2, **bar(3, 6))
    assert await both == {"BTC/USDT": {"1m": [[1_795_251_780_000, 1, 9, 1, 6, 2]]}}
    assert [row[4] for row in pro.exchange.ohlcvs["BTC/USDT"]["1m"]] == [5, 6]
    pro.exchange.newUpdates = False
    assert len(await pro.exchange.watch_ohlcv("BTC/USDT", "1m")) == 2


async def test_what_is_not_watched_any_more_is_left_and_forgotten(pro: Pro) -> None:
    exchange = pro.exchange
    waiting = [
        await pro.subscribed(call, count)
        for count, call in enumerate(
            (
                exchange.watch_ticker("BTC/USDT"),
                exchange.watch_order_book("BTC/USDT"),
                exchange.watch_trades("BTC/USDT"),
                exchange.watch_ohlcv("BTC/USDT", "1m"),
            ),
            1,
        )
    ]
    assert await exchange.un_watch_ticker("BTC/USDT")
    assert await exchange.un_watch_order_book("BTC/USDT")
    assert await exchange.un_watch_trades("BTC/USDT")
    assert await exchange.un_watch_ohlcv("BTC/USDT", "1m")
    for task in waiting:
        with pytest.raises(UnsubscribeError):
            await task
    left = await pro.server.until_asked("unsubscribe", 4)
    assert {each["channel"] for each in left} == {"quotes", "book", "trades", "bars"}
    assert (exchange.tickers, exchange.orderbooks, exchange.trades) == ({}, {}, {})
    assert exchange.ohlcvs == {"BTC/USDT": {}}
    assert await exchange.un_watch_tickers()
    assert await exchange.un_watch_bids_asks(["BTC/USDT"])
    assert await exchange.un_watch_order_book_for_symbols(["BTC/USDT"])
    assert await exchange.un_watch_trades_for_symbols(["BTC/USDT"])


async def test_who_still_watches_keeps_the_stream(pro: Pro) -> None:
    one = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    best = asyncio.create_task(pro.exchange.watch_bids_asks(["BTC/USDT"]))
    await until(lambda: len(pro.exchange.hub.watches) == 2)
    await pro.exchange.un_watch_ticker("BTC/USDT")
    with pytest.raises(UnsubscribeError):
        await one
    await pro.update("quotes", 1, "snapshot", **quote(5))
    assert await best
    assert [each["action"] for each in pro.server.asked] == ["subscribe"]
