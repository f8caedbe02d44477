"""Fixtures for tests on a real database: `dsn` is a new migrated one, `empty_dsn` one without tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from oms.postgres import Embedded
from oms.store.pool import Pool, open_pool
from tests.oms import database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Embedded]:
    """The server that all tests of this process share."""
    with database.embedded() as server:
        asyncio.run(database.make_template(server.dsn))
        yield server


@pytest.fixture
async def dsn(postgres: Embedded) -> AsyncIterator[str]:
    """A new database with all tables and no row."""
    made = await database.make_database(postgres.dsn)
    yield made
    await database.drop_database(postgres.dsn, made)


@pytest.fixture
async def empty_dsn(postgres: Embedded) -> AsyncIterator[str]:
    """A new database without any table."""
    made = await database.make_database(postgres.dsn, "template0")
    yield made
    await database.drop_database(postgres.dsn, made)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Connections to the database of `dsn`."""
    async with await open_pool(dsn) as pool:
        yield pool
