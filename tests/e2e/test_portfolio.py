"""What an account is worth, with the simulated exchange, a real database and orders that are filled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.e2e.ordering import Ordering

D = Decimal


async def test_a_portfolio_follows_orders_and_quotes(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with gateway.connect() as stream:
        await stream.subscribe("portfolio")

        async def look() -> dict[str, Any]:
            while (message := await stream.take())["type"] != "portfolio":
                pass
            return dict(message["data"])

        first = await gateway.until(lambda data: data["total_value"] is not None and not data["unvalued"], look)
        assert (first["currency"], first["positions"], first["stale"]) == ("USDT", [], False)
        sent = await gateway.send(order_type="market", qty="0.5", price=None)
        await gateway.until_order(sent["order_id"], state="FILLED")
        held = await gateway.until(lambda data: data["positions"] and not data["stale"], look)
        (position,) = held["positions"]
        assert (position["symbol"], position["currency"], position["stale"]) == ("BTC/USDT", "USDT", False)
        assert D(position["market_price"]) > 0
        assert D(first["total_value"]) / 2 < D(held["total_value"]) < D(first["total_value"]) * 2
        moved = await gateway.until(lambda data: data["total_value"] != held["total_value"], look)
        status, told = await gateway.ask("ann", "GET", "/api/portfolio/1")
        assert (status, [each["symbol"] for each in told["positions"]]) == (200, ["BTC/USDT"])
        assert moved["positions"][0]["quantity"] == told["positions"][0]["quantity"] == position["quantity"]
    assert (await gateway.ask("bob", "GET", "/api/portfolio/1"))[0] == 404
