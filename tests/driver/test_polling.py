"""While there is no WebSocket REST says the same, each fill and trade once, and the stream goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from ccxt.base.errors import BadSymbol, NotSupported

from driver.link import REFUSED_MS_MAX
from driver.polling import PAGE
from tests.driver.pro_client import Pro, deal, order, position, pro_client
from tests.waiting import until

FAST = {"poll_ms": 20, "poll_after_ms": 0}


@pytest.fixture(name="pro")
async def _pro() -> AsyncIterator[Pro]:
    async with pro_client(options=FAST) as pro:
        pro.server.status = 404
        yield pro


async def back(pro: Pro) -> None:
    """The WebSocket is there again."""
    pro.server.status = 101
    assert REFUSED_MS_MAX > 1_000, "it would be tried again, but not so soon"
    await pro.exchange.hub._link.close()
    pro.exchange.hub.start()
    await until(lambda: pro.exchange.hub.is_open)


def listed(rows: list[dict[str, Any]]) -> Any:
    """A listing of the gateway, by what it was asked."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        after = int(asked.get("after_id", 0))
        found = [row for row in rows if row["id"] > after]
        if asked.get("newest_first") == "true":
            found.reverse()
        return {"items": found[: int(asked.get("page_size", 100))], "next_after_id": None}

    return answer


async def test_a_ticker_comes_by_rest_and_says_so(pro: Pro) -> None:
    bids = iter(range(1, 1_000))
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {
        "result": {"symbol": "BTC/USDT", "bid": next(bids), "ask": 5, "last": 3, "timestamp": 7, "info": {}}
    }
    first, second = [await pro.exchange.watch_ticker("BTC/USDT") for _ in range(2)]
    assert second["bid"] > first["bid"]
    assert first["info"]["polled"] is True


async def test_a_book_and_candles_come_by_rest(pro: Pro) -> None:
    pro.server.answers["/ccxt/1/fetch_order_book"] = lambda _: {
        "result": {"symbol": "BTC/USDT", "bids": [[1, 2]], "asks": [[3, 4]], "timestamp": 7, "nonce": 8}
    }
    pro.server.answers["/ccxt/1/fetch_ohlcv"] = lambda _: {"result": [[60_000, 1, 2, 3, 4, 5]]}
    book, candles = await asyncio.gather(
        pro.exchange.watch_order_book("BTC/USDT"), pro.exchange.watch_ohlcv("BTC/USDT", "1m")
    )
    assert (book["bids"][0], book["nonce"], book["info"]["polled"]) == ([1, 2], 8, True)
    assert candles == [[60_000, 1, 2, 3, 4, 5]]


