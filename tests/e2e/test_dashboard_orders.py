"""A dashboard on the whole product: what an order has filled is told as executions, and is in the portfolio."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gateway.config import DashboardConfig
from tests.e2e.ordering import Ordering

QTY = Decimal("0.01")
FEE = Decimal("0.001")  # of the simulated exchange, in what is bought
DASHBOARD = [Subprotocol("tickwire.dashboard")]


async def told(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a type; its numbers keep their digits."""
    while True:
        message = json.loads(await asyncio.wait_for(client.recv(), 30), parse_float=Decimal)
        if message["type"] == kind:
            return dict(message)


async def filled(client: ClientConnection) -> Decimal:
    """The average price of what is bought, once all of it is told."""
    trades: list[dict[str, Any]] = []
    while sum(trade["quantity"] for trade in trades) < QTY:
        trades.append(await told(client, "trade_executed"))
    assert {(trade["symbol"], trade["side"]) for trade in trades} == {("BTC/USDT", "BUY")}
    assert sum(trade["quantity"] for trade in trades) == QTY, "once, and of its own account"
    return Decimal(sum(trade["quantity"] * trade["price"] for trade in trades) / QTY)


async def held(client: ClientConnection) -> dict[str, Any]:
    """The position, once it has grown to what is bought."""
    while True:
        positions = (await told(client, "portfolio_update"))["data"]["positions"]
        if positions and positions["BTC/USDT"]["quantity"] == QTY * (1 - FEE):
            return dict(positions["BTC/USDT"])


async def bought(gateway: Ordering, user: str, account_id: int) -> None:
    """As soon as the account takes orders."""
    order = {"symbol": "BTC/USDT", "side": "buy", "order_type": "market", "qty": str(QTY)}
    body = {"account_id": account_id, "command": "send_order", "payload": order}
    await gateway.until(lambda answer: answer[0] == 200, lambda: gateway.ask(user, "POST", "/oms/commands", body))


async def test_an_order_that_is_filled_is_told_to_its_owner_only(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    dashboard = DashboardConfig(
        symbols=["BTC/USDT"], price_update_interval_s=0.1, portfolio_update_interval_s=0.1, account_id=2
    )
    await gateway.stop()
    gateway.config = msgspec.structs.replace(gateway.config, dashboard=dashboard)
    await gateway.start()
    url = f"ws://127.0.0.1:{gateway.app.port}/ws"
    headers = {"x-api-key": gateway.keys["ann"]}
    async with (
        connect(url, subprotocols=DASHBOARD, additional_headers=headers) as ann,
        connect(f"{url}?client_id=page") as owner,
    ):
        price = (await told(ann, "price_update"))["symbols"]["BTC/USDT"]
        assert price["low"] <= price["price"] <= price["high"]
        assert (await told(owner, "portfolio_update"))["data"]["position_count"] == 0
        await bought(gateway, "ann", 1)
        price = await filled(ann)
        assert abs((await held(ann))["average_price"] - price) < Decimal("0.00000001")
        await bought(gateway, "bob", 2)
        await filled(owner)
        await held(owner)
