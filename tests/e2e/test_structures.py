"""What the driver answers keeps the rules of ccxt's manual: every method, of every kind of thing it returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from driver.pro import OmsCcxtProExchange
from tests.e2e import structures
from tests.e2e.ordering import WAIT_S, Ordering, ordering

SYMBOL, OTHER = "BTC/USDT", "ETH/USDT"
MINUTE_MS = 60_000


@pytest.fixture(name="gateway")
async def _gateway(dsn: str) -> AsyncIterator[Ordering]:
    async with ordering(dsn, "--symbols", "2", "--rate", "20", "--age-s", "1200") as made:
        yield made


@pytest.fixture(name="exchange")
async def _exchange(gateway: Ordering) -> AsyncIterator[Any]:
    options = {"account_id": 1, "base_url": f"http://127.0.0.1:{gateway.app.port}"}
    exchange = OmsCcxtProExchange({"apiKey": gateway.keys["ann"], "options": options})
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def orders_of_all_kinds(exchange: Any) -> dict[str, dict[str, Any]]:
    """Orders as they are answered when they are made, or ended."""
    limit = ("limit", "buy", 0.001)
    resting = await exchange.create_order(SYMBOL, *limit, 50_000, {"clientOrderId": "resting"})
    made = {
        "resting": resting,
        "post only": await exchange.create_order(SYMBOL, *limit, 50_001, {"postOnly": True}),
        "bought": await exchange.create_order(SYMBOL, "market", "buy", 0.02),
        "sold": await exchange.create_order(SYMBOL, "market", "sell", 0.01),
        "crossing": await exchange.create_order(SYMBOL, *limit, 61_000, {"timeInForce": "IOC"}),
        "nothing there": await exchange.create_order(SYMBOL, *limit, 50_000, {"timeInForce": "IOC"}),
        "stop": await exchange.create_order(SYMBOL, "market", "sell", 0.001, None, {"triggerPrice": 40_000}),
        "profit": await exchange.create_order(SYMBOL, "limit", "sell", 0.001, 80_000, {"takeProfitPrice": 79_000}),
        "edited": await exchange.edit_order(resting["id"], SYMBOL, *limit, 50_002),
    }
    other = await exchange.create_order(SYMBOL, *limit, 50_003)
    made["canceled"] = await exchange.cancel_order(other["id"], SYMBOL)
    return made


async def test_orders_trades_and_positions(exchange: Any) -> None:
    began = exchange.milliseconds() - 1_000
    made = await orders_of_all_kinds(exchange)
    for row in made.values():
        structures.order(row, SYMBOL)
    statuses = {name: row["status"] for name, row in made.items()}
    assert statuses == {
        **dict.fromkeys(("resting", "post only", "stop", "profit", "edited"), "open"),
        **dict.fromkeys(("bought", "sold", "crossing"), "closed"),
        **dict.fromkeys(("nothing there",), "expired"),
        "canceled": "canceled",
    }
    assert made["resting"]["clientOrderId"] == "resting"
    assert made["post only"]["postOnly"]
    assert (made["stop"]["triggerPrice"], made["stop"]["takeProfitPrice"]) == (40_000, None)
    assert made["profit"]["triggerPrice"] == made["profit"]["takeProfitPrice"] == 79_000
    for name, row in made.items():
        again = await exchange.fetch_order(row["id"], SYMBOL)
        structures.order(again, SYMBOL)
        assert again["id"] == row["id"], name
    lists: dict[str, set[str]] = {
        "fetch_open_orders": {"open"}, "fetch_closed_orders": {"closed"}, "fetch_canceled_orders": {"canceled"},
        "fetch_orders": structures.ORDER_STATUSES,
    }  # fmt: skip
    for method, allowed in lists.items():
        for arguments in ((), (began,), (None, 2)):
            rows = await getattr(exchange, method)(SYMBOL, *arguments)
            assert rows, method
            assert {row["status"] for row in rows} <= allowed, method
            structures.ascending(rows, *arguments)
            for row in rows:
                structures.order(row, SYMBOL)
    assert {row["id"] for row in await exchange.fetch_orders(SYMBOL)} >= {row["id"] for row in made.values()}

    trades = await exchange.fetch_my_trades(SYMBOL, began)
    structures.ascending(trades, began)
    for row in trades:
        structures.trade(row, SYMBOL, own=True)
    for name in ("bought", "sold", "crossing"):
        order = await exchange.fetch_order(made[name]["id"], SYMBOL)
        parts = [row for row in trades if row["order"] == order["id"]]
        assert sum(row["amount"] for row in parts) == pytest.approx(order["filled"])
        assert sum(row["cost"] for row in parts) == pytest.approx(order["cost"])
        of_order = await exchange.fetch_order_trades(order["id"], SYMBOL)
        assert {row["id"] for row in of_order} == {row["id"] for row in parts}
    assert len(await exchange.fetch_my_trades(SYMBOL, None, 1)) == 1

    (position,) = await exchange.fetch_positions([SYMBOL])
    structures.position(position, SYMBOL)
    assert (position["side"], position["contracts"]) == ("long", pytest.approx(0.011, rel=0.01))
    structures.position(await exchange.fetch_position(SYMBOL), SYMBOL)
    structures.balance(await exchange.fetch_balance())


async def test_market_data(exchange: Any) -> None:
    for row in exchange.markets.values():
        structures.market(row)
    for code, row in exchange.currencies.items():
        structures.currency(row, code)
    structures.ticker(await exchange.fetch_ticker(SYMBOL), SYMBOL)
    tickers = await exchange.fetch_tickers([SYMBOL, OTHER])
    assert tickers.keys() == {SYMBOL, OTHER}
    for symbol, row in tickers.items():
        structures.ticker(row, symbol)
    structures.book(await exchange.fetch_order_book(SYMBOL, 10), SYMBOL)
    for limit in (None, 5):
        trades = await exchange.fetch_trades(SYMBOL, None, limit)
        structures.ascending(trades, None, limit)
        for row in trades:
            structures.trade(row, SYMBOL, own=False)
        candles = await exchange.fetch_ohlcv(SYMBOL, "1m", None, limit)
        structures.candles(candles, MINUTE_MS)
        assert limit is None or len(candles) <= limit
    assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 60_000


async def test_what_is_watched(exchange: Any) -> None:
    async def of(watch: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await asyncio.wait_for(watch(*arguments), WAIT_S)

    for _ in range(3):
        structures.ticker(await of(exchange.watch_ticker, SYMBOL), SYMBOL)
        for symbol, row in (await of(exchange.watch_tickers, [SYMBOL, OTHER])).items():
            structures.ticker(row, symbol)
        structures.book(await of(exchange.watch_order_book, SYMBOL), SYMBOL)
        for row in await of(exchange.watch_trades, SYMBOL):
            structures.trade(row, SYMBOL, own=False)
        structures.candles(await of(exchange.watch_ohlcv, SYMBOL, "1m"), MINUTE_MS)

    watched = {
        name: asyncio.create_task(of(getattr(exchange, name), *arguments))
        for name, arguments in (
            ("watch_orders", (SYMBOL,)),
            ("watch_my_trades", (SYMBOL,)),
            ("watch_positions", ([SYMBOL],)),
            ("watch_balance", ()),
        )
    }
    made = await exchange.create_order(SYMBOL, "market", "buy", 0.01)
    while not all(task.done() for task in watched.values()):  # the first may have been before somebody listened
        await asyncio.wait(watched.values(), timeout=1)
        made = await exchange.create_order(SYMBOL, "market", "buy", 0.01)
    structures.order(made, SYMBOL)
    for row in watched["watch_orders"].result():
        structures.order(row, SYMBOL)
    for row in watched["watch_my_trades"].result():
        structures.trade(row, SYMBOL, own=True)
    for row in watched["watch_positions"].result():
        structures.position(row, SYMBOL)
    structures.balance(watched["watch_balance"].result())
