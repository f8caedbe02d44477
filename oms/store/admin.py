"""Users, keys and permissions, accounts and what belongs to them, settings and the audit log.

Holds what an administrator changes. Every change is told on the channel `tickwire` by the database itself. Must not
know how a key is made, or credentials are sealed: it keeps what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import asyncpg

from oms.errors import OmsError
from oms.model import (
    Account,
    ApiKey,
    Environment,
    Permission,
    PositionMode,
    Risk,
    Role,
    Strategy,
    TradingState,
    User,
)
from oms.revocations import Kind, Revocation
from oms.store import admin_rows, rows
from oms.store.pool import Database


@contextmanager
def _unique(what: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise OmsError("validation_error", f"there is {what} already") from None


async def begin_anew(db: Database, desk_lock: int) -> bool:
    """Forget everything, with the transaction that this is called in; False while a desk, by its lock, works on it."""
    if not await db.fetchval("SELECT pg_try_advisory_xact_lock($1)", desk_lock):
        return False
    found = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    tables = ", ".join(f'"{row["tablename"]}"' for row in found if row["tablename"] != "schema_migrations")
    await db.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    return True


# Users


async def add_user(db: Database, name: str, role: Role = Role.TRADER) -> User:
    with _unique(f"a user named {name}"):
        (row,) = await db.fetch("INSERT INTO users (name, role) VALUES ($1, $2) RETURNING *", name, role)
    return admin_rows.user_of(row)


async def users(db: Database) -> list[User]:
    return [admin_rows.user_of(row) for row in await db.fetch("SELECT * FROM users ORDER BY id")]


async def set_user(db: Database, user: User) -> None:
    """Store a user's role and whether it is disabled; the name too."""
    with _unique(f"a user named {user.name}"):
        await db.execute(
            "UPDATE users SET name = $2, role = $3, disabled = $4 WHERE id = $1",
            user.id, user.name, user.role, user.disabled,
        )  # fmt: skip


# API keys

KEYS: Final = """
SELECT api_keys.*, users.name AS user_name, users.role, users.disabled,
    (SELECT coalesce(jsonb_agg(p), '[]') FROM api_key_account_permissions AS p WHERE p.api_key_id = api_keys.id)
    AS permissions
FROM api_keys JOIN users ON users.id = user_id
"""


async def add_key(
    db: Database,
    user_id: int,
    *,
    prefix: str,
    hash: bytes,  # noqa: A002  # the column's name
    name: str = "",
    scopes: frozenset[str],
    expires_ns: int | None = None,
    requests_per_s: int | None = None,
    sealed_signing: bytes | None = None,
) -> ApiKey:
    """Store a new key, which may do nothing on any account until it is granted."""
    made = await db.fetchval(
        "INSERT INTO api_keys (user_id, name, prefix, hash, scopes, expires_at, requests_per_s, sealed_signing) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        user_id, name, prefix, hash, sorted(scopes), rows.time_or_none(expires_ns), requests_per_s, sealed_signing,
    )  # fmt: skip
    (row,) = await db.fetch(f"{KEYS} WHERE api_keys.id = $1", made)
    return admin_rows.key_of(row)


async def api_keys(db: Database) -> list[ApiKey]:
    """Every key, also of those revoked, with its user and permissions."""
    return [admin_rows.key_of(row) for row in await db.fetch(f"{KEYS} ORDER BY api_keys.id")]


async def revoke_key(db: Database, key_id: int) -> bool:
    """From now on; False when there is no such key that is still good."""
    revoked = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true"
    return bool(await db.fetchval(revoked, key_id))


async def set_signing(db: Database, key_id: int, sealed: bytes) -> None:
    """What a key signs with, sealed anew."""
    await db.execute("UPDATE api_keys SET sealed_signing = $2 WHERE id = $1", key_id, sealed)


async def touch_keys(db: Database, used_ns: Mapping[int, int]) -> None:
    """When keys were used last, written behind."""
    await db.execute(
        "UPDATE api_keys SET last_used_at = greatest(last_used_at, u.at) "
        "FROM unnest($1::bigint[], $2::timestamptz[]) AS u (id, at) WHERE api_keys.id = u.id",
        list(used_ns), [rows.time_of(at) for at in used_ns.values()],
    )  # fmt: skip


