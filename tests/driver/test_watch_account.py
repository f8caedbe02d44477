"""`watch_*` of an account: each event once, confirmed when it is in good hands, and the balance when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ccxt.base.errors import PermissionDenied, UnsubscribeError

from tests.driver.pro_client import Pro, deal, order, position, pro_client
from tests.waiting import until


@pytest.fixture(name="pro")
async def _pro() -> AsyncIterator[Pro]:
    async with pro_client() as pro:
        yield pro


async def test_an_order_is_returned_as_it_is_now_with_its_fees(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_orders(), 2)
    asked = {each["channel"]: each for each in pro.server.asked}
    assert {name: each["account_ids"] for name, each in asked.items()} == {"orders": [1], "deals": [1]}
    await pro.update("orders", 1, name="1", **order(7, 1))
    (seen,) = await waiting
    assert (seen["id"], seen["clientOrderId"], seen["status"], seen["amount"]) == ("7", "mine-7", "open", 0.5)
    await pro.update("deals", 1, name="1", **deal(1, 7))
    await pro.update("orders", 2, name="1", **order(7, 2, state="FILLED", status="closed", filled="0.5", remaining="0",
                                                   average_price="59000"))  # fmt: skip
    (filled,) = await pro.exchange.watch_orders()
    assert (filled["status"], filled["fee"]["cost"]) == ("closed", 1.5)
    assert filled["lastTradeTimestamp"] == 1_795_251_774_100
    assert filled is seen, "as ccxt.pro, the order is kept up to date where the program has it"


async def test_orders_of_one_symbol_and_all_that_are_kept(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_orders("BTC/USDT"), 2)
    for number in (1, 2, 3):
        await pro.update("orders", number, name="1", **order(number))
    await waiting
    await until(lambda: len(pro.exchange.orders) == 3)
    pro.exchange.newUpdates = False
    await pro.update("orders", 4, name="1", **order(4))
    await until(lambda: len(pro.exchange.orders) == 4)
    assert [each["id"] for each in await pro.exchange.watch_orders("BTC/USDT")] == ["1", "2", "3", "4"]
    await pro.update("orders", 5, name="1", **order(5))
    assert [each["id"] for each in await pro.exchange.watch_orders("BTC/USDT", None, 2)] == ["4", "5"]


async def test_of_orders_that_changed_together_the_oldest_comes_first(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_orders(), 2)
    await pro.update("orders", 1, name="1", **order(7))
    await waiting
    await pro.update("orders", 2, name="1", **order(8, created_at="2026-11-21T10:00:00.000Z"))
    await pro.update("orders", 3, name="1", **order(7, 2, filled="0.1"))
    await until(lambda: [each["filled"] for each in pro.exchange.orders if each["id"] == "7"] == [0.1])
    assert [each["id"] for each in await pro.exchange.watch_orders()] == ["7", "8"]


async def test_a_strategy_is_watched_by_params_beside_that_of_the_options(pro: Pro) -> None:
    pro.exchange.options["strategy_id"] = 7
    own = await pro.subscribed(pro.exchange.watch_orders(), 2)
    other = asyncio.create_task(pro.exchange.watch_orders(params={"strategy_id": 8}))
    everybody = asyncio.create_task(pro.exchange.watch_orders(params={"strategy_id": None}))
    await until(lambda: len(pro.exchange.hub.watches) == 3)
    for number, strategy_id in ((1, 7), (2, 8), (3, 9)):
        await pro.update("orders", number, name="1", **order(number, strategy_id=strategy_id))
    told = [[each["id"] for each in await waiting] for waiting in (own, other, everybody)]
    assert [each[:1] for each in told] == [["1"], ["2"], ["1"]]
    await until(lambda: len(pro.exchange.orders) == 3)
    pro.exchange.newUpdates = False
    again = asyncio.create_task(pro.exchange.watch_orders(params={"strategy_id": 8}))
    await pro.update("orders", 4, name="1", **order(4, strategy_id=8))
    assert [each["id"] for each in await again] == ["2", "4"]
    assert await pro.exchange.un_watch_orders(params={"strategy_id": 8})
    assert len(pro.exchange.hub.watches) == 2


async def test_what_is_in_the_cache_is_confirmed(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_my_trades())
    for number in (1, 2, 3):
        await pro.update("deals", number, name="1", **deal(number))
    await waiting
    (ack,) = await pro.server.until_asked("ack")
    assert (ack["channel"], ack["account_id"], ack["sequence"]) == ("deals", 1, 3)


async def test_fills_come_once_each_over_a_drop(pro: Pro) -> None:
    exchange = pro.exchange
    waiting = await pro.subscribed(exchange.watch_my_trades())
    await pro.update("deals", 1, name="1", **deal(1))
    seen = [each["id"] for each in await waiting]
    await pro.update("deals", 2, name="1", **deal(2))
    await until(lambda: len(exchange.myTrades) == 2)
    await pro.server.drop()
    _, again = await pro.server.until_asked("subscribe", 2)
    assert again["resume"]["1"]["sequence"] == 2
    for number in (2, 3):  # one too many
        await pro.update("deals", number, name="1", **deal(number))
    await until(lambda: len(exchange.myTrades) == 3)
    seen += [each["id"] for each in await exchange.watch_my_trades()]
    assert seen == ["1", "2", "3"]


async def test_fills_while_the_exchange_was_closed_are_not_missed(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_my_trades())
    await pro.update("deals", 1, name="1", **deal(1))
    await waiting
    await pro.exchange.close()
    waiting = await pro.subscribed(pro.exchange.watch_my_trades(), 2)
    assert pro.server.asked[-1]["resume"]["1"]["sequence"] == 1
    await pro.update("deals", 2, name="1", **deal(2))
    assert [each["id"] for each in await waiting] == ["2"]
    assert [each["id"] for each in pro.exchange.myTrades] == ["1", "2"]


@pytest.mark.parametrize(("redeliver", "told"), [(False, ["3"]), (True, ["1", "2", "3"])])
async def test_what_was_not_confirmed_before_is_told_when_it_is_wanted(redeliver: bool, told: list[str]) -> None:
    async with pro_client(options={"redeliver": redeliver}) as pro:
        pro.server.states["1"] = {"replayed": 2}
        waiting = await pro.subscribed(pro.exchange.watch_my_trades())
        for number in (1, 2, 3):
            await pro.update("deals", number, name="1", **deal(number))
        got = [each["id"] for each in await waiting]
        while len(got) < len(told):
            got += [each["id"] for each in await pro.exchange.watch_my_trades()]
        assert got == told


async def test_positions_begin_with_those_that_are_open_and_end_without_contracts(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_positions())
    assert pro.server.asked[0]["snapshot"] is True
    await pro.update("positions", 4, "snapshot", name="1", account_id=1, items=[position(3)])
    (held,) = await waiting
    assert (held["id"], held["side"], held["contracts"], held["entryPrice"]) == ("3", "long", 0.5, 59_000)
    await pro.update("positions", 5, name="1", **position(3, "0", 2))
    (closed,) = await pro.exchange.watch_positions(None)
    assert (closed["side"], closed["contracts"]) == ("long", 0)
    await pro.update("positions", 6, name="1", **position(4, "-1"))
    assert (await pro.exchange.watch_positions())[0]["side"] == "short"
    assert (await pro.exchange.watch_position("BTC/USDT"))["contracts"] == 1
    await pro.update("positions", 7, name="1", **position(4, "-2", 2))
    assert (await pro.exchange.watch_position("BTC/USDT"))["contracts"] == 2


async def test_every_watcher_that_begins_is_told_what_is_open(pro: Pro) -> None:
    """After the balance, which has them subscribed; of a symbol beside all; after another has left; after `close`."""
    pro.server.answers["/ccxt/core/1/fetch_balance"] = lambda _: {"result": {"info": {}}}
    watch, held = pro.exchange.watch_positions, [position(3), position(4, symbol="ETH/USDT")]
    waiting = asyncio.create_task(pro.exchange.watch_balance())
    await pro.server.until_asked("subscribe", 3)
    await pro.update("positions", 4, "snapshot", name="1", account_id=1, items=held)
    await until(lambda: pro.exchange.positions is not None and len(pro.exchange.positions) == 2)

    async def told(symbols: Any = None) -> list[str]:
        return [each["id"] for each in await watch(symbols)]

    assert [await told(), await told(["BTC/USDT"])] == [["3", "4"], ["3"]]
    await pro.exchange.un_watch_positions()
    assert await told() == ["3", "4"]
    await waiting
    await pro.exchange.close()
    assert await told() == ["3", "4"]
    assert pro.server.asked[-1]["resume"]["1"]["sequence"] == 4
    await pro.exchange.un_watch_positions()
    waiting = await pro.subscribed(watch(), 5)
    assert "resume" not in pro.server.asked[-1]
    await pro.update("positions", 5, "snapshot", name="1", account_id=1, items=held[1:])
    assert [each["id"] for each in await waiting] == ["4"], "the other was closed meanwhile"


async def test_a_gap_is_told_and_shown(pro: Pro) -> None:
    waiting = await pro.subscribed(pro.exchange.watch_my_trades())
    await pro.server.say({
        "type": "gap", "channel": "deals", "account_id": 1, "epoch": "deals-1", "from": 1, "to": 1,
        "reason": "resync", "new_epoch": "other",
    })  # fmt: skip
    await pro.server.say({
        "channel": "deals", "type": "deal", "kind": "update", "epoch": "other", "sequence": 1, "data": deal(1)
    })  # fmt: skip
    (fill,) = await waiting
    assert fill["info"]["gap"]["reason"] == "resync"
    assert [(gap.channel, gap.new_epoch) for gap in pro.gaps] == [("deals", "other")]


async def test_the_balance_is_asked_for_when_something_happened(pro: Pro) -> None:
    free = [1.0]
    asked = []

    def balance(_: Any) -> Any:
        asked.append(1)
        part = {"free": free[0], "used": 0.0, "total": free[0]}
        parts = {name: {"USDT": part[name]} for name in part}
        return {"result": {"info": {}, "USDT": part, **parts}}

    pro.server.answers["/ccxt/core/1/fetch_balance"] = balance
    assert (await pro.exchange.watch_balance())["free"] == {"USDT": 1.0}
    waiting = asyncio.create_task(pro.exchange.watch_balance())
    await pro.server.until_asked("subscribe", 3)
    await pro.update("orders", 1, name="1", **order(7))
    await until(lambda: len(asked) == 2)
    assert not waiting.done(), "it is the same"
    free[0] = 2.0
    await pro.update("deals", 1, name="1", **deal(1))
    assert (await waiting)["total"] == {"USDT": 2.0}
    assert await pro.exchange.un_watch_balance()
    assert not pro.exchange.hub.watches


async def test_a_balance_that_may_not_be_seen_is_refused(pro: Pro) -> None:
    error = {"code": "permission_denied", "message": "no", "request_id": "r", "status": 403}
    pro.server.answers["/ccxt/core/1/fetch_balance"] = lambda _: dict(error)
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            await pro.exchange.watch_balance()


async def test_un_watching_leaves_the_streams(pro: Pro) -> None:
    orders = await pro.subscribed(pro.exchange.watch_orders(), 2)
    trades = asyncio.create_task(pro.exchange.watch_my_trades("BTC/USDT"))
    positions = asyncio.create_task(pro.exchange.watch_positions(["BTC/USDT"]))
    await pro.server.until_asked("subscribe", 3)
    await until(lambda: len(pro.exchange.hub.watches) == 3)
    await pro.exchange.un_watch_orders()
    await pro.exchange.un_watch_my_trades("BTC/USDT")
    await pro.exchange.un_watch_positions(["BTC/USDT"])
    for task in (orders, trades, positions):
        with pytest.raises(UnsubscribeError):
            await task
    left = await pro.server.until_asked("unsubscribe", 3)
    assert {each["channel"] for each in left} == {"orders", "deals", "positions"}
