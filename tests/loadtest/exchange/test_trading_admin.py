"""Accounts, funds, fills by hand."""

from typing import Any

import ccxt.async_support
import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options


async def test_an_account_is_opened_and_trades(still: ExchangeServer, client: Client) -> None:
    status, account = await client.post("/admin/account", name="second", funds={"USDT": "100"}, taker_fee_parts=0)
    assert status == 200
    assert account["balances"] == {"USDT": {"free": "100.00000000", "locked": "0.00000000"}}
    exchange = ccxt.async_support.binance(trader_options(still.base_url, account["api_key"], account["secret"]))
    try:
        order = await exchange.create_order("BTC/USDT", "market", "buy", 0.001)
        balance = await exchange.fetch_balance()
        assert balance["BTC"]["total"] == 0.001, "no fee was taken"
        assert balance["USDT"]["total"] == pytest.approx(100 - order["cost"])
    finally:
        await exchange.close()
    names = [row["name"] for row in (await client.get("/admin/accounts"))[1]]
    assert names == ["default", "second"]


async def test_a_fill_by_hand_in_parts(still: ExchangeServer, client: Client) -> None:
    exchange = ccxt.async_support.binance(trader_options(still.base_url))
    try:
        order = await exchange.create_order("BTC/USDT", "limit", "sell", 0.01, 61_000)
        order_id = int(order["id"])
        status, filled = await client.post("/admin/fill", symbol="BTCUSDT", order_id=order_id, qty="0.004")
        assert (status, filled["status"]) == (200, "PARTIALLY_FILLED")
        status, filled = await client.post("/admin/fill", symbol="BTCUSDT", order_id=order_id, price="61500")
        assert (status, filled["status"]) == (200, "FILLED")
        order = await exchange.fetch_order(order["id"], "BTC/USDT")
        assert (order["status"], order["cost"]) == ("closed", pytest.approx(0.004 * 61_000 + 0.006 * 61_500))
    finally:
        await exchange.close()


@pytest.mark.parametrize(
    ("path", "command", "status"),
    [
        ("account", {"name": "default"}, 409),
        ("account", {"name": "x", "funds": "much"}, 400),
        ("account", {"name": "x", "funds": {"USDT": 1}}, 400),
        ("account", {"name": "x", "funds": {"USDT": "much"}}, 400),
        ("account", {"name": "x", "maker_fee_parts": "1"}, 400),
        ("account", {}, 400),
        ("fund", {"asset": "USDT", "amount": "-2000000"}, 409),
        ("fund", {"account": "nobody", "asset": "USDT", "amount": "1"}, 409),
        ("fill", {"symbol": "BTCUSDT", "order_id": 99}, 409),
        ("fill", {"symbol": "BTCUSDT", "order_id": "99"}, 400),
        ("fill", {"symbol": "BTCUSDT"}, 400),
    ],
)
async def test_wrong_commands(client: Client, path: str, command: dict[str, Any], status: int) -> None:
    got, answer = await client.post(f"/admin/{path}", **command)
    assert got == status
    assert answer["error"]


async def test_fills_that_cannot_be(still: ExchangeServer, client: Client) -> None:
    exchange = ccxt.async_support.binance(trader_options(still.base_url))
    try:
        await exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
        await exchange.create_order(
            "BTC/USDT", "limit", "buy", 0.01, 62_000, {"clientOrderId": "b", "stopLossPrice": 61_000}
        )
        for change in ({"qty": "0.02"}, {"price": "59001"}, {"client_order_id": "b"}):
            command = {"symbol": "BTCUSDT", "client_order_id": "a"} | change
            assert (await client.post("/admin/fill", **command))[0] == 409
    finally:
        await exchange.close()
