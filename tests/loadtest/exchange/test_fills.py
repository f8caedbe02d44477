"""Fills on command, and what is left of them everywhere."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt
import ccxt.pro
import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options
from tests.waiting import until

SYMBOL = "BTC/USDT"


@pytest.fixture
async def trader(still: ExchangeServer) -> AsyncIterator[Any]:
    exchange = ccxt.pro.binance(trader_options(still.base_url))
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def place(trader: Any, client_id: str, **change: Any) -> Any:
    return await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": client_id, **change})


async def test_in_parts_and_at_a_better_price(trader: Any, client: Client) -> None:
    order = await trader.create_order(SYMBOL, "limit", "sell", 0.01, 61_000)
    order_id = int(order["id"])
    status, filled = await client.post("/admin/fill", symbol="BTCUSDT", order_id=order_id, qty="0.004")
    assert (status, filled["status"]) == (200, "PARTIALLY_FILLED")
    status, filled = await client.post("/admin/fill", symbol="BTCUSDT", order_id=order_id, price="61500")
    assert (status, filled["status"]) == (200, "FILLED")
    order = await trader.fetch_order(order["id"], SYMBOL)
    assert (order["status"], order["cost"]) == ("closed", pytest.approx(0.004 * 61_000 + 0.006 * 61_500))


async def test_fills_that_cannot_be(trader: Any, client: Client) -> None:
    await place(trader, "a")
    await place(trader, "b", stopLossPrice=61_000)
    for change in ({"qty": "0.02"}, {"price": "59001"}, {"client_order_id": "b"}, {"client_order_id": "c"}):
        command = {"symbol": "BTCUSDT", "client_order_id": "a"} | change
        assert (await client.post("/admin/fill", **command))[0] == 409
    assert (await client.post("/admin/faults", fault="fill_unseen", symbol="BTCUSDT", client_order_id="c"))[0] == 409
    assert (await client.post("/admin/faults", fault="fill_canceled", qty="0"))[0] == 400


async def test_a_cancelled_order_is_filled_after_it(trader: Any, client: Client) -> None:
    order = await place(trader, "a")
    await place(trader, "b", stopLossPrice=61_000)
    await client.fault("fill_canceled", qty="0.004")
    await trader.cancel_order(None, SYMBOL, {"origClientOrderId": "b"})
    assert (await trader.cancel_order(order["id"], SYMBOL))["filled"] == 0, "so the answer says"
    after = await trader.fetch_order(order["id"], SYMBOL)
    assert (after["status"], after["filled"]) == ("canceled", 0.004)
    assert [trade["amount"] for trade in await trader.fetch_my_trades(SYMBOL)] == [0.004]
    balance = (await trader.fetch_balance())["USDT"]
    assert (balance["used"], balance["free"]) == (0, pytest.approx(1_000_000 - 0.004 * 59_000))
    await client.fault("fill_canceled")
    replaced = await place(trader, "c")
    await trader.edit_order(replaced["id"], SYMBOL, "limit", "buy", 0.02, 59_000)
    assert (await trader.fetch_order(replaced["id"], SYMBOL))["status"] == "closed"


async def test_a_fill_nobody_is_told_of(still: ExchangeServer, trader: Any, client: Client) -> None:
    await place(trader, "a")
    await trader.authenticate()
    watching = asyncio.ensure_future(trader.watch_my_trades(SYMBOL))
    await asyncio.sleep(0)
    assert await client.fault("fill_unseen", symbol="BTCUSDT", client_order_id="a", qty="0.004") == 1
    with pytest.raises(ccxt.NetworkError):
        await asyncio.wait_for(watching, 10)
    assert [trade["amount"] for trade in await trader.fetch_my_trades(SYMBOL)] == [0.004]
    watching = asyncio.ensure_future(trader.watch_my_trades(SYMBOL))
    await until(lambda: still.streams.topic("user@default").connections)
    await client.post("/admin/fill", symbol="BTCUSDT", client_order_id="a")
    assert [trade["amount"] for trade in await asyncio.wait_for(watching, 10)] == [0.006], "nothing is told again"
