"""Accounts, strategies and limits over HTTP: who may change what, that it is stored, written down and in force."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from oms.model import Environment, PositionMode, TradingState
from oms.store import admin
from oms.store.pool import Pool
from tests.oms.resources.served import Served


async def test_everybody_sees_their_accounts_and_an_admin_all(served: Served) -> None:
    async def names(user: str) -> list[str]:
        return [item["name"] for item in (await served.get(user, "/oms/accounts")).json()["items"]]

    assert await names("root") == ["first", "second"]
    assert await names("ann") == ["first"]
    assert await names("eve") == []


async def test_an_account_is_added_with_sealed_credentials_that_nobody_is_told(served: Served, pool: Pool) -> None:
    secret = "s3cr3t-of-the-venue"  # made up
    credentials = {"apiKey": "k", "secret": secret}
    body = {"name": "third", "exchange": "sim", "position_mode": "hedge", "credentials": credentials}
    response = await served.send("root", "POST", "/oms/accounts", body)
    assert response.status_code == 201, response.text
    assert secret not in response.text
    made = response.json()
    account = next(row for row in await admin.accounts(pool) if row.id == made["id"])
    assert (account.name, account.exchange, account.environment) == ("third", "sim", Environment.SIMULATED)
    assert account.position_mode is PositionMode.HEDGE
    sealed = await admin.credentials(pool, account.id)
    assert sealed is not None
    assert secret.encode() not in sealed
    assert served.service.vault.open(account.id, sealed) == credentials
    assert ("changed",) in served.service.asked
    (row,) = await pool.fetch("SELECT * FROM audit_log")
    assert (row["action"], row["subject"], row["user_id"]) == ("account.add", f"account {account.id}", 1)
    assert secret not in str(row["details"])


async def test_an_account_at_an_exchange_that_is_not_configured_is_not_added(served: Served, pool: Pool) -> None:
    response = await served.send("root", "POST", "/oms/accounts", {"name": "third", "exchange": "elsewhere"})
    assert (response.status_code, response.json()["code"]) == (422, "unsupported_engine")
    assert "elsewhere" in response.json()["message"]
    assert len(await admin.accounts(pool)) == 2
    assert await pool.fetch("SELECT * FROM audit_log") == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/oms/accounts", {"name": "x\n", "exchange": "sim"}),
        ("PATCH", "/oms/accounts", {"id": 1, "name": "x\n"}),
        ("POST", "/oms/strategies", {"account_id": 1, "name": "x\n"}),
        ("POST", "/oms/accounts", {"name": "x", "exchange": "sim", "credentials": {"apiKey\n": "k"}}),
        ("PATCH", "/oms/risk/1", {"max_order_qty": "1\n"}),
    ],
)
async def test_a_newline_at_the_end_is_no_part_of_a_name_or_number(
    served: Served, method: str, path: str, body: dict[str, Any]
) -> None:
    response = await served.send("root", method, path, body)
    assert (response.status_code, response.json()["code"]) == (422, "validation_error")
    assert served.service.asked == []


async def test_an_account_is_blocked_and_renamed(served: Served, pool: Pool) -> None:
    response = await served.send("root", "PATCH", "/oms/accounts", {"id": 1, "blocked": True, "name": "one"})
    assert response.status_code == 200
    assert response.json()["blocked"] is True
    assert [(row.name, row.blocked) for row in await admin.accounts(pool)] == [("one", True), ("second", False)]
    assert served.service.asked == [("changed",)]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/oms/accounts", {"name": "x", "exchange": "sim"}),
        ("PATCH", "/oms/accounts", {"id": 1, "blocked": True}),
    ],
)
async def test_accounts_are_an_admins(served: Served, method: str, path: str, body: dict[str, Any]) -> None:
    response = await served.send("ann", method, path, body)
    assert response.status_code == 403
    assert served.service.asked == []


async def test_strategies_are_added_and_renamed_by_who_manages_the_risk(served: Served) -> None:
    made = await served.send("ann", "POST", "/oms/strategies", {"account_id": 1, "name": "mm"})
    assert made.status_code == 201
    assert served.service.asked == [("changed",)], "orders may name it once this is answered"
    number = made.json()["id"]
    renamed = await served.send("ann", "PATCH", "/oms/strategies", {"id": number, "name": "maker"})
    assert renamed.json() == {"id": number, "account_id": 1, "name": "maker"}
    assert (await served.get("ann", "/oms/strategies")).json()["items"] == [renamed.json()]
    assert (await served.get("eve", "/oms/strategies")).json()["items"] == []
    assert (await served.send("sam", "POST", "/oms/strategies", {"account_id": 1, "name": "x"})).status_code == 403
    assert (await served.send("eve", "PATCH", "/oms/strategies", {"id": number, "name": "x"})).status_code == 422
    again = await served.send("ann", "POST", "/oms/strategies", {"account_id": 1, "name": "maker"})
    assert again.json()["message"] == "there is a strategy named maker already"


async def test_changes_at_the_same_time_are_all_made(served: Served, pool: Pool) -> None:
    """A kill switch beside a limit, an account blocked beside its new name: none of them takes another back."""
    for number in range(8):
        before = ("active", "halted") if number % 2 else ("halted", "active")
        await asyncio.gather(
            served.send("ann", "PATCH", "/oms/risk/1", {"trading_state": before[1]}),
            served.send("ann", "PATCH", "/oms/risk/1", {"max_open_orders": number}),
            served.send("root", "PATCH", "/oms/accounts", {"id": 1, "blocked": number % 2 == 0}),
            served.send("root", "PATCH", "/oms/accounts", {"id": 1, "name": f"name {number}"}),
        )
        limits = await admin.risk(pool, 1)
        assert limits is not None
        assert (limits.trading_state, limits.max_open_orders) == (before[1], number)
        account = next(row for row in await admin.accounts(pool) if row.id == 1)
        assert (account.blocked, account.name) == (number % 2 == 0, f"name {number}")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/oms/accounts", {"name": "third", "exchange": "sim"}),
        ("PATCH", "/oms/accounts", {"id": 1, "name": "third"}),
        ("POST", "/oms/strategies", {"account_id": 1, "name": "third"}),
        ("PATCH", "/oms/risk/1", {"max_open_orders": 3}),
        ("PUT", "/oms/trading", {"trading_state": "halted"}),
    ],
)
async def test_a_change_that_cannot_be_written_down_is_not_made(
    served: Served, pool: Pool, method: str, path: str, body: dict[str, Any]
) -> None:
    before = [await admin.accounts(pool), await admin.strategies(pool), await admin.risk(pool, 1)]
    await pool.execute("ALTER TABLE audit_log RENAME TO away")
    try:
        response = await served.send("root", method, path, body)
    finally:
        await pool.execute("ALTER TABLE away RENAME TO audit_log")
    assert response.status_code >= 500
    assert [await admin.accounts(pool), await admin.strategies(pool), await admin.risk(pool, 1)] == before
    assert await admin.trading_state(pool) is TradingState.ACTIVE
    assert served.service.asked == []


async def test_a_limit_is_set_taken_away_and_left_alone(served: Served, pool: Pool) -> None:
    body = {"max_order_qty": "1.5", "max_open_orders": None, "trading_state": "halted"}
    response = await served.send("ann", "PATCH", "/oms/risk/1", body)
    assert response.status_code == 200, response.text
    stored = await admin.risk(pool, 1)
    assert stored is not None
    assert (stored.max_order_qty, stored.max_open_orders) == (Decimal("1.5"), None)
    assert stored.trading_state is TradingState.HALTED
    assert stored.max_market_data_age_ms == 5_000
    assert (await served.get("sam", "/oms/risk/1")).json() == response.json()
    assert served.service.asked == [("changed",)]


@pytest.mark.parametrize(
    "body",
    [
        {"max_order_qty": "0"},
        {"max_order_qty": "1" * 19},
        {"max_order_qty": "NaN"},
        {"max_order_qty": 1.5},
        {"max_open_orders": -1},
        {"max_open_orders": 2**31},
        {"max_orders_per_s": 0},
        {"max_market_data_age_ms": None},
        {"trading_state": "sleeping"},
        {"no_such_limit": 1},
        [],
    ],
)
async def test_limits_that_make_no_sense_are_refused_and_change_nothing(served: Served, body: Any) -> None:
    before = (await served.get("ann", "/oms/risk/1")).json()
    response = await served.send("ann", "PATCH", "/oms/risk/1", body)
    assert response.status_code == 422, response.text
    assert (await served.get("ann", "/oms/risk/1")).json() == before
    assert served.service.asked == []


async def test_risk_is_not_for_whoever_may_only_look_nor_of_an_account_that_is_not_there(served: Served) -> None:
    assert (await served.send("sam", "PATCH", "/oms/risk/1", {"max_open_orders": 1})).status_code == 403
    for user, path in (("ann", "/oms/risk/2"), ("root", "/oms/risk/3"), ("eve", "/oms/risk/1")):
        response = await served.send(user, "PATCH", path, {"max_open_orders": 1})
        assert (response.status_code, response.json()["code"]) == (404, "account_not_found")
