"""Alerts from end to end: made by REST on the live market of the simulated exchange, told on the private stream until
they are confirmed, also by another process."""

from __future__ import annotations

from typing import Any

from tests.e2e.ordering import Ordering

ABOVE = {"account_id": 1, "symbol": "BTC/USDT", "type": "above", "price": "1"}


async def test_an_alert_is_told_until_it_is_confirmed_also_after_a_restart(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders

    async def unconfirmed() -> tuple[int, list[dict[str, Any]]]:
        """Where a new connection starts, and what is told again behind that."""
        async with gateway.connect() as stream:
            at = await stream.subscribe("alerts")
            return at["sequence"], [await stream.take() for _ in range(at["replayed"])]

    async with gateway.connect() as stream:
        assert (await stream.subscribe("alerts"))["sequence"] == 0
        status, never = await gateway.ask("ann", "POST", "/api/alerts", {**ABOVE, "price": "999999999"})
        assert (status, never["state"]) == (201, "armed")
        _, made = await gateway.ask("ann", "POST", "/api/alerts", {**ABOVE, "message": "there is a market"})
        message = await stream.take()
    assert (message["type"], message["channel"], message["sequence"]) == ("alert", "alerts", 1)
    assert message["data"].pop("triggered_at").endswith("Z")
    assert message["data"] == {
        "alert_id": made["id"], "type": "above", "message": "there is a market", "symbol": "BTC/USDT",
    }  # fmt: skip
    await gateway.restart()
    at, again = await unconfirmed()
    assert (at, [each["data"]["alert_id"] for each in again]) == (0, [made["id"]])
    status, _ = await gateway.ask("ann", "POST", f"/api/alerts/{made['id']}/rearm")
    assert status == 200
    async with gateway.connect() as stream:
        await stream.subscribe("alerts", resume={"1": {"epoch": message["epoch"], "sequence": 1}})
        assert (await stream.take())["sequence"] == 2, "armed again it is told again"
        await stream.tell(action="ack", id=1, channel="alerts", account_id=1, sequence=2)
        assert (await stream.take())["type"] == "acked"
    assert await unconfirmed() == (2, [])
    _, listed = await gateway.ask("ann", "GET", "/api/alerts?state=armed")
    assert [each["id"] for each in listed["items"]] == [never["id"]]
