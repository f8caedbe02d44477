"""What the desk holds in memory, read at its start: all that is open, and of what is closed the newest.

Holds one read of it all; meant for who has become the one writer (`open_journal`), because nobody else writes then.
Must not know what the desk does with it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from asyncpg import Record

from oms.model import Account, Deal, Order, Position, Risk
from oms.store import admin_rows, rows
from oms.store.pool import Database
from oms.writes import CommandRow, Sequences

REMEMBERED: Final = 1_000
OPEN: Final = "state NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED')"


class LoadedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account as it was committed. `orders`: closed ones in the order they closed, then the open ones; `deals` are
    all deals of these orders."""

    account: Account
    risk: Risk
    sequences: Sequences
    orders: list[Order]
    deals: list[Deal]
    positions: list[Position]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts, commands that were never answered, and the highest ids given."""

    accounts: list[LoadedAccount]
    running: list[CommandRow]
    last_order_id: int
    last_deal_id: int
    last_position_id: int
    last_command_id: int


async def load(db: Database, *, remembered: int = REMEMBERED) -> Loaded:
    """As it is committed; of each account at most `remembered` closed orders, the newest."""
    accounts = await db.fetch("SELECT * FROM accounts JOIN account_risk ON account_id = id ORDER BY id")
    running = await db.fetch("SELECT * FROM oms_commands WHERE status = 'running' ORDER BY id")
    tables = ("orders", "deals", "positions", "commands")
    last = {table: await db.fetchval(f"SELECT coalesce(max(id), 0) FROM oms_{table}") for table in tables}
    return Loaded(
        accounts=[await _account(db, row, remembered) for row in accounts],
        running=[rows.command_of(row) for row in running],
        last_order_id=last["orders"],
        last_deal_id=last["deals"],
        last_position_id=last["positions"],
        last_command_id=last["commands"],
    )


async def load_account(db: Database, account_id: int) -> LoadedAccount | None:
    """One that was added while the desk runs."""
    found = await db.fetch("SELECT * FROM accounts JOIN account_risk ON account_id = id WHERE id = $1", account_id)
    return await _account(db, found[0], 0) if found else None


async def _account(db: Database, row: Record, remembered: int) -> LoadedAccount:
    number = row["id"]
    closed = await db.fetch(
        f"SELECT * FROM oms_orders WHERE account_id = $1 AND NOT ({OPEN}) ORDER BY created_at DESC, id DESC LIMIT $2",
        number, remembered,
    )  # fmt: skip
    still_open = await db.fetch(f"SELECT * FROM oms_orders WHERE account_id = $1 AND {OPEN} ORDER BY id", number)
    orders = [rows.order_of(each) for each in closed]
    orders.sort(key=lambda order: (order.closed_ns or 0, order.id))
    orders += [rows.order_of(each) for each in still_open]
    deals = await db.fetch(
        "SELECT * FROM oms_deals WHERE order_id = ANY($1) ORDER BY id", [order.id for order in orders]
    )
    positions = await db.fetch(
        "SELECT * FROM oms_positions WHERE account_id = $1 AND state = 'open' ORDER BY id", number
    )
    return LoadedAccount(
        account=admin_rows.account_of(row),
        risk=admin_rows.risk_of(row),
        sequences=rows.sequences_of(row),
        orders=orders,
        deals=[rows.deal_of(each) for each in deals],
        positions=[rows.position_of(each) for each in positions],
    )