async def test_trades_come_once_each_whatever_way(pro: Pro) -> None:
    made = [
        {
            "id": str(number),
            "symbol": "BTC/USDT",
            "timestamp": pro.exchange.milliseconds() + 10**6,
            "price": 1,
            "info": {},
        }
        for number in range(1, 6)
    ]
    pro.server.answers["/ccxt/1/fetch_trades"] = lambda _: {"result": made}
    assert [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")] == ["1", "2", "3", "4", "5"]
    await back(pro)
    await pro.server.until_asked("subscribe")
    for sequence, number in enumerate((4, 5, 6), 1):
        data: dict[str, Any] = {"price": 1, "size": 2, "side": "buy", "trade_id": str(number)}
        await pro.update("trades", sequence, **data)
    assert [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")] == ["6"]


def public_trade(number: int, at_ms: int) -> dict[str, Any]:
    return {"id": str(number), "symbol": "BTC/USDT", "timestamp": at_ms + number, "price": 1, "info": {}}


async def test_a_trade_between_the_last_look_and_the_stream_is_not_missed(pro: Pro) -> None:
    now_ms, unavailable = pro.exchange.milliseconds() + 10**6, {"code": "engine_unavailable", "message": "no"}
    made = [public_trade(number, now_ms) for number in range(1, 6)]
    answers = pro.server.answers
    answers["/ccxt/1/fetch_trades"] = lambda _: {"result": made[:2]}
    assert [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")] == ["1", "2"]
    answers["/ccxt/1/fetch_trades"] = lambda _: {**unavailable, "status": 503}
    await back(pro)
    await pro.server.until_asked("subscribe")
    await pro.update("trades", 1, price=1, size=2, side="buy", trade_id="5")  # 3 and 4 were before it began
    seen = [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")]
    answers["/ccxt/1/fetch_trades"] = lambda asked: {
        "result": [each for each in made if each["timestamp"] >= asked["args"][1]][:3]
    }
    while len(seen) < 3:
        seen += [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")]
    (feed,) = [stream.sink for stream in pro.exchange.hub.streams.by_key.values()]
    await until(lambda: feed.looks_back_from_ms is None)
    await pro.update("trades", 2, price=1, size=2, side="buy", trade_id="6")
    seen += [each["id"] for each in await pro.exchange.watch_trades("BTC/USDT")]
    assert (seen, pro.gaps) == (["5", "3", "4", "6"], [])


async def test_a_gap_of_trades_that_has_no_end_is_told(pro: Pro) -> None:
    numbers, now_ms = count(1), pro.exchange.milliseconds() + 10**6
    pro.server.answers["/ccxt/1/fetch_trades"] = lambda _: {"result": [public_trade(next(numbers), now_ms)]}
    await pro.exchange.watch_trades("BTC/USDT")
    await back(pro)
    await until(lambda: pro.gaps)
    assert [(gap.channel, gap.name, gap.reason) for gap in pro.gaps] == [("trades", "BTC/USDT", "polled")]
    await pro.update("trades", 1, price=1, size=2, side="buy", trade_id="x")
    told = await pro.exchange.watch_trades("BTC/USDT")
    while told[-1]["id"] != "x":
        told = await pro.exchange.watch_trades("BTC/USDT")
    assert told[-1]["info"]["gap"]["reason"] == "polled"


async def test_fills_orders_and_positions_come_once_each_whatever_way(pro: Pro) -> None:
    fills = [deal(1)]
    pro.server.answers["/oms/deals"] = listed(fills)
    pro.server.answers["/oms/orders/open"] = listed([])
    pro.server.answers["/oms/positions/open"] = listed([position(3)])
    waiting = asyncio.create_task(pro.exchange.watch_my_trades())
    await until(lambda: pro.exchange._private_feeds.get("deals") and pro.exchange._private_feeds["deals"].is_begun)
    assert not waiting.done(), "what was before nobody asked for"
    fills += [deal(2), deal(3)]
    seen = [each["id"] for each in await waiting]
    assert [each["id"] for each in await pro.exchange.watch_positions()] == ["3"]
    await back(pro)
    await pro.server.until_asked("subscribe", 2)
    for sequence, number in enumerate((2, 3, 4), 1):
        await pro.update("deals", sequence, name="1", **deal(number))
    while len(seen) < 3:
        seen += [each["id"] for each in await pro.exchange.watch_my_trades()]
    assert seen == ["2", "3", "4"]


async def test_a_fill_between_the_last_look_and_the_stream_is_not_missed(pro: Pro) -> None:
    fills: list[dict[str, Any]] = []
    pro.server.answers["/oms/deals"] = listed(fills)
    waiting = asyncio.create_task(pro.exchange.watch_my_trades())
    await until(lambda: len([path for path, _ in pro.server.requests if path == "/oms/deals"]) >= 2)
    pro.server.answers["/oms/deals"] = lambda _: {"code": "engine_unavailable", "message": "no", "status": 503}
    fills.append(deal(1))
    await back(pro)
    pro.server.answers["/oms/deals"] = listed(fills)
    assert [each["id"] for each in await waiting] == ["1"]


async def test_a_fill_that_the_stream_tells_first_hides_none_before_it(pro: Pro) -> None:
    fills: list[dict[str, Any]] = []
    pro.server.answers["/oms/deals"] = listed(fills)
    waiting = asyncio.create_task(pro.exchange.watch_my_trades())
    await until(lambda: len([path for path, _ in pro.server.requests if path == "/oms/deals"]) >= 2)
    pro.server.answers["/oms/deals"] = lambda _: {"code": "engine_unavailable", "message": "no", "status": 503}
    fills += [deal(number) for number in (1, 2, 3)]
    await back(pro)
    await pro.server.until_asked("subscribe")
    await pro.update("deals", 1, name="1", **deal(3))  # the others were before it began
    seen = [each["id"] for each in await waiting]
    pro.server.answers["/oms/deals"] = listed(fills)
    while len(seen) < 3:
        seen += [each["id"] for each in await pro.exchange.watch_my_trades()]
    feed = pro.exchange._private_feeds["deals"]
    await until(lambda: not feed.is_looking_back)
    await pro.update("deals", 2, name="1", **deal(4))
    seen += [each["id"] for each in await pro.exchange.watch_my_trades()]
    assert seen == ["3", "1", "2", "4"]
    assert feed.newest_id == 4


async def test_fills_of_other_strategies_are_read_once(pro: Pro) -> None:
    pro.exchange.options["strategy_id"] = 7
    fills = [deal(1, strategy_id=7)]
    pro.server.answers["/oms/deals"] = listed(fills)
    waiting = asyncio.create_task(pro.exchange.watch_my_trades())
    await until(lambda: pro.exchange._private_feeds.get("deals") and pro.exchange._private_feeds["deals"].is_begun)
    fills += [*(deal(number, strategy_id=0) for number in range(2, PAGE + 10)), deal(PAGE + 10, strategy_id=7)]
    assert [each["id"] for each in await waiting] == [str(PAGE + 10)]
    at = len(pro.server.requests)
    await until(lambda: "/oms/deals" in [path for path, _ in pro.server.requests[at:]])
    (_, asked) = next(each for each in pro.server.requests[at:] if each[0] == "/oms/deals")
    assert asked["after_id"] == str(PAGE + 10)


async def test_orders_that_began_and_ended_between_two_looks_are_told_once(pro: Pro) -> None:
    ended = [order(7, 2, state="FILLED", status="closed")]
    pro.server.answers |= {
        "/oms/deals": listed([]), "/oms/orders/open": listed([]), "/oms/orders/history": listed(ended)
    }  # fmt: skip
    waiting = asyncio.create_task(pro.exchange.watch_orders())
    await until(lambda: pro.exchange._private_feeds.get("orders") and pro.exchange._private_feeds["orders"].over_after)
    assert not waiting.done(), "what was over before nobody asked for"
    ended += [order(number, 2, state="FILLED", status="closed") for number in (9, 10)]
    assert [each["id"] for each in await waiting] == ["9", "10"]
    ended.insert(1, order(8, 3, state="FILLED", status="closed"))  # was open, and too short for any look
    assert [each["id"] for each in await pro.exchange.watch_orders()] == ["8"]
    ended += [order(11, 2, state="FILLED", status="closed")]
    assert [each["id"] for each in await pro.exchange.watch_orders()] == ["11"]


async def test_a_ticker_is_not_taken_for_live_when_rest_fails_too(pro: Pro) -> None:
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {
        "result": {"symbol": "BTC/USDT", "bid": 1, "ask": 5, "last": 3, "timestamp": 7, "info": {}}
    }
    ticker = await pro.exchange.watch_ticker("BTC/USDT")
    assert "stale" not in ticker["info"]
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {
        "code": "exchange_unavailable",
        "message": "",
        "status": 503,
    }
    await until(lambda: pro.exchange.tickers["BTC/USDT"]["info"].get("stale"))


async def test_an_answer_that_makes_no_sense_ends_no_polling_and_is_logged(
    pro: Pro, caplog: pytest.LogCaptureFixture
) -> None:
    bids: list[Any] = ["nonsense", [[1, 2]]]
    pro.server.answers["/ccxt/1/fetch_order_book"] = lambda _: {
        "result": {"symbol": "BTC/USDT", "bids": bids.pop(0) if bids[1:] else bids[0], "asks": [], "nonce": 8}
    }
    assert (await pro.exchange.watch_order_book("BTC/USDT"))["bids"][0] == [1, 2]
    assert "polling failed" in caplog.messages


async def test_an_order_that_is_over_is_noticed_by_rest(pro: Pro) -> None:
    pro.server.answers["/oms/deals"] = listed([])
    pro.server.answers["/oms/orders/open"] = listed([order(7)])
    pro.server.answers["/oms/orders/history"] = listed([order(9, 2, state="FILLED", status="closed")])
    (seen,) = await pro.exchange.watch_orders()
    assert seen["status"] == "open"
    over = order(7, 2, state="CANCELED", status="canceled")
    pro.server.answers["/oms/orders/7"] = lambda _: {"items": [over], "missing": []}
    pro.server.answers["/oms/orders/open"] = listed([])
    (seen,) = await pro.exchange.watch_orders()
    assert seen["status"] == "canceled"


async def test_what_rest_refuses_is_told_and_the_rest_goes_on(pro: Pro) -> None:
    error = {"code": "unknown_symbol", "message": "no", "request_id": "r", "status": 404}
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: dict(error)
    pro.server.answers["/ccxt/1/fetch_ohlcv"] = lambda _: {"result": [[60_000, 1, 2, 3, 4, 5]]}
    ticker = asyncio.create_task(pro.exchange.watch_ticker("BTC/USDT"))
    with pytest.raises(BadSymbol):
        await ticker
    await until(lambda: any(path == "/ccxt/1/fetch_ticker" for path, _ in pro.server.requests))


async def test_a_ticker_of_another_exchange_is_not_that_of_the_accounts(pro: Pro) -> None:
    pro.exchange.options["exchange"] = "okx"
    with pytest.raises(NotSupported):
        await pro.exchange.watch_ticker("BTC/USDT")
    assert not [path for path, _ in pro.server.requests if "ticker" in path]


async def test_a_ticker_that_is_kept_for_who_fetches_it_is_not_told_as_new(pro: Pro) -> None:
    pro.exchange.options["ticker_cache_ms"] = 3_600_000
    bids = iter(range(1, 1_000))
    pro.server.answers["/ccxt/1/fetch_ticker"] = lambda _: {
        "result": {"symbol": "BTC/USDT", "bid": next(bids), "ask": 5, "last": 3, "timestamp": 7, "info": {"x": 1}}
    }
    first, second = [await pro.exchange.watch_ticker("BTC/USDT") for _ in range(2)]
    assert second["bid"] > first["bid"]
    assert second["info"] == {"polled": True, "ticker": {"x": 1}}
