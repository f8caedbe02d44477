"""Changes made through one connection are heard through another, also after that was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from oms.store import admin, changes
from oms.store.pool import Pool
from tests.oms.full_rows import T

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"


@pytest.fixture
async def heard(dsn: str) -> AsyncIterator[asyncio.Queue[str | None]]:
    """What `follow` said, from after its start."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.create_task(changes.follow(dsn, queue.put_nowait))
    assert await queue.get() is None
    yield queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_each_table_that_says_who_may_do_what_tells_of_changes(
    pool: Pool, heard: asyncio.Queue[str | None]
) -> None:
    await admin.add_user(pool, "anna")
    assert await heard.get() == "users"
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    assert {await heard.get(), await heard.get()} == {"accounts", "account_risk"}
    await admin.set_credentials(pool, account.id, b"x")
    assert await heard.get() == "account_credentials"
    await admin.add_strategy(pool, account.id, "grid")
    assert await heard.get() == "strategies"
    await admin.set_setting(pool, "halted", value=True)
    assert await heard.get() == "settings"


async def test_what_trading_writes_is_not_told(pool: Pool, heard: asyncio.Queue[str | None]) -> None:
    account = await admin.add_account(pool, "main", "sim", epoch="e")
    assert {await heard.get(), await heard.get()} == {"accounts", "account_risk"}
    await pool.execute("UPDATE accounts SET event_sequence = 1 WHERE id = $1", account.id)
    user = await admin.add_user(pool, "anna")
    assert await heard.get() == "users"
    key = await admin.add_key(pool, user.id, prefix="p", hash=b"h", scopes=frozenset())
    assert await heard.get() == "api_keys"
    await admin.touch_keys(pool, {key.id: T})
    await admin.add_user(pool, "bert")
    assert await heard.get() == "users"


async def test_a_lost_connection_is_replaced_and_everything_may_have_changed(
    pool: Pool, heard: asyncio.Queue[str | None]
) -> None:
    await pool.execute(END)
    assert await heard.get() is None
    await admin.add_user(pool, "anna")
    assert await heard.get() == "users"
