"""What a key may do on an account, over HTTP against the whole product: each flag lets through what it is for, and
nothing else.
"""

from __future__ import annotations

from typing import Any

from oms import keys
from oms.model import Permission, Role, Scope
from oms.store import admin
from oms.store.pool import open_pool
from tests.e2e.ordering import RESTING, Ordering

ACCOUNT = 1  # ann's


async def give(gateway: Ordering, name: str, **permission: Any) -> None:
    """A user whose key may do this on the account; in force when this returns."""
    assert gateway.config.oms.database_url is not None
    made = keys.make()
    async with await open_pool(gateway.config.oms.database_url) as pool:
        user = await admin.add_user(pool, name, Role.TRADER)
        key = await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope))
        await admin.grant(pool, key.id, Permission(account_id=ACCOUNT, **permission))
    gateway.keys[name] = made.text
    body = {"account_id": ACCOUNT, "command": "cancel_all_after", "payload": {"timeout_ms": 0}, "validate": True}
    await gateway.until(
        lambda answer: answer[0] not in {401, 404}, lambda: gateway.ask(name, "POST", "/oms/commands", body)
    )


async def ask(gateway: Ordering, user: str, command: str, **payload: Any) -> tuple[int, str | None]:
    """The status of a command on the account, and the code of its refusal."""
    body = {"account_id": ACCOUNT, "command": command, "payload": payload}
    status, answer = await gateway.ask(user, "POST", "/oms/commands", body)
    error = answer["results"][0]["error"]
    return status, error and error["code"]


async def position_of(gateway: Ordering) -> int:
    """One that is held by the account."""
    sent = await gateway.send("ann", order_type="market", price=None, qty="0.2")
    await gateway.until_order(sent["order_id"], state="FILLED")
    (position,) = await gateway.positions("ann")
    return int(position["id"])


async def test_who_may_close_closes_and_takes_back_and_sends_nothing(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await give(gateway, "closer", can_read=True, can_close_position=True)
    position = await position_of(gateway)
    resting = await gateway.send("ann")
    assert await ask(gateway, "closer", "send_order", **RESTING) == (403, "permission_denied")
    assert await ask(gateway, "closer", "change_order", order_id=resting["order_id"], new_price="50001") == (
        403, "permission_denied",
    )  # fmt: skip
    assert await ask(gateway, "closer", "cancel_order", order_id=resting["order_id"]) == (200, None)
    assert await ask(gateway, "closer", "close_position", position_id=position) == (200, None)
    await gateway.until(lambda rows: rows == [], lambda: gateway.positions("ann"))


async def test_who_may_not_close_closes_nothing_and_takes_nothing_back(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await give(gateway, "manager", can_read=True, can_risk_manage=True)
    position = await position_of(gateway)
    resting = await gateway.send("ann")
    assert await ask(gateway, "manager", "close_position", position_id=position) == (403, "permission_denied")
    assert await ask(gateway, "manager", "cancel_order", order_id=resting["order_id"]) == (403, "permission_denied")
    assert [row["id"] for row in await gateway.positions("ann")] == [position]
    assert (await gateway.order(resting["order_id"]))["state"] == "SUBMITTED"


async def test_limits_are_changed_by_who_manages_risk_and_nobody_else(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await give(gateway, "manager", can_read=True, can_risk_manage=True)
    await give(gateway, "trader", can_read=True, can_trade=True, can_close_position=True)
    change = "PATCH", f"/oms/risk/{ACCOUNT}", {"trading_state": "halted"}
    make = "POST", "/oms/strategies", {"account_id": ACCOUNT, "name": "made"}
    for method, path, body in (change, make):
        status, answer = await gateway.ask("trader", method, path, body)
        assert (status, answer["code"]) == (403, "permission_denied")
    assert await ask(gateway, "trader", "send_order", **RESTING) == (200, None)
    status, answer = await gateway.ask("manager", *change)
    assert (status, answer["trading_state"]) == (200, "halted")
    assert (await gateway.ask("manager", *make))[0] == 201
    assert (await ask(gateway, "trader", "send_order", **RESTING))[1] == "risk_blocked"
    assert await ask(gateway, "manager", "send_order", **RESTING) == (403, "permission_denied")


async def test_a_key_for_some_strategies_sees_and_trades_with_these_alone(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    made = [
        (await gateway.ask("ann", "POST", "/oms/strategies", {"account_id": ACCOUNT, "name": name}))[1]["id"]
        for name in ("mine", "theirs")
    ]
    mine, theirs = made
    full = {"can_read": True, "can_trade": True, "can_close_position": True}
    await give(gateway, "some", **full, strategies=frozenset({mine}))
    foreign = (await gateway.send("ann", strategy_id=theirs))["order_id"]
    own = await gateway.command("some", "send_order", **RESTING, strategy_id=mine)
    assert own["ok"], own
    for other in ({"strategy_id": theirs}, {}):
        assert await ask(gateway, "some", "send_order", **RESTING, **other) == (403, "strategy_permission_denied")
    assert await ask(gateway, "some", "cancel_order", order_id=foreign) == (404, "order_not_found")
    assert await ask(gateway, "some", "cancel_all_orders") == (403, "strategy_permission_denied")
    _, seen = await gateway.ask("some", "GET", "/oms/orders/open")
    assert [row["id"] for row in seen["items"]] == [own["order_id"]]
    _, answer = await gateway.ask("some", "GET", f"/oms/orders/{foreign}")
    assert answer["missing"] == [foreign]
    status, answer = await gateway.ask("some", "GET", f"/oms/events?account_id={ACCOUNT}")
    assert (status, answer["code"]) == (403, "strategy_permission_denied")
    _, listed = await gateway.ask("some", "GET", "/oms/strategies")
    assert [row["id"] for row in listed["items"]] == [mine]
    assert await ask(gateway, "some", "cancel_all_orders", strategy_ids=[mine]) == (200, None)
    assert (await gateway.order(own["order_id"]))["state"] == "CANCELED"
    assert (await gateway.order(foreign))["state"] == "SUBMITTED"


async def test_who_trades_without_reading_is_shown_nothing(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await give(gateway, "blind", can_read=False, can_trade=True)
    assert (await gateway.ask("blind", "GET", "/oms/accounts"))[1]["items"] == []
    status, answer = await gateway.ask("blind", "GET", f"/oms/orders/open?account_ids={ACCOUNT}")
    assert (status, answer["code"]) == (403, "permission_denied")
    assert await ask(gateway, "blind", "send_order", **RESTING) == (200, None)
