"""How far what is done in the background has come: confirmed streams, trades that were read, reconciliations.

Also keeps what venues said, as they said it. All of it is written beside the journal. Must not know an order's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec

from oms.store import rows
from oms.store.pool import Database

KEPT: Final = timedelta(days=30)  # of reconciliations and payloads, which nothing is decided by
FORGOTTEN_MAX: Final = 100  # older ones deleted at a time, beside what is added


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """One run for one account; `status` is running, ok or failed."""

    id: int
    account_id: int
    cause: str
    status: str
    report: Mapping[str, Any]
    started_ns: int
    finished_ns: int | None


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said: of which kind, and which order of ours it was about."""

    account_id: int
    kind: str
    payload: Any
    order_id: int | None = None


async def acks(db: Database, api_key_id: int, account_id: int) -> dict[str, int]:
    """How far a key has confirmed each channel of an account."""
    found = await db.fetch(
        "SELECT channel, sequence FROM oms_acks WHERE api_key_id = $1 AND account_id = $2", api_key_id, account_id
    )
    return {row["channel"]: row["sequence"] for row in found}


async def ack(db: Database, api_key_id: int, account_id: int, channel: str, sequence: int) -> None:
    """Confirm up to here; what was confirmed stays so."""
    await db.execute(
        "INSERT INTO oms_acks (api_key_id, account_id, channel, sequence) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (api_key_id, account_id, channel) DO UPDATE "
        "SET sequence = greatest(oms_acks.sequence, EXCLUDED.sequence), updated_at = now()",
        api_key_id, account_id, channel, sequence,
    )  # fmt: skip


async def cursors(db: Database, account_id: int) -> dict[str, str]:
    """What was read up to where, by name."""
    found = await db.fetch("SELECT name, value FROM oms_cursors WHERE account_id = $1", account_id)
    return {row["name"]: row["value"] for row in found}


async def set_cursor(db: Database, account_id: int, name: str, value: str) -> None:
    await db.execute(
        "INSERT INTO oms_cursors (account_id, name, value) VALUES ($1, $2, $3) "
        "ON CONFLICT (account_id, name) DO UPDATE SET value = EXCLUDED.value, updated_at = now()",
        account_id, name, value,
    )  # fmt: skip


async def start_reconciliation(db: Database, account_id: int, cause: str, now_ns: int) -> int:
    """Its id. One that never finished because its process ended is failed from now on, and the oldest are deleted."""
    await db.execute(
        "UPDATE oms_reconciliations SET status = 'failed', finished_at = $2 "
        "WHERE account_id = $1 AND status = 'running'",
        account_id, rows.time_of(now_ns),
    )  # fmt: skip
    await db.execute(
        "DELETE FROM oms_reconciliations WHERE started_at < $2 AND id IN "
        "(SELECT id FROM oms_reconciliations WHERE account_id = $1 ORDER BY id LIMIT $3)",
        account_id, rows.time_of(now_ns) - KEPT, FORGOTTEN_MAX,
    )  # fmt: skip
    made: int = await db.fetchval(
        "INSERT INTO oms_reconciliations (account_id, cause, status, started_at) VALUES ($1, $2, 'running', $3) "
        "RETURNING id",
        account_id, cause, rows.time_of(now_ns),
    )  # fmt: skip
    return made


async def finish_reconciliation(
    db: Database, reconciliation_id: int, *, ok: bool, report: Mapping[str, Any], now_ns: int
) -> None:
    await db.execute(
        "UPDATE oms_reconciliations SET status = $2, report = $3, finished_at = $4 WHERE id = $1",
        reconciliation_id, "ok" if ok else "failed", report, rows.time_of(now_ns),
    )  # fmt: skip


async def last_reconciliation(db: Database, account_id: int) -> Reconciliation | None:
    """The last one that has ended: what it found holds until the next has."""
    found = await db.fetch(
        "SELECT * FROM oms_reconciliations WHERE account_id = $1 AND status <> 'running' ORDER BY id DESC LIMIT 1",
        account_id,
    )
    return _reconciliation(found[0]) if found else None


async def running_reconciliation(db: Database, account_id: int) -> Reconciliation | None:
    """The one under way."""
    found = await db.fetch(
        "SELECT * FROM oms_reconciliations WHERE account_id = $1 AND status = 'running' ORDER BY id DESC LIMIT 1",
        account_id,
    )
    return _reconciliation(found[0]) if found else None


async def reconciliations(
    db: Database, account_id: int, *, before_id: int | None = None, limit: int
) -> list[Reconciliation]:
    """The newest first, from before this one on; also the one under way."""
    found = await db.fetch(
        "SELECT * FROM oms_reconciliations WHERE account_id = $1 AND ($2::bigint IS NULL OR id < $2) "
        "ORDER BY id DESC LIMIT $3",
        account_id, before_id, limit,
    )  # fmt: skip
    return [_reconciliation(row) for row in found]


def _reconciliation(row: asyncpg.Record) -> Reconciliation:
    return Reconciliation(
        id=row["id"],
        account_id=row["account_id"],
        cause=row["cause"],
        status=row["status"],
        report=row["report"],
        started_ns=rows.ns_of(row["started_at"]),
        finished_ns=rows.ns_or_none(row["finished_at"]),
    )


async def add_payloads(db: Database, payloads: Sequence[Payload]) -> None:
    """Many at once, written behind; as many of the oldest are deleted when they are too old."""
    await db.execute(
        "INSERT INTO oms_exchange_payloads (account_id, kind, order_id, payload) "
        "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::jsonb[])",
        [each.account_id for each in payloads],
        [each.kind for each in payloads],
        [each.order_id for each in payloads],
        [each.payload for each in payloads],
    )
    await db.execute(
        "DELETE FROM oms_exchange_payloads WHERE created_at < now() - $1::interval AND id IN "
        "(SELECT id FROM oms_exchange_payloads ORDER BY id LIMIT $2)",
        KEPT, len(payloads) + FORGOTTEN_MAX,
    )  # fmt: skip
