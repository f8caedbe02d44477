"""Connections: JSON travels as values, and what is wrong is told without the address, which may hold a password."""

from __future__ import annotations

import asyncpg
import pytest

from oms.errors import OmsError
from oms.postgres import Embedded
from oms.store.pool import FAILURES, UNAVAILABLE, Pool, connect, open_pool
from tests.oms import database


async def test_json_travels_as_values(pool: Pool) -> None:
    value = {"a": [1, None, "x"]}
    assert await pool.fetchval("SELECT $1::jsonb", value) == value
    assert await pool.fetchval("SELECT $1::json", value) == value


async def test_a_connection_may_leave_json_as_text(dsn: str) -> None:
    connection = await connect(dsn, json_as_text=True)
    assert await connection.fetchval("SELECT '[1]'::json") == "[1]"
    await connection.close()


async def test_a_question_asks_the_database_nothing_else(dsn: str) -> None:
    async with await open_pool(dsn, size_max=1) as pool:
        server_pid = await pool.fetchval("SELECT pg_backend_pid()")
        other = await connect(dsn)
        last = await other.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", server_pid)
        await other.close()
    assert last == "SELECT pg_backend_pid()"


async def test_a_transaction_that_was_left_open_is_not_handed_on(dsn: str) -> None:
    async with await open_pool(dsn, size_max=1) as pool:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; CREATE TABLE left_open ()")
        assert await pool.fetchval("SELECT to_regclass('left_open')") is None


@pytest.mark.parametrize("dsn", ["postgresql://me:s3cr#et@127.0.0.1:1/x", "postgresql://me:s3cret@127.0.0.1:1/x"])
async def test_no_database_is_told_without_its_password(dsn: str) -> None:
    for opening in (connect(dsn), open_pool(dsn)):
        with pytest.raises(OmsError) as caught:
            await opening
        assert caught.value.code == "engine_unavailable"
        assert "s3cr" not in caught.value.message


async def test_a_database_that_is_away_is_told_to_who_asks_and_nobody_else(
    postgres: Embedded, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing tries to have a connection back by itself, with a traceback in the log each time."""
    made = await database.make_database(postgres.dsn, "template0")
    async with await open_pool(made) as pool:
        await database.drop_database(postgres.dsn, made)
        for _ in range(3):
            with pytest.raises(FAILURES):
                await pool.fetchval("SELECT 1")
    assert [record for record in caplog.records if record.name.startswith("asyncpg")] == []


async def test_a_lost_connection_is_one_of_the_errors_that_say_so(dsn: str) -> None:
    connection, other = await connect(dsn), await connect(dsn)
    await other.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
    with pytest.raises(UNAVAILABLE):
        await connection.fetchval("SELECT 1")
    await other.close()


@pytest.mark.parametrize("error", [asyncpg.InternalClientError, asyncpg.CannotConnectNowError, asyncpg.DiskFullError])
def test_a_server_that_dies_or_begins_or_is_full_may_be_there_again_later(error: type[Exception]) -> None:
    assert issubclass(error, UNAVAILABLE)
