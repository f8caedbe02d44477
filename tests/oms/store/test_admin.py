"""Users, keys, accounts and settings on a real database: what was stored is what is read, and changes are heard."""

from __future__ import annotations

from decimal import Decimal

import asyncpg
import msgspec
import pytest

from oms.errors import OmsError
from oms.journal import DESK_LOCK
from oms.model import Environment, Permission, PositionMode, Risk, Role, Scope, Strategy, TradingState
from oms.revocations import Kind
from oms.store import admin
from oms.store.migrate import status
from oms.store.pool import Pool, connect
from tests.oms.full_rows import T


async def key_of_somebody(pool: Pool, prefix: str = "p1") -> int:
    user = await admin.add_user(pool, f"user of {prefix}")
    key = await admin.add_key(pool, user.id, prefix=prefix, hash=b"h", scopes=frozenset({Scope.READ}))
    return key.id


async def test_users_are_stored_and_changed(pool: Pool) -> None:
    anna = await admin.add_user(pool, "anna", Role.ADMIN)
    bert = await admin.add_user(pool, "bert")
    assert (anna.role, bert.role) == (Role.ADMIN, Role.TRADER)
    with pytest.raises(OmsError, match="a user named anna already"):
        await admin.add_user(pool, "anna")
    changed = msgspec.structs.replace(bert, name="berta", role=Role.VIEWER, disabled=True)
    await admin.set_user(pool, changed)
    assert await admin.users(pool) == [anna, changed]


async def test_a_key_is_read_with_its_user_and_permissions(pool: Pool) -> None:
    user = await admin.add_user(pool, "anna")
    scopes = frozenset({Scope.READ, Scope.RISK})
    key = await admin.add_key(
        pool, user.id, name="bot", prefix="p1", hash=b"\x00h", scopes=scopes, expires_ns=T, requests_per_s=5
    )
    assert (key.user, key.name, key.prefix, key.hash, key.scopes) == (user, "bot", "p1", b"\x00h", scopes)
    assert (key.expires_ns, key.requests_per_s, key.revoked_ns, key.permissions) == (T, 5, None, {})
    assert await admin.api_keys(pool) == [key]


async def test_what_is_revoked_again_is_so_from_then_on_and_old_tokens_are_forgotten(pool: Pool) -> None:
    await pool.execute("INSERT INTO revoked_tokens VALUES ('token', 'old', now() - interval '31 days'), "
                       "('user', 'ann', now() - interval '31 days')")  # fmt: skip
    await admin.revoke_tokens(pool, Kind.TOKEN, "new")
    rows = await admin.revocations(pool)
    assert [(row.kind, row.name) for row in rows] == [(Kind.USER, "ann"), (Kind.TOKEN, "new")]
    await admin.revoke_tokens(pool, Kind.USER, "ann")
    assert (await admin.revocations(pool))[-1].revoked_ns > rows[-1].revoked_ns


async def test_permissions_are_granted_changed_and_withdrawn(pool: Pool) -> None:
    key = await key_of_somebody(pool)
    accounts = [await admin.add_account(pool, name, "sim", epoch="e") for name in "ab"]
    first = Permission(account_id=accounts[0].id)
    second = Permission(
        account_id=accounts[1].id, can_read=False, can_trade=True, can_close_position=True, can_risk_manage=True,
        strategies=frozenset({3, 4}),
    )  # fmt: skip
    await admin.grant(pool, key, Permission(account_id=accounts[0].id, can_trade=True))
    await admin.grant(pool, key, first)
    await admin.grant(pool, key, second)
    (read,) = await admin.api_keys(pool)
    assert read.permissions == {first.account_id: first, second.account_id: second}
    await admin.withdraw(pool, key, first.account_id)
    (read,) = await admin.api_keys(pool)
    assert read.permissions == {second.account_id: second}
    with pytest.raises(OmsError) as caught:
        await admin.grant(pool, key, Permission(account_id=99))
    assert caught.value.code == "account_not_found"


async def test_a_key_is_revoked_once(pool: Pool) -> None:
    key = await key_of_somebody(pool)
    assert await admin.revoke_key(pool, key)
    assert not await admin.revoke_key(pool, key)
    (read,) = await admin.api_keys(pool)
    assert read.revoked_ns is not None


async def test_when_a_key_was_used_never_goes_back(pool: Pool) -> None:
    keys = [await key_of_somebody(pool, prefix) for prefix in ("p1", "p2")]
    await admin.touch_keys(pool, {keys[0]: T})
    await admin.touch_keys(pool, {keys[0]: T - 1_000_000, keys[1]: T + 1_000_000})
    assert [key.last_used_ns for key in await admin.api_keys(pool)] == [T, T + 1_000_000]


