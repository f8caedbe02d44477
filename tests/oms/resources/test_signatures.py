"""What loosens the bounds of an account that takes signed commands only is signed; what tightens them need not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oms.model import TradingState
from oms.signing import Signed
from oms.store import admin
from oms.store.pool import Pool
from tests.oms.resources.served import Served

SIGNATURE = {"x-tickwire-signature": "right", "x-tickwire-timestamp": "5", "x-tickwire-nonce": "n"}
TIGHT: dict[str, Any] = {
    "allow_new_positions": False, "max_order_qty": "1", "max_order_notional": "100", "max_open_orders": 5,
    "max_position_notional": "1000", "price_collar_bps": 10, "max_orders_per_s": 2, "max_market_data_age_ms": 1000,
    "trading_state": "halted",
}  # fmt: skip
LOOSE: dict[str, Any] = {
    "allow_new_positions": True, "max_order_qty": "1.1", "max_order_notional": None, "max_open_orders": 6,
    "max_position_notional": "1000.5", "price_collar_bps": None, "max_orders_per_s": 3, "max_market_data_age_ms": 1001,
    "trading_state": "reducing",
}  # fmt: skip
RISK = ("ann", "PATCH", "/oms/risk/1")


@pytest.fixture
async def signed_only(served: Served, pool: Pool) -> Served:
    """Account 1 takes signed commands only."""
    await pool.execute("UPDATE accounts SET requires_signing = true WHERE id = 1")
    served.service.signed_only.add(1)
    return served


async def refused(served: Served, user: str, method: str, path: str, body: Any, **headers: str) -> str:
    response = await served.send(user, method, path, body, **headers)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied"), response.text
    return str(response.json()["details"]["reason"])


async def test_a_limit_is_loosened_by_a_signature_and_tightened_without(signed_only: Served) -> None:
    assert (await signed_only.send(*RISK, TIGHT)).status_code == 200
    for name, value in LOOSE.items():
        before = (await signed_only.get("ann", "/oms/risk/1")).json()
        assert await refused(signed_only, *RISK, {name: value}) == "signature_required"
        assert (await signed_only.get("ann", "/oms/risk/1")).json() == before
        changed = await signed_only.send(*RISK, {name: value}, **SIGNATURE)
        assert (changed.status_code, changed.json()[name]) == (200, value)
        assert (await signed_only.send(*RISK, {name: TIGHT[name]})).status_code == 200


async def test_what_tightens_does_not_carry_what_loosens(signed_only: Served) -> None:
    assert (await signed_only.send(*RISK, TIGHT)).status_code == 200
    assert await refused(signed_only, *RISK, {"max_order_qty": "0.5", "max_open_orders": 6}) == "signature_required"
    assert (await signed_only.get("ann", "/oms/risk/1")).json()["max_order_qty"] == "1"


async def test_the_kill_switch_of_all_is_released_by_a_signature(signed_only: Served, pool: Pool) -> None:
    switch = ("root", "PUT", "/oms/trading")
    for state, easier in (("reducing", "active"), ("halted", "reducing"), ("halted", "active")):
        assert (await signed_only.send(*switch, {"trading_state": state})).status_code == 200
        assert await refused(signed_only, *switch, {"trading_state": easier}) == "signature_required"
        assert await admin.trading_state(pool) is TradingState(state)
    released = await signed_only.send(*switch, {"trading_state": "active"}, **SIGNATURE)
    assert (released.status_code, await admin.trading_state(pool)) == (200, TradingState.ACTIVE)


async def test_a_block_is_lifted_by_a_signature(signed_only: Served) -> None:
    account = ("root", "PATCH", "/oms/accounts")
    for _ in range(2):  # blocked again is nothing new
        assert (await signed_only.send(*account, {"id": 1, "blocked": True})).status_code == 200
    assert await refused(signed_only, *account, {"id": 1, "blocked": False}) == "signature_required"
    assert (await signed_only.send(*account, {"id": 1, "name": "one"})).json()["blocked"] is True
    lifted = await signed_only.send(*account, {"id": 1, "blocked": False}, **SIGNATURE)
    assert lifted.json()["blocked"] is False


async def test_orders_are_given_to_another_strategy_by_a_signature(signed_only: Served) -> None:
    giving = ("ann", "POST", "/oms/reassign", {"account_id": 1, "strategy_id": 9, "order_ids": [5]})
    assert await refused(signed_only, *giving) == "signature_required"
    assert signed_only.service.asked == []
    assert (await signed_only.send(*giving, **SIGNATURE)).status_code == 200
    assert signed_only.service.asked == [("reassign", 1, 9, [5], [])]


async def test_signed_are_method_path_and_body(served: Served) -> None:
    body = json.dumps({"max_open_orders": 4}).encode()
    await served.send("ann", "PATCH", "/oms/risk/1", body, **SIGNATURE)
    assert served.service.signatures == [Signed("right", 5, "n", b"PATCH\n/oms/risk/1\n" + body)]


async def test_a_signature_that_is_there_has_to_be_right_and_whole(served: Served) -> None:
    change = {"max_open_orders": 4}
    assert await refused(served, *RISK, change, **SIGNATURE | {"x-tickwire-signature": "s"}) == "signature_invalid"
    half = {name: value for name, value in SIGNATURE.items() if "nonce" not in name}
    assert (await served.send(*RISK, change, **half)).status_code == 422
    assert served.service.asked == []
