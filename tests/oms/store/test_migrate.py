"""Migrations on a real database: each step once, in order, by one process, and never on what it does not know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncpg import Connection

from oms.store.migrate import MigrationError, Step, migrate, require_current, status, steps
from oms.store.pool import connect

pytestmark = pytest.mark.every_server
FIRST = Step(1, "0001_a.sql", "CREATE TABLE a (x int)")
SECOND = Step(2, "0002_b.sql", "CREATE TABLE b (x int); INSERT INTO a VALUES (1)")


async def test_takes_every_step_of_this_program_once(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    assert (await status(connection)).waiting == steps()
    with pytest.raises(MigrationError, match="run `tickwire db migrate`"):
        await require_current(connection)
    assert await migrate(connection) == steps()
    assert await migrate(connection) == []
    await require_current(connection)
    applied = (await status(connection)).applied
    assert [(step.version, step.checksum) for step in applied] == [(step.version, step.checksum) for step in steps()]
    await connection.close()


async def test_takes_the_steps_that_are_new(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    assert await migrate(connection, [FIRST]) == [FIRST]
    assert await migrate(connection, [FIRST, SECOND]) == [SECOND]
    assert await connection.fetchval("SELECT x FROM a") == 1
    await connection.close()


async def test_positions_from_before_sides_were_kept_have_the_side_that_opened_them(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    await migrate(connection, steps()[:7])
    account = await connection.fetchval(
        "INSERT INTO accounts (name, exchange, epoch) VALUES ('a', 'sim', 'e') RETURNING id"
    )
    for number, qty, side in ((1, 2, "buy"), (2, -2, "sell"), (3, 0, "sell"), (4, 0, "buy"), (5, 0, None)):
        position = {
            "id": number,
            "account_id": account,
            "symbol": "A/B",
            "strategy_id": 0,
            "qty": qty,
            "realized_pnl": 0,
            "fees": {},
            "inverse": False,
            "contract_size": 1,
            "comment": "",
            "reason": "",
            "version": 1,
            "state": "open" if qty else "closed",
            "opened_at": "2026-01-01",
            "updated_at": "2026-01-01",
        }
        await _insert(connection, "oms_positions", position)
        opposite = {"buy": "sell", "sell": "buy"}
        for at, way in enumerate((side, opposite[side]) if side else ()):
            deal = {
                "id": number * 10 + at,
                "account_id": account,
                "order_id": 1,
                "position_id": number,
                "side": way,
                "symbol": "A/B",
                "qty": 2,
                "price": 1,
                "exchange_trade_id": f"{number}-{at}",
                "strategy_id": 0,
                "fee": 0,
                "more_fees": {},
                "realized_pnl": 0,
                "reason": "",
                "executed_at": "2026-01-01",
                "created_at": "2026-01-01",
            }
            await _insert(connection, "oms_deals", deal)
    await migrate(connection)
    found = await connection.fetch("SELECT id, side FROM oms_positions ORDER BY id")
    assert [tuple(row) for row in found] == [(1, "long"), (2, "short"), (3, "short"), (4, "long"), (5, None)]
    await connection.close()


async def _insert(connection: Connection[Any], table: str, row: dict[str, Any]) -> None:
    """The row; what it leaves out is null."""
    whole = f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, $1)"
    await connection.execute(whole, row)


async def test_several_at_once_take_each_step_once(empty_dsn: str) -> None:
    connections = [await connect(empty_dsn) for _ in range(4)]
    taken = await asyncio.gather(*[migrate(connection, [FIRST, SECOND]) for connection in connections])
    assert sorted(map(len, taken)) == [0, 0, 0, 2]
    assert await connections[0].fetchval("SELECT count(*) FROM a") == 1
    for connection in connections:
        await connection.close()


async def test_a_step_that_fails_leaves_nothing_of_itself(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    broken = Step(2, "0002_b.sql", "CREATE TABLE b (x int); SELECT 1/0")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(connection, [FIRST, broken])
    assert len((await status(connection, [FIRST, SECOND])).applied) == 1
    assert await migrate(connection, [FIRST, SECOND]) == [SECOND]
    await connection.close()


async def test_refuses_a_newer_schema(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    await migrate(connection, [FIRST, SECOND])
    with pytest.raises(MigrationError, match=r"at version 2 \(0002_b.sql\) and this program knows 1"):
        await migrate(connection, [FIRST])
    await connection.close()


async def test_refuses_a_step_that_was_changed_after_it_ran(empty_dsn: str) -> None:
    connection = await connect(empty_dsn)
    await migrate(connection, [FIRST])
    changed = Step(1, "0001_a.sql", "CREATE TABLE a (x bigint)")
    with pytest.raises(MigrationError, match="must never change"):
        await migrate(connection, [changed, SECOND])
    await connection.close()
