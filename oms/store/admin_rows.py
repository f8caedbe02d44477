"""What an administrator makes, out of the rows it is kept in: users and their keys, accounts, strategies and limits.

Must not know when rows are read, nor the rows of what happens (`rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncpg import Record

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
from oms.store.rows import ns_of, ns_or_none, plain


def account_of(row: Record) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        exchange=row["exchange"],
        environment=Environment(row["environment"]),
        position_mode=PositionMode(row["position_mode"]),
        blocked=row["blocked"],
        requires_signing=row["requires_signing"],
        epoch=row["epoch"],
    )


def risk_of(row: Record) -> Risk:
    return Risk(
        account_id=row["account_id"],
        allow_new_positions=row["allow_new_positions"],
        max_order_qty=plain(row["max_order_qty"]),
        max_order_notional=plain(row["max_order_notional"]),
        max_open_orders=row["max_open_orders"],
        max_position_notional=plain(row["max_position_notional"]),
        price_collar_bps=row["price_collar_bps"],
        max_orders_per_s=row["max_orders_per_s"],
        max_market_data_age_ms=row["max_market_data_age_ms"],
        trading_state=TradingState(row["trading_state"]),
    )


def strategy_of(row: Record) -> Strategy:
    return Strategy(id=row["id"], account_id=row["account_id"], name=row["name"])


def user_of(row: Record) -> User:
    return User(id=row["id"], name=row["name"], role=Role(row["role"]), disabled=row["disabled"])


def permission_of(row: Mapping[str, Any]) -> Permission:
    """`row`: as JSON has it."""
    return Permission(
        account_id=row["account_id"],
        can_read=row["can_read"],
        can_trade=row["can_trade"],
        can_close_position=row["can_close_position"],
        can_risk_manage=row["can_risk_manage"],
        strategies=frozenset(row["restrict_to_strategies"]),
    )


def key_of(row: Record) -> ApiKey:
    """Of a key joined with its user and permissions."""
    return ApiKey(
        id=row["id"],
        user=User(id=row["user_id"], name=row["user_name"], role=Role(row["role"]), disabled=row["disabled"]),
        name=row["name"],
        prefix=row["prefix"],
        hash=row["hash"],
        scopes=frozenset(row["scopes"]),
        expires_ns=ns_or_none(row["expires_at"]),
        revoked_ns=ns_or_none(row["revoked_at"]),
        last_used_ns=ns_or_none(row["last_used_at"]),
        requests_per_s=row["requests_per_s"],
        created_ns=ns_of(row["created_at"]),
        permissions={each["account_id"]: permission_of(each) for each in row["permissions"]},
        sealed_signing=row["sealed_signing"],
    )