async def test_accounts_are_stored_and_changed(pool: Pool) -> None:
    made = await admin.add_account(
        pool, "main", "binance", epoch="e7", environment=Environment.LIVE, position_mode=PositionMode.HEDGE
    )
    assert (made.exchange, made.environment, made.position_mode, made.epoch, made.blocked) == (
        "binance", Environment.LIVE, PositionMode.HEDGE, "e7", False,
    )  # fmt: skip
    with pytest.raises(OmsError, match="an account named main already"):
        await admin.add_account(pool, "main", "sim", epoch="e")
    changed = msgspec.structs.replace(made, name="other", blocked=True, position_mode=PositionMode.NETTING)
    await admin.set_account(pool, changed)
    assert await admin.accounts(pool) == [changed]


async def test_an_account_has_limits_from_the_start(pool: Pool) -> None:
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    assert await admin.risk(pool, account.id) == Risk(account_id=account.id)
    limits = Risk(
        account_id=account.id, allow_new_positions=False, max_order_qty=Decimal("1.5"), max_order_notional=Decimal(9),
        max_open_orders=3, max_position_notional=Decimal("0.000000000000000001"), price_collar_bps=50,
        max_orders_per_s=10, max_market_data_age_ms=700, trading_state=TradingState.HALTED,
    )  # fmt: skip
    await admin.set_risk(pool, limits)
    assert await admin.risk(pool, account.id) == limits
    assert await admin.risk(pool, 99) is None


async def test_who_looks_in_order_to_change_keeps_others_waiting(pool: Pool) -> None:
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    async with pool.acquire() as one, pool.acquire() as other:
        await other.execute("SET lock_timeout = '20ms'")
        async with one.transaction():
            assert await admin.account_to_change(one, account.id) == account
            assert await admin.risk_to_change(one, account.id) == Risk(account_id=account.id)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await admin.set_account(other, account)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await admin.set_risk(other, Risk(account_id=account.id))
        await admin.set_account(other, account)
        await other.execute("RESET lock_timeout")
    assert await admin.account_to_change(pool, 9) is None
    assert await admin.risk_to_change(pool, 9) is None


async def test_credentials_are_kept_as_given(pool: Pool) -> None:
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    assert await admin.credentials(pool, account.id) is None
    await admin.set_credentials(pool, account.id, b"one")
    await admin.set_credentials(pool, account.id, b"\x00two")
    assert await admin.credentials(pool, account.id) == b"\x00two"
    assert await admin.all_credentials(pool) == {account.id: b"\x00two"}
    with pytest.raises(OmsError):
        await admin.set_credentials(pool, 99, b"x")


async def test_strategies_have_a_name_of_their_own_in_an_account(pool: Pool) -> None:
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    made = await admin.add_strategy(pool, account.id, "grid")
    assert made == Strategy(id=made.id, account_id=account.id, name="grid")
    with pytest.raises(OmsError, match="a strategy named grid already"):
        await admin.add_strategy(pool, account.id, "grid")
    with pytest.raises(OmsError, match="no account 99"):
        await admin.add_strategy(pool, 99, "grid")
    renamed = await admin.rename_strategy(pool, made.id, "mesh")
    assert await admin.strategies(pool) == [renamed]
    assert await admin.rename_strategy(pool, 99, "x") is None


async def test_everything_is_forgotten_but_not_under_a_desk(dsn: str, pool: Pool) -> None:
    user = await admin.add_user(pool, "ann")
    await admin.add_account(pool, "main", "sim", epoch="e")
    desk = await connect(dsn)
    await desk.execute("SELECT pg_advisory_lock($1)", DESK_LOCK)
    assert not await admin.begin_anew(pool, DESK_LOCK)
    assert await admin.users(pool) == [user]
    await desk.execute("SELECT pg_advisory_unlock($1)", DESK_LOCK)
    assert await admin.begin_anew(pool, DESK_LOCK)
    assert (await admin.users(pool), await admin.accounts(pool)) == ([], [])
    assert (await status(desk)).waiting == []
    await desk.close()
    assert (await admin.add_user(pool, "ann")).id == user.id


async def test_a_setting_is_what_it_was_set_to_last(pool: Pool) -> None:
    assert await admin.setting(pool, "halted") is None
    await admin.set_setting(pool, "halted", {"all": True})
    await admin.set_setting(pool, "halted", {"all": False})
    assert await admin.setting(pool, "halted") == {"all": False}


async def test_the_audit_log_says_who_did_what(pool: Pool) -> None:
    await admin.audit(pool, "key.revoke", "key 7", {"by": "cli"}, user_id=1, api_key_id=2)
    (row,) = await pool.fetch("SELECT * FROM audit_log")
    assert (row["user_id"], row["api_key_id"], row["action"], row["subject"], row["details"]) == (
        1, 2, "key.revoke", "key 7", {"by": "cli"},
    )  # fmt: skip
