"""Migrations on a real database: each step once, in order, by one process, and never on what it does not know."""

from __future__ import annotations

import asyncio

import pytest

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
