"""Where the private streams of an account are, and the open orders and positions they begin with.

Holds reads that must agree with each other: a snapshot says exactly up to which number it counts. Must not know who
asks, nor how anything is told.
"""

from __future__ import annotations

from collections.abc import Collection

from oms.model import Order, Position
from oms.store import history, rows
from oms.store.history import PAGE_MAX, Filter
from oms.store.pool import Database, Pool


async def position(db: Database, account_id: int, channel: str) -> tuple[str, int] | None:
    """The epoch of an account, and the newest committed number of a channel; None: there is no such account."""
    found = await db.fetch("SELECT * FROM accounts WHERE id = $1", account_id)
    if not found:
        return None
    newest: int = getattr(rows.sequences_of(found[0]), channel)
    return found[0]["epoch"], newest


async def open_orders(pool: Pool, account_id: int, strategies: Collection[int]) -> tuple[int, list[Order]]:
    """The open orders (of these strategies; none: of all), as of this number of the channel."""
    found: list[Order] = []
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        at = await position(db, account_id, "orders")
        while page := await history.orders(db, _open(account_id, strategies, found), is_open=True):
            found += page
    return at[1] if at else 0, found


async def open_positions(pool: Pool, account_id: int, strategies: Collection[int]) -> tuple[int, list[Position]]:
    """The same of open positions."""
    found: list[Position] = []
    async with pool.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
        at = await position(db, account_id, "positions")
        while page := await history.positions(db, _open(account_id, strategies, found), is_open=True):
            found += page
    return at[1] if at else 0, found


def _open(account_id: int, strategies: Collection[int], found: list[Order] | list[Position]) -> Filter:
    """The page after what was found."""
    return Filter(accounts={account_id: strategies}, after_id=found[-1].id if found else 0, page_size=PAGE_MAX)
