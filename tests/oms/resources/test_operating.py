"""Readiness and the kill switch over HTTP: who is told what, and that trading is stopped for all by an admin alone."""

from __future__ import annotations

import pytest

from oms.model import TradingState
from oms.store import admin
from oms.store.pool import Pool
from oms.trader import Readiness
from tests.oms.resources.served import Served

WAITING = Readiness(2, True, False, "the exchange has not been heard yet: try again soon")


async def test_each_is_told_of_the_accounts_they_may_look_at(served: Served) -> None:
    served.service.accounts = [Readiness(1, True, True, None), WAITING]
    ready = {"account_id": 1, "ready": True, "connected": True, "reconciled": True, "obstacle": None}
    waiting = {
        "account_id": 2, "ready": False, "connected": True, "reconciled": False, "obstacle": WAITING.obstacle,
    }  # fmt: skip
    assert (await served.get("root", "/oms/readiness")).json() == {"database": True, "items": [ready, waiting]}
    assert (await served.get("ann", "/oms/readiness")).json()["items"] == [ready]
    assert (await served.get("eve", "/oms/readiness")).json()["items"] == []


async def test_without_its_database_it_says_so(served: Served) -> None:
    served.service.is_ready = False
    response = await served.get("ann", "/oms/readiness")
    assert (response.status_code, response.json()) == (200, {"database": False, "items": []})


async def test_trading_is_halted_for_all_and_taken_up_again(served: Served, pool: Pool) -> None:
    assert (await served.get("root", "/oms/trading")).json() == {"trading_state": "active"}
    for state in ("halted", "reducing", "active"):
        changed = await served.send("root", "PUT", "/oms/trading", {"trading_state": state})
        assert (changed.status_code, changed.json()) == (200, {"trading_state": state})
        assert await admin.trading_state(pool) is TradingState(state)
        assert (await served.get("root", "/oms/trading")).json() == {"trading_state": state}
    assert served.service.asked == [("changed",)] * 3
    rows = await pool.fetch("SELECT * FROM audit_log ORDER BY id")
    assert [(row["action"], row["details"]["trading_state"], row["user_id"]) for row in rows] == [
        ("trading.change", state, 1) for state in ("halted", "reducing", "active")
    ]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_the_kill_switch_of_all_is_an_admins(served: Served, pool: Pool, method: str) -> None:
    response = await served.send("ann", method, "/oms/trading", {"trading_state": "halted"})
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert await admin.trading_state(pool) is TradingState.ACTIVE
    assert served.service.asked == []


async def test_a_word_that_is_no_state_changes_nothing(served: Served, pool: Pool) -> None:
    response = await served.send("root", "PUT", "/oms/trading", {"trading_state": "off"})
    assert (response.status_code, response.json()["code"]) == (422, "validation_error")
    assert await admin.trading_state(pool) is TradingState.ACTIVE