async def grant(db: Database, key_id: int, permission: Permission) -> None:
    """What a key may do on an account, in place of what it might before."""
    try:
        await db.execute(
            "INSERT INTO api_key_account_permissions (api_key_id, account_id, can_read, can_trade, "
            "can_close_position, can_risk_manage, restrict_to_strategies) VALUES ($1, $2, $3, $4, $5, $6, $7) "
            "ON CONFLICT (api_key_id, account_id) DO UPDATE SET can_read = EXCLUDED.can_read, "
            "can_trade = EXCLUDED.can_trade, can_close_position = EXCLUDED.can_close_position, "
            "can_risk_manage = EXCLUDED.can_risk_manage, restrict_to_strategies = EXCLUDED.restrict_to_strategies",
            key_id, permission.account_id, permission.can_read, permission.can_trade, permission.can_close_position,
            permission.can_risk_manage, sorted(permission.strategies),
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError:
        raise OmsError("account_not_found", f"there is no account {permission.account_id}, or no such key") from None


async def withdraw(db: Database, key_id: int, account_id: int) -> None:
    """A key may do nothing on an account any more."""
    await db.execute(
        "DELETE FROM api_key_account_permissions WHERE api_key_id = $1 AND account_id = $2", key_id, account_id
    )


# Tokens

FORGOTTEN: Final = "30 days"  # no token lives longer


async def revoke_tokens(db: Database, kind: Kind, name: str) -> None:
    """From now on; again: also those made since."""
    await db.execute(
        "INSERT INTO revoked_tokens (kind, name) VALUES ($1, $2) "
        "ON CONFLICT (kind, name) DO UPDATE SET revoked_at = now()",
        kind, name,
    )  # fmt: skip
    await db.execute(
        f"DELETE FROM revoked_tokens WHERE kind = $1 AND revoked_at < now() - interval '{FORGOTTEN}'", Kind.TOKEN
    )


async def revocations(db: Database) -> list[Revocation]:
    found = await db.fetch("SELECT kind, name, revoked_at FROM revoked_tokens ORDER BY revoked_at, kind, name")
    return [
        Revocation(kind=Kind(row["kind"]), name=row["name"], revoked_ns=rows.ns_of(row["revoked_at"])) for row in found
    ]


# Accounts


async def add_account(
    db: Database,
    name: str,
    exchange: str,
    *,
    epoch: str,
    environment: Environment = Environment.SIMULATED,
    position_mode: PositionMode = PositionMode.NETTING,
) -> Account:
    """A new account, with the limits that are usual."""
    with _unique(f"an account named {name}"):
        (row,) = await db.fetch(
            "WITH made AS (INSERT INTO accounts (name, exchange, environment, position_mode, epoch) "
            "VALUES ($1, $2, $3, $4, $5) RETURNING *), "
            "limited AS (INSERT INTO account_risk (account_id) SELECT id FROM made) SELECT * FROM made",
            name, exchange, environment, position_mode, epoch,
        )  # fmt: skip
    return admin_rows.account_of(row)


async def accounts(db: Database) -> list[Account]:
    return [admin_rows.account_of(row) for row in await db.fetch("SELECT * FROM accounts ORDER BY id")]


async def account_to_change(db: Database, account_id: int) -> Account | None:
    """As it is, and nobody else changes it before the transaction that this is called in has ended."""
    found = await db.fetch("SELECT * FROM accounts WHERE id = $1 FOR NO KEY UPDATE", account_id)
    return admin_rows.account_of(found[0]) if found else None


async def set_account(db: Database, account: Account) -> None:
    """Store an account's name, position mode, and what is taken for it; what it trades on stays what it is."""
    with _unique(f"an account named {account.name}"):
        await db.execute(
            "UPDATE accounts SET name = $2, position_mode = $3, blocked = $4, requires_signing = $5 WHERE id = $1",
            account.id, account.name, account.position_mode, account.blocked, account.requires_signing,
        )  # fmt: skip


async def set_credentials(db: Database, account_id: int, sealed: bytes) -> None:
    """What opens the account at its venue, sealed."""
    try:
        await db.execute(
            "INSERT INTO account_credentials (account_id, sealed) VALUES ($1, $2) "
            "ON CONFLICT (account_id) DO UPDATE SET sealed = EXCLUDED.sealed, updated_at = now()",
            account_id, sealed,
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError:
        raise OmsError("account_not_found", f"there is no account {account_id}") from None


async def credentials(db: Database, account_id: int) -> bytes | None:
    """Sealed, as they were given."""
    sealed: bytes | None = await db.fetchval("SELECT sealed FROM account_credentials WHERE account_id = $1", account_id)
    return sealed


async def all_credentials(db: Database) -> dict[int, bytes]:
    """Sealed, by account."""
    found = await db.fetch("SELECT account_id, sealed FROM account_credentials ORDER BY 1")
    return {row["account_id"]: row["sealed"] for row in found}


async def risk(db: Database, account_id: int) -> Risk | None:
    found = await db.fetch("SELECT * FROM account_risk WHERE account_id = $1", account_id)
    return admin_rows.risk_of(found[0]) if found else None


async def risk_to_change(db: Database, account_id: int) -> Risk | None:
    """As they are, and nobody else changes them before the transaction that this is called in has ended."""
    found = await db.fetch("SELECT * FROM account_risk WHERE account_id = $1 FOR NO KEY UPDATE", account_id)
    return admin_rows.risk_of(found[0]) if found else None


async def set_risk(db: Database, risk: Risk) -> None:
    """Store all limits of an account."""
    await db.execute(
        "UPDATE account_risk SET allow_new_positions = $2, max_order_qty = $3, max_order_notional = $4, "
        "max_open_orders = $5, max_position_notional = $6, price_collar_bps = $7, max_orders_per_s = $8, "
        "max_market_data_age_ms = $9, trading_state = $10 WHERE account_id = $1",
        risk.account_id, risk.allow_new_positions, risk.max_order_qty, risk.max_order_notional, risk.max_open_orders,
        risk.max_position_notional, risk.price_collar_bps, risk.max_orders_per_s, risk.max_market_data_age_ms,
        risk.trading_state,
    )  # fmt: skip


async def add_strategy(db: Database, account_id: int, name: str) -> Strategy:
    try:
        with _unique(f"a strategy named {name}"):
            (row,) = await db.fetch(
                "INSERT INTO strategies (account_id, name) VALUES ($1, $2) RETURNING *", account_id, name
            )
    except asyncpg.ForeignKeyViolationError:
        raise OmsError("account_not_found", f"there is no account {account_id}") from None
    return admin_rows.strategy_of(row)


async def strategies(db: Database) -> list[Strategy]:
    """Of every account."""
    return [admin_rows.strategy_of(row) for row in await db.fetch("SELECT * FROM strategies ORDER BY id")]


async def rename_strategy(db: Database, strategy_id: int, name: str) -> Strategy | None:
    """None when there is none of this id."""
    with _unique(f"a strategy named {name}"):
        found = await db.fetch("UPDATE strategies SET name = $2 WHERE id = $1 RETURNING *", strategy_id, name)
    return admin_rows.strategy_of(found[0]) if found else None


# Settings and the audit log

KILL_SWITCH: Final = "trading_state"  # the setting that holds for every account: active, reducing or halted


async def setting(db: Database, name: str) -> Any:
    """A value as JSON has it; None when it was never set."""
    return await db.fetchval("SELECT value FROM settings WHERE name = $1", name)


async def trading_state(db: Database) -> TradingState:
    """The kill switch of all accounts at once."""
    value = await setting(db, KILL_SWITCH)
    return TradingState(value) if value is not None else TradingState.ACTIVE


async def trading_state_to_change(db: Database) -> TradingState:
    """As it is, and nobody else changes it before the transaction that this is called in has ended."""
    (row,) = await db.fetch(  # a row that is not there cannot be held
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = settings.value "
        "RETURNING value",
        KILL_SWITCH, TradingState.ACTIVE,
    )  # fmt: skip
    return TradingState(row["value"])


async def requires_signing_anywhere(db: Database) -> bool:
    """Some account takes signed commands only."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM accounts WHERE requires_signing)"))


async def set_setting(db: Database, name: str, value: Any) -> None:
    await db.execute(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
        name, value,
    )  # fmt: skip


async def set_trading_state(db: Database, state: TradingState) -> None:
    await set_setting(db, KILL_SWITCH, state)


async def audit(
    db: Database,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
    *,
    user_id: int | None = None,
    api_key_id: int | None = None,
) -> None:
    """Who did what to what. `details` hold no secret."""
    await db.execute(
        "INSERT INTO audit_log (user_id, api_key_id, action, subject, details) VALUES ($1, $2, $3, $4, $5)",
        user_id, api_key_id, action, subject, details or {},
    )  # fmt: skip
