"""Alerts as they are stored: all that the desk waits for, and pages of them. The desk writes them (`oms.journal`).

Must not know when one is met, nor who asks.
"""

from __future__ import annotations

from collections.abc import Collection

from asyncpg import Record

from oms.model import Alert, AlertState, AlertType
from oms.store import rows
from oms.store.pool import Database


async def next_id(db: Database) -> int:
    """An id that no other alert has, or had."""
    made: int = await db.fetchval("SELECT nextval('alert_ids')")
    return made


async def every(db: Database) -> list[Alert]:
    """All that there are, in the order in which their levels are kept, so that each is put behind the last."""
    order = "CASE WHEN type = 'below' THEN -price ELSE coalesce(price, percent) END"
    return [_alert_of(row) for row in await db.fetch(f"SELECT * FROM alerts ORDER BY {order}, id")]


async def page(
    db: Database,
    accounts: Collection[int],
    *,
    state: AlertState | None = None,
    symbol: str | None = None,
    after_id: int = 0,
    limit: int,
) -> list[Alert]:
    """Those of these accounts, from behind this one on."""
    found = await db.fetch(
        "SELECT * FROM alerts WHERE account_id = ANY($1::bigint[]) AND ($2::text IS NULL OR state = $2) "
        "AND ($3::text IS NULL OR symbol = $3) AND id > $4 ORDER BY id LIMIT $5",
        list(accounts), state, symbol, after_id, limit,
    )  # fmt: skip
    return [_alert_of(row) for row in found]


def row_of(alert: Alert) -> rows.Row:
    """As `oms_write_alerts` takes it."""
    return {
        "id": alert.id,
        "account_id": alert.account_id,
        "user_id": alert.user_id,
        "exchange": alert.exchange,
        "symbol": alert.symbol,
        "type": alert.type,
        "price": alert.price,
        "percent": alert.percent,
        "window_s": alert.window_s,
        "message": alert.message,
        "state": alert.state,
        "created_at": rows.time_of(alert.created_ns),
        "updated_at": rows.time_of(alert.updated_ns),
        "triggered_at": rows.time_or_none(alert.triggered_ns),
        "triggered_price": alert.triggered_price,
        "api_key_id": alert.api_key_id,
        "request_id": alert.request_id,
    }


def _alert_of(row: Record) -> Alert:
    return Alert(
        id=row["id"],
        account_id=row["account_id"],
        user_id=row["user_id"],
        exchange=row["exchange"],
        symbol=row["symbol"],
        type=AlertType(row["type"]),
        price=rows.plain(row["price"]),
        percent=rows.plain(row["percent"]),
        window_s=row["window_s"],
        message=row["message"],
        state=AlertState(row["state"]),
        created_ns=rows.ns_of(row["created_at"]),
        updated_ns=rows.ns_of(row["updated_at"]),
        triggered_ns=rows.ns_or_none(row["triggered_at"]),
        triggered_price=rows.plain(row["triggered_price"]),
        api_key_id=row["api_key_id"],
        request_id=row["request_id"],
    )
