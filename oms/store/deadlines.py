"""Dead man's switches as they are stored: when all orders of an account are to be canceled.

Written beside the journal: a deadline is no order's state. Must not know what happens at one.
"""

from __future__ import annotations

from oms.errors import OmsError
from oms.store import rows
from oms.store.pool import UNAVAILABLE, Database


async def deadline(db: Database, account_id: int) -> int | None:
    """When it is due, in ns; None when none is set."""
    return rows.ns_or_none(await db.fetchval("SELECT due_at FROM cancel_all_after WHERE account_id = $1", account_id))


async def set_deadline(db: Database, account_id: int, due_ns: int | None) -> None:
    """Durable when this returns; None takes it away. Raises OmsError when the database is not there."""
    try:
        if due_ns is None:
            await db.execute("DELETE FROM cancel_all_after WHERE account_id = $1", account_id)
        else:
            await db.execute(
                "INSERT INTO cancel_all_after (account_id, due_at) VALUES ($1, $2) "
                "ON CONFLICT (account_id) DO UPDATE SET due_at = EXCLUDED.due_at",
                account_id, rows.time_of(due_ns),
            )  # fmt: skip
    except UNAVAILABLE as error:
        raise OmsError("engine_unavailable", "the order database is not available; try again") from error
