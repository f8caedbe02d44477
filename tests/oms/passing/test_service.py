"""Who may call a function for an account, and who answers it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms.errors import OmsError
from oms.model import Permission, Principal
from oms.passing import calls
from oms.passing.service import OF_WHOLE_ACCOUNT, PassThrough, described
from oms.store import admin
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


async def test_what_the_oms_knows_it_answers_itself(world: World) -> None:
    await world.account()
    async with world.ready() as oms:
        passing = PassThrough(oms, anonymous=True)
        arguments = ["BTC/USDT", "limit", "buy", 1, 50]
        made = json.loads(await passing.call(ADMIN, 1, "createOrder", arguments, {}))
        assert (made["id"], made["price"]) == ("1", 50.0)
        assert json.loads(await passing.call(ADMIN, 1, "fetchOrder", ["1"], {})) == made
        assert await code(passing, who(can_read=True), "create_order", *arguments) == "permission_denied"
        assert await code(passing, who(), "create_order", *arguments) == "account_not_found"
        assert await code(passing, None, "create_order", *arguments) == "missing_api_key"


async def test_who_waits_for_an_order_is_told_of_once_and_who_asks_for_data_is_not(world: World) -> None:
    await world.account()
    async with world.ready() as oms:
        passing, waiting = PassThrough(oms, anonymous=True), list[int]()
        oms.on_asked = waiting.append
        await passing.call(None, 1, "fetchTicker", ["BTC/USDT"], {})
        await passing.call(ADMIN, 1, "fetch_balance", [], {})
        assert not waiting
        await passing.call(ADMIN, 1, "createOrder", ["BTC/USDT", "limit", "buy", 1, 50], {})
        assert waiting == [1, -1]
        refused = await code(passing, who(can_read=True), "createOrder", "BTC/USDT", "limit", "buy", 1, 50)
        assert (refused, waiting) == ("permission_denied", [1, -1] * 2)
        assert await code(passing, ADMIN, "cancelOrders", ["1"]) == ""
        assert waiting == [1, -1] * 3


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
        some = who(can_read=True, strategies=frozenset({7}))
        for func in ("fetch_balance", "fetch_free_balance", "fetch_used_balance", "fetchTotalBalance", "fetch_ledger"):
            assert await code(opened, some, func) == "strategy_permission_denied"
        assert await code(opened, some, "fetch_trading_fees") == ""
        assert await code(opened, reader, "fetch_ledger") == ""
        assert await code(opened, ADMIN, "fetch_time", account_id=9) == "account_not_found"
        assert await code(opened, reader, "fetch_time", account_id=9) == "account_not_found"
        assert await code(opened, None, "fetch_time", account_id=9) == "account_not_found"


async def test_who_may_trade_with_the_whole_account_may_set_how(world: World) -> None:
    await world.account()
    some = who(can_trade=True, strategies=frozenset({7}))
    async with world.ready() as oms:
        passing = PassThrough(oms, anonymous=True)
        for func, args, arguments in (
            ("setLeverage", [Decimal("5.0"), "BTC/USDT"], {"leverage": 5, "symbol": "BTC/USDT"}),
            ("set_margin_mode", ["isolated", "BTC/USDT"], {"marginMode": "isolated", "symbol": "BTC/USDT"}),
            ("set_position_mode", [True], {"hedged": True, "symbol": None}),
        ):
            told = json.loads(await passing.call(who(can_trade=True), 1, func, args, {}))
            assert (told["arguments"], told["public"]) == ({**arguments, "params": {}}, False)
            assert await code(passing, some, func, *args) == "strategy_permission_denied"
            assert await code(passing, who(can_read=True), func, *args) == "permission_denied"
            assert await code(passing, who(), func, *args) == "account_not_found"
            assert await code(passing, None, func, *args) == "missing_api_key"


async def test_a_call_changes_nothing_of_an_account_that_takes_signed_commands_only(world: World) -> None:
    await world.account()
    async with world.ready() as oms:
        (account,) = await admin.accounts(oms.pool)
        await admin.set_account(oms.pool, msgspec.structs.replace(account, requires_signing=True))
        await oms.changed()
        passing = PassThrough(oms, anonymous=True)
        for func, arguments in (("create_order", ["BTC/USDT", "limit", "buy", 1, 50]), ("set_leverage", [5])):
            assert await code(passing, ADMIN, func, *arguments) == "permission_denied"
        assert await code(passing, ADMIN, "fetch_balance") == ""


def test_an_exchange_is_described_by_its_name_here_and_has_is_true_of_what_can_be_called() -> None:
    as_they_are = {"fetchTicker": True, "fetchTime": None, "spot": True, "CORS": None, "watchTicker": True, "margin": 0}
    never = {"withdraw": True, "setMargin": True, "fetchDepositAddress": True, "deposit": True, "createOrderWs": True}
    ours = {"fetchPositions": None, "createOrders": False}
    as_they_are |= {"createTakeProfitOrder": None}  # the OMS has such orders, the exchange may not
    told = json.loads(described(msgspec.json.encode({"id": "x", "has": {**as_they_are, **never, **ours}}), "sim"))
    assert told == {
        "id": "x",
        "exchange": "sim",
        "features": None,
        "has": {**as_they_are, **dict.fromkeys(never, False), **dict.fromkeys(ours, True)},
    }


def test_what_is_of_the_whole_account_is_listed() -> None:
    assert all(calls.is_listed(name) for name in OF_WHOLE_ACCOUNT)
