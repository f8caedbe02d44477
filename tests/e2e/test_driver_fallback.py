"""The driver where the gateway has no resources of orders: all goes by ccxt's functions, with the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base.errors import InsufficientFunds, InvalidOrder, OrderNotFound

from driver.async_ import OmsCcxtExchange
from tests.e2e.ordering import Ordering

BTC = "BTC/USDT"


class WithoutResources(OmsCcxtExchange):
    """Asks for resources of orders where there are none: the gateway answers that it has no such path."""

    asked: list[str]

    def sign(self, path: str, *rest: Any, **named: Any) -> dict[str, Any]:
        self.asked = [*getattr(self, "asked", []), path]
        request: dict[str, Any] = super().sign(path.replace("oms/", "none/"), *rest, **named)
        return request


async def test_every_order_method_answers_the_same_by_either_way(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    given = {
        "apiKey": gateway.keys["ann"], "hostname": f"127.0.0.1:{gateway.app.port}",
        "options": {"account_id": 1, "retries": 1},
    }  # fmt: skip
    async with OmsCcxtExchange(given) as own, WithoutResources(given) as passed:
        await own.load_markets()
        made = await passed.create_order(BTC, "limit", "buy", 0.0123456, 50_000, {"clientOrderId": "mine"})
        assert (
            made == await own.fetch_order(made["id"]) == await passed.fetch_order(None, BTC, {"clientOrderId": "mine"})
        )
        edited = await passed.edit_order(made["id"], BTC, "limit", "buy", 0.02, 50_001)
        assert edited == (await own.fetch_open_orders(BTC))[0] == (await passed.fetch_open_orders(BTC))[0]
        canceled = await passed.cancel_order(made["id"], BTC)
        assert (canceled["status"], canceled) == ("canceled", await own.fetch_order(made["id"]))
        profit = await passed.create_order(BTC, "market", "sell", 0.01, None, {"takeProfitPrice": 80_000.126})
        assert (profit["takeProfitPrice"], profit) == (80_000.13, await own.fetch_order(profit["id"]))
        await own.cancel_order(profit["id"])
        several = await passed.create_orders([
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": 50_000 + number}
            for number in range(3)
        ])  # fmt: skip
        ids = [each["id"] for each in several]
        assert [each["status"] for each in await passed.cancel_orders(ids[:1])] == ["canceled"]
        assert [each["id"] for each in await passed.cancel_all_orders(BTC)] == ids[1:]
        bought = await passed.create_order(BTC, "market", "buy", 0.3)
        await gateway.until_order(int(bought["id"]), state="FILLED")
        for method, arguments in (
            ("fetch_orders", (BTC,)),
            ("fetch_closed_orders", (BTC,)),
            ("fetch_canceled_orders", (BTC,)),
            ("fetch_my_trades", (BTC,)),
            ("fetch_order_trades", (bought["id"],)),
        ):
            answer = await getattr(passed, method)(*arguments)
            assert answer, method
            assert answer == await getattr(own, method)(*arguments), method
        (held,) = await passed.fetch_positions([BTC])
        assert held["info"] == (await own.fetch_positions([BTC]))[0]["info"]
        closing = await passed.close_position(BTC)
        await gateway.until_order(int(closing["id"]), state="FILLED")
        history = await passed.fetch_positions_history([BTC])
        assert [each["info"] for each in history] == [each["info"] for each in await own.fetch_positions_history([BTC])]
    assert any(path.startswith("oms/") for path in passed.asked), "they were looked for first"
    assert len((await gateway.exchange.get("/admin/ledger", account="ann"))["orders"]) == 8


async def test_what_is_refused_that_way_is_the_same_exception(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    given = {
        "apiKey": gateway.keys["ann"], "hostname": f"127.0.0.1:{gateway.app.port}",
        "options": {"account_id": 1, "retries": 1},
    }  # fmt: skip
    async with WithoutResources(given) as passed:
        await passed.load_markets()
        for kind, method, arguments in (
            (InsufficientFunds, "create_order", (BTC, "limit", "buy", 100, 60_000)),
            (InvalidOrder, "create_order", (BTC, "limit", "buy", 0.01, 50_000, {"clientOrderId": "not a name"})),
            (OrderNotFound, "cancel_order", ("999",)),
            (OrderNotFound, "fetch_order", ("999",)),
            (InvalidOrder, "close_position", (BTC,)),
        ):
            with pytest.raises(kind):
                await getattr(passed, method)(*arguments)
