"""What administrating commands print: a table for people, JSON for programs.

Holds how users, keys and accounts look there. Must not know where they come from; the hash of a key stays here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from oms.model import Account, ApiKey, Permission, User
from oms.render import moment

Row = dict[str, Any]


def show(rows: Sequence[Row], columns: Sequence[str], *, json: bool) -> None:
    """Every field as one JSON array, or these columns as a table."""
    if json:
        print(orjson.dumps(rows).decode())
        return
    lines = [columns, *([_text(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def show_one(row: Row, sentence: str, *, json: bool) -> None:
    """One object, or what it means to a person."""
    print(orjson.dumps(row).decode() if json else sentence)


def user_row(user: User) -> Row:
    return {"id": user.id, "name": user.name, "role": user.role.value, "disabled": user.disabled}


def key_row(key: ApiKey) -> Row:
    return {
        "id": key.id,
        "user": key.user.name,
        "name": key.name,
        "prefix": f"tw_{key.prefix}",
        "scopes": sorted(key.scopes),
        "accounts": [_permission_row(permission) for _, permission in sorted(key.permissions.items())],
        "requests_per_s": key.requests_per_s,
        "created_at": moment(key.created_ns),
        "expires_at": _moment(key.expires_ns),
        "last_used_at": _moment(key.last_used_ns),
        "revoked_at": _moment(key.revoked_ns),
    }


def _permission_row(permission: Permission) -> Row:
    flags = {
        "read": permission.can_read,
        "trade": permission.can_trade,
        "close": permission.can_close_position,
        "risk": permission.can_risk_manage,
    }
    may = [name for name, is_set in flags.items() if is_set]
    return {"account_id": permission.account_id, "may": may, "strategy_ids": sorted(permission.strategies)}


def account_row(account: Account, *, has_credentials: bool) -> Row:
    return {
        "id": account.id,
        "name": account.name,
        "exchange": account.exchange,
        "environment": account.environment.value,
        "position_mode": account.position_mode.value,
        "blocked": account.blocked,
        "requires_signing": account.requires_signing,
        "credentials": has_credentials,
    }


def _moment(time_ns: int | None) -> str | None:
    return None if time_ns is None else moment(time_ns)


def _text(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case {"account_id": number, "may": may, "strategy_ids": strategies}:
            only = f" strategies {','.join(map(str, strategies))}" if strategies else ""
            return f"{number}:{'+'.join(may) or 'nothing'}{only}"
        case list():
            return " ".join(map(_text, value)) or "-"
        case _:
            return str(value)
