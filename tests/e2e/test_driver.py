"""The driver against a running gateway in front of the simulated exchange, in both kinds, method by method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import pytest

from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.sync import OmsCcxtExchange as SyncExchange
from tests.driver import structures
from tests.e2e.ordering import Ordering

BTC = "BTC/USDT"


class Driver:
    """A client of either kind, awaited: the one that waits does so in a thread."""

    def __init__(self, kind: str, config: dict[str, Any]) -> None:
        self._is_async = kind == "async"
        self.exchange: Any = (AsyncExchange if self._is_async else SyncExchange)(config)

    async def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        called = getattr(self.exchange, method)
        return await (called(*arguments, **named) if self._is_async else asyncio.to_thread(called, *arguments, **named))

    async def close(self) -> None:
        await self("close")


@asynccontextmanager
async def driver(gateway: Ordering, kind: str, user: str = "ann", **options: Any) -> AsyncIterator[Driver]:
    config = {"apiKey": gateway.keys[user], "hostname": f"127.0.0.1:{gateway.app.port}"}
    made = Driver(kind, {**config, "options": {"account_id": {"ann": 1, "bob": 2}[user], **options}})
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(name="kind", params=["sync", "async"])
def _kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_the_life_of_an_order(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        await call("load_markets")
        assert call.exchange.has["createOrder"] is True
        assert call.exchange.has["withdraw"] is False
        order = await call("create_order", BTC, "limit", "buy", 0.0100001, 50000.001, {"clientOrderId": "mine-1"})
        assert (order["status"], order["amount"], order["price"], order["filled"]) == ("open", 0.01, 50000.0, 0.0)
        assert (order["clientOrderId"], order["timeInForce"]) == ("mine-1", "GTC")
        assert order["info"]["exchange_order_id"]
        assert await call("fetch_order", order["id"]) == order
        assert await call("fetch_order", None, BTC, {"clientOrderId": "mine-1"}) == order
        assert await call("fetch_open_orders", BTC) == [order]
        edited = await call("edit_order", order["id"], BTC, "limit", "buy", 0.02, 50001)
        assert (edited["id"], edited["amount"], edited["price"]) == (order["id"], 0.02, 50001.0)
        canceled = await call("cancel_order", order["id"], BTC)
        assert (canceled["id"], canceled["status"], canceled["remaining"]) == (order["id"], "canceled", 0.02)
        assert [each["id"] for each in await call("fetch_canceled_orders", BTC)] == [order["id"]]
        assert await call("fetch_open_orders", BTC) == await call("fetch_closed_orders", BTC) == []
        with pytest.raises(ccxt.InvalidOrder):
            await call("cancel_order", order["id"], BTC)


async def test_a_fill_is_an_order_with_fees_trades_and_a_position(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        before = (await call("fetch_balance"))["BTC"]["total"]
        bought = await call("create_market_buy_order", BTC, 0.2)
        assert (bought["status"], bought["filled"], bought["remaining"]) == ("closed", 0.2, 0.0)
        assert bought["average"] == bought["price"] == pytest.approx(bought["cost"] / 0.2)
        trades = await call("fetch_order_trades", bought["id"])
        assert sum(trade["amount"] for trade in trades) == pytest.approx(0.2)
        assert sum(trade["cost"] for trade in trades) == pytest.approx(bought["cost"])
        assert bought["fee"]["currency"] == "BTC"
        assert bought["fee"]["cost"] == pytest.approx(sum(trade["fee"]["cost"] for trade in trades))
        assert bought["lastTradeTimestamp"] == max(trade["timestamp"] for trade in trades)
        assert await call("fetch_my_trades", BTC, trades[0]["timestamp"]) == trades
        assert (await call("fetch_balance"))["BTC"]["total"] == pytest.approx(before + 0.2 - bought["fee"]["cost"])
        (position,) = await call("fetch_positions", [BTC])
        assert (position["side"], position["contracts"]) == ("long", pytest.approx(0.1998))
        assert position["unrealizedPnl"] is not None
        sold = await call("close_position", BTC)
        assert (sold["side"], sold["status"], sold["filled"]) == ("sell", "closed", pytest.approx(0.1998))
        assert await call("fetch_positions", [BTC]) == []
        closed = (await call("fetch_positions_history", [BTC]))[0]
        assert (closed["side"], closed["contracts"], closed["realizedPnl"] != 0) == ("long", 0, True)
        assert [order["id"] for order in await call("fetch_closed_orders")] == [bought["id"], sold["id"]]


async def test_several_at_once(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        asked = {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01}
        made = await call("create_orders", [
            {**asked, "price": 50000}, {**asked, "price": 50001, "params": {"postOnly": True}},
            {**asked, "amount": 100, "price": 50002},
        ])  # fmt: skip
        assert [order["status"] for order in made] == ["open", "open", "rejected"]
        assert made[2]["info"]["error"]["code"] == "insufficient_funds"
        assert made[1]["timeInForce"] == "PO"
        (first,) = await call("cancel_orders", [made[0]["id"]], BTC)
        assert first["status"] == "canceled"
        rest = await call("cancel_all_orders", BTC)
        assert [(order["id"], order["status"]) for order in rest] == [(made[1]["id"], "canceled")]
        assert await call("cancel_all_orders", BTC) == []
        history = await call("fetch_orders", BTC)
        assert [order["status"] for order in history] == ["canceled", "canceled", "rejected"]
        assert [order["id"] for order in await call("fetch_orders", BTC, None, 2)] == [
            each["id"] for each in history[1:]
        ]
        since = history[1]["timestamp"]
        first_since = next(order["id"] for order in history if order["timestamp"] >= since)  # two may be of one ms
        assert [order["id"] for order in await call("fetch_orders", BTC, since, 1)] == [first_since]


async def test_orders_that_wait_for_a_price(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        stop = await call("create_stop_limit_order", BTC, "buy", 0.01, 70100, 70000)
        assert (stop["status"], stop["type"], stop["triggerPrice"], stop["price"]) == (
            "open",
            "limit",
            70000.0,
            70100.0,
        )
        assert (await call("cancel_order", stop["id"]))["status"] == "canceled"
        with_stops = await call("create_order", BTC, "limit", "buy", 0.01, 50000, {
            "stopLoss": {"triggerPrice": 45000}, "takeProfit": {"triggerPrice": 60000},
        })  # fmt: skip
        assert (with_stops["stopLossPrice"], with_stops["takeProfitPrice"]) == (45000.0, 60000.0)


async def test_a_profit_is_taken_when_the_price_has_risen_to_it(gateway_with_orders: Ordering, kind: str) -> None:
    gateway = gateway_with_orders
    async with driver(gateway, kind) as call:
        await call("load_markets")
        last = (await call("fetch_ticker", BTC))["last"]
        assert call.exchange.features["spot"]["createOrder"]["takeProfitPrice"] is True
        with pytest.raises(ccxt.InvalidOrder, match="trigger immediately"):
            await call("create_order", BTC, "market", "sell", 0.01, None, {"takeProfitPrice": last * 0.9})
        limited = await call("create_order", BTC, "limit", "buy", 0.01, last * 0.4, {"takeProfitPrice": last * 0.5})
        edited = await call("edit_order", limited["id"], BTC, "limit", "buy", 0.02)
        assert (edited["takeProfitPrice"], edited["amount"], edited["status"]) == (
            *(limited["takeProfitPrice"], 0.02, "open"),
        )  # fmt: skip
        assert (await call("cancel_order", limited["id"]))["status"] == "canceled"
        order = await call("create_take_profit_order", BTC, "market", "sell", 0.01, None, round(last * 1.001, 2))
        assert (order["status"], order["type"], order["filled"]) == ("open", "market", 0.0)
        assert order["takeProfitPrice"] == order["triggerPrice"] == pytest.approx(round(last * 1.001, 2))
        assert (await call("fetch_open_orders", BTC))[0]["takeProfitPrice"] == order["takeProfitPrice"]
        while (await call("fetch_ticker", BTC))["last"] < order["takeProfitPrice"]:
            await gateway.market("BUY", "2")
        await gateway.until_order(int(order["id"]), state="FILLED")
        filled = await call("fetch_order", order["id"])
        assert (filled["status"], filled["filled"], filled["remaining"]) == ("closed", 0.01, 0.0)
        structures.check_order(filled)


async def test_one_request_makes_and_shows_an_order(gateway_with_orders: Ordering) -> None:
    async with driver(gateway_with_orders, "async") as call:
        await call("load_markets")
        asked: list[str] = []
        request = call.exchange.request

        async def noted(path: str, *arguments: Any) -> Any:
            asked.append(path)
            return await request(path, *arguments)

        call.exchange.request = noted
        order = await call("create_order", BTC, "limit", "buy", 0.01, 50000)
        assert (await call("cancel_order", order["id"]))["status"] == "canceled"
        assert asked == ["oms/commands"] * 2


async def test_a_strategy_is_told_apart_by_its_number(gateway_with_orders: Ordering, kind: str) -> None:
    gateway = gateway_with_orders
    _, made = await gateway.ask("root", "POST", "/oms/strategies", {"account_id": 1, "name": "grid"})
    async with driver(gateway, kind, strategy_id=made["id"]) as call, driver(gateway, kind) as other:
        mine = await call("create_order", BTC, "limit", "buy", 0.01, 50000)
        await other("create_order", BTC, "limit", "buy", 0.01, 50000)
        assert mine["info"]["strategy_id"] == made["id"]
        assert [order["id"] for order in await call("fetch_open_orders")] == [mine["id"]]
        assert len(await other("fetch_open_orders")) == 2
        await call("cancel_all_orders")
        assert len(await other("fetch_open_orders")) == 1


async def test_what_is_not_ones_own_is_not_there(gateway_with_orders: Ordering, kind: str) -> None:
    gateway = gateway_with_orders
    async with driver(gateway, kind) as call, driver(gateway, kind, "bob") as other:
        order = await call("create_order", BTC, "limit", "buy", 0.01, 50000)
        for method in ("fetch_order", "cancel_order", "fetch_order_trades"):
            with pytest.raises(ccxt.OrderNotFound):
                await other(method, order["id"])
        other.exchange.options["account_id"] = 1
        with pytest.raises(ccxt.AccountNotEnabled):
            await other("fetch_open_orders")


async def test_the_market_is_the_exchanges(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        ticker = await call("fetch_ticker", BTC)
        book = await call("fetch_order_book", BTC, 5)
        candles = await call("fetch_ohlcv", BTC, "1m", None, 3)
        assert ticker["symbol"] == BTC
        assert len(book["bids"]) == len(book["asks"]) == 5
        assert all(len(candle) == 6 for candle in candles)
        assert (await call("fetch_trades", BTC, None, 5))[0]["symbol"] == BTC
        with pytest.raises(ccxt.BadSymbol):
            await call("fetch_ticker", "XXX/YYY")


async def test_every_answer_keeps_the_rules_of_its_structure(gateway_with_orders: Ordering, kind: str) -> None:
    async with driver(gateway_with_orders, kind) as call:
        for market in (await call("load_markets")).values():
            structures.check_market(market)
        made = [
            await call("create_order", BTC, "limit", "buy", 0.01, 50000, {"postOnly": True}),
            await call("create_order", BTC, "limit", "buy", 0.3, 70000, {"timeInForce": "IOC"}),
            await call("create_order", BTC, "market", "buy", 0.05),
            await call("create_order", BTC, "market", "sell", 0.4),
            await call("create_order", BTC, "limit", "sell", 0.01, 50000, {"timeInForce": "FOK"}),
            await call("create_stop_market_order", BTC, "sell", 0.01, 40000),
        ]
        edited = await call("edit_order", made[0]["id"], BTC, "limit", "buy", 0.02, 50001)
        listed = await call("fetch_orders", BTC)
        for order in (*made, edited, *listed, *await call("cancel_all_orders", BTC), *await call("fetch_orders")):
            structures.check_order(order)
        trades = await call("fetch_my_trades", BTC)
        for trade in trades:
            structures.check_trade(trade)
        filled = {order["id"]: order["filled"] for order in listed if order["filled"]}
        assert {number: sum(trade["amount"] for trade in trades if trade["order"] == number) for number in filled} == {
            number: pytest.approx(amount) for number, amount in filled.items()
        }
        for position in (*await call("fetch_positions"), *await call("fetch_positions_history")):
            structures.check_position(position)
        structures.check_balance(await call("fetch_balance"))
        structures.check_ticker(await call("fetch_ticker", BTC))
        for ticker in (await call("fetch_tickers", [BTC])).values():
            structures.check_ticker(ticker)
        structures.check_order_book(await call("fetch_order_book", BTC, 10))
        structures.check_order_book(await call("fetch_l2_order_book", BTC, 10))
        structures.check_candles(await call("fetch_ohlcv", BTC, "1m"), 60_000)
        assert await call("fetch_time") > 1_700_000_000_000
