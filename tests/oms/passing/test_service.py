"""Who may call a function for an account, and who answers it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oms.errors import OmsError
from oms.model import Permission, Principal
from oms.passing.service import PassThrough, described
from tests.oms.desk.desks import ADMIN
from tests.oms.serving import World


def who(**permission: Any) -> Principal:
    """Somebody with these permissions on account 1, whatever they are."""
    given = Permission(account_id=1, **{"can_read": False, **permission})
    return Principal(user_id=5, user_name="somebody", api_key_id=5, permissions={1: given})


async def code(passing: PassThrough, principal: Principal | None, func: str, *args: Any, account_id: int = 1) -> str:
    """The code of a refusal; empty when there was none."""
    try:
        await passing.call(principal, account_id, func, args, {})
    except OmsError as error:
        return error.code
    return ""


@pytest.fixture
def world(dsn: str) -> World:
    return World(dsn)


async def test_the_exchange_is_asked_for_what_it_knows(world: World) -> None:
    await world.account()
    async with world.ready() as oms:
        passing = PassThrough(oms, anonymous=True)
        told = json.loads(await passing.call(None, 1, "fetchTicker", ["BTC/USDT"], {}))
        assert told == {"func": "fetch_ticker", "arguments": {"symbol": "BTC/USDT", "params": {}}, "public": True}
        told = json.loads(await passing.call(ADMIN, 1, "fetch_balance", [], {}))
        assert told == {"func": "fetch_balance", "arguments": {"params": {}}, "public": False}


async def test_permissions(world: World) -> None:
    await world.account()
    nobody, reader, trader, manager = who(), who(can_read=True), who(can_trade=True), who(can_risk_manage=True)
    async with world.ready() as oms:
        opened, closed = PassThrough(oms, anonymous=True), PassThrough(oms, anonymous=False)
        assert await code(opened, None, "fetch_time") == ""
        assert await code(closed, None, "fetch_time") == "missing_api_key"
        assert await code(opened, None, "fetch_balance") == "missing_api_key"
        assert await code(opened, None, "withdraw") == "unsupported_action"
        for principal, public, private in (
            (nobody, "account_not_found", "account_not_found"),
            (reader, "", ""),
            (trader, "", "permission_denied"),
            (manager, "", "permission_denied"),
            (ADMIN, "", ""),
        ):
            assert await code(closed, principal, "fetch_time") == public
            assert await code(closed, principal, "fetch_balance") == private
        assert await code(opened, ADMIN, "fetch_time", account_id=9) == "account_not_found"
        assert await code(opened, reader, "fetch_time", account_id=9) == "account_not_found"
        assert await code(opened, None, "fetch_time", account_id=9) == "account_not_found"


def test_has_is_true_of_what_can_be_called() -> None:
    has = {"fetchTicker": True, "fetchTime": None, "withdraw": True, "setLeverage": True, "spot": True, "CORS": None,
           "watchTicker": True, "fetchDepositAddress": True, "deposit": True, "margin": False}  # fmt: skip
    told = json.loads(described(msgspec.json.encode({"id": "x", "has": has})))
    assert told == {
        "id": "x",
        "has": {"fetchTicker": True, "fetchTime": None, "withdraw": False, "setLeverage": False, "spot": True,
                "CORS": None, "watchTicker": True, "fetchDepositAddress": False, "deposit": False, "margin": False},
    }  # fmt: skip
