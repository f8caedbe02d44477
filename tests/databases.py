"""Fixtures for tests of any room on a real database: `dsn` is a new migrated one, on a server that a process shares.

A plugin, so that whoever asks gets the same server. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from oms.postgres import Embedded
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
