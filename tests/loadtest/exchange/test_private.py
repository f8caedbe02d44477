"""The signed endpoints as ccxt's own unmodified classes use them, and the ledger they leave."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt
import ccxt.async_support
import ccxt.pro
import pytest

from loadtest.exchange.accounts import DEFAULT_KEY
from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options

SYMBOL = "BTC/USDT"


@pytest.fixture
async def trader(still: ExchangeServer) -> AsyncIterator[Any]:
    exchange = ccxt.pro.binance(trader_options(still.base_url))
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def test_sync_ccxt(still: ExchangeServer) -> None:
    exchange = ccxt.binance(trader_options(still.base_url))

    def trade() -> None:
        order = exchange.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "mine"})
        assert (order["status"], order["clientOrderId"]) == ("open", "mine")
        assert exchange.fetch_balance()["USDT"]["used"] == 590
        assert exchange.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
        assert exchange.fetch_balance()["USDT"]["used"] == 0
        assert exchange.create_order(SYMBOL, "market", "sell", 0.01)["status"] == "closed"

    try:
        await asyncio.to_thread(trade)
    finally:
        exchange.session.close()


async def test_async_ccxt_places_queries_changes_and_cancels(still: ExchangeServer) -> None:
    exchange = ccxt.async_support.binance(trader_options(still.base_url))
    try:
        order = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
        by_client_id = await exchange.fetch_order(None, SYMBOL, {"origClientOrderId": "a"})
        assert (by_client_id["id"], by_client_id["amount"], by_client_id["filled"]) == (order["id"], 0.01, 0)
        changed = await exchange.edit_order(
            order["id"], SYMBOL, "limit", "buy", 0.02, 59_010, {"newClientOrderId": "b"}
        )
        assert (changed["amount"], changed["price"]) == (0.02, 59_010)
        assert (await exchange.fetch_order(order["id"], SYMBOL))["status"] == "canceled"
        assert [each["clientOrderId"] for each in await exchange.fetch_open_orders(SYMBOL)] == ["b"]
        assert [each["clientOrderId"] for each in await exchange.privateGetOpenOrders()] == ["b"]
        await exchange.cancel_all_orders(SYMBOL)
        assert [each["status"] for each in await exchange.fetch_orders(SYMBOL)] == ["canceled", "canceled"]
    finally:
        await exchange.close()


async def test_a_market_order_and_its_trades(trader: Any) -> None:
    order = await trader.create_order(SYMBOL, "market", "buy", 0.05)
    assert (order["status"], order["filled"]) == ("closed", 0.05)
    trades = await trader.fetch_my_trades(SYMBOL)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(0.05)
    assert {trade["order"] for trade in trades} == {order["id"]}
    assert {trade["fee"]["currency"] for trade in trades} == {"BTC"}
    balance = await trader.fetch_balance()
    assert balance["BTC"]["total"] == pytest.approx(100 + 0.05 * 0.999)
    assert balance["USDT"]["total"] == pytest.approx(1_000_000 - order["cost"])
    spent = await trader.create_market_buy_order_with_cost(SYMBOL, 100)
    assert 99 < spent["cost"] <= 100


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("limit", "buy", 20, 59_000), ccxt.InsufficientFunds),
        (("market", "sell", 100.5), ccxt.InsufficientFunds),
        (("limit", "buy", 0.00001, 59_000), ccxt.BadRequest),
        (("limit", "buy", 0.01, 70_000, {"postOnly": True}), ccxt.OrderImmediatelyFillable),
        (("market", "buy", 0.01, None, {"stopLossPrice": 50_000}), ccxt.OrderImmediatelyFillable),
    ],
)
async def test_refused_orders(trader: Any, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        await trader.create_order(SYMBOL, *arguments)
    assert await trader.fetch_orders(SYMBOL) == []


async def test_a_parameter_that_nobody_reads_is_refused(trader: Any) -> None:
    with pytest.raises(ccxt.BadRequest, match="-1104"):
        await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"unheard": 1})
    assert await trader.fetch_orders(SYMBOL) == []


async def test_errors_ccxt_knows(trader: Any, still: ExchangeServer) -> None:
    with pytest.raises(ccxt.OrderNotFound):
        await trader.cancel_order("99", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await trader.fetch_order("99", SYMBOL)
    await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
    with pytest.raises(ccxt.InvalidOrder):
        await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
    stranger = ccxt.async_support.binance(trader_options(still.base_url, secret="wrong"))
    try:
        with pytest.raises(ccxt.AuthenticationError):
            await stranger.fetch_balance()
    finally:
        await stranger.close()


async def test_time_in_force(trader: Any) -> None:
    best = (await trader.fetch_order_book(SYMBOL, 5))["asks"]
    price, size = best[0]
    all_or_none = await trader.create_order(SYMBOL, "limit", "buy", size + 1, price, {"timeInForce": "FOK"})
    assert (all_or_none["status"], all_or_none["filled"]) == ("expired", 0)
    at_once = await trader.create_order(SYMBOL, "limit", "buy", size + 1, price, {"timeInForce": "IOC"})
    assert (at_once["status"], at_once["filled"]) == ("expired", size)
    patient = await trader.create_order(SYMBOL, "limit", "buy", 1, best[1][0])
    assert (patient["status"], patient["filled"]) == ("open", best[1][1])
    book = await trader.fetch_order_book(SYMBOL, 5)
    assert book["bids"][0] == [best[1][0], pytest.approx(1 - best[1][1])], "what is left is in the book for all to see"


async def test_a_test_order_leaves_nothing(trader: Any) -> None:
    await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"test": True})
    assert await trader.fetch_orders(SYMBOL) == []


async def test_the_ledger_has_every_request_also_those_refused(trader: Any, client: Client) -> None:
    await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
    with pytest.raises(ccxt.InvalidOrder):
        await trader.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
    await trader.create_order(SYMBOL, "market", "buy", 0.00001 * 20, None, {"clientOrderId": "b"})
    ledger = (await client.get("/admin/ledger"))[1]
    told = [(row["params"]["newClientOrderId"], row["outcome"], row["answer"]) for row in ledger["requests"]]
    assert told == [("a", "accepted", "200"), ("a", "-2010", "400"), ("b", "accepted", "200")]
    assert [row["client_order_id"] for row in ledger["orders"]] == ["a", "b"]
    assert {row["client_order_id"] for row in ledger["fills"]} == {"b"}
    assert ledger["requests"][0]["order_id"] == ledger["orders"][0]["order_id"]
    assert "signature" not in ledger["requests"][0]["params"]
    assert (await client.get("/admin/ledger", account="nobody"))[1] == {"requests": [], "orders": [], "fills": []}


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff", b"=&&=", b"timestamp=1&timestamp=2", b"{}"])
async def test_bodies_that_are_none(still: ExchangeServer, body: bytes) -> None:
    headers = {"X-MBX-APIKEY": DEFAULT_KEY, "Content-Type": "application/x-www-form-urlencoded"}
    async with (
        aiohttp.ClientSession(still.base_url, headers=headers) as http,
        http.post("/api/v3/order?x=%zz", data=body) as response,
    ):
        assert response.status == 400
        assert (await response.json())["code"] == -1102
