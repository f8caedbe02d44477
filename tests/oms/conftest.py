"""Fixtures for tests on a real database beside `dsn`: `empty_dsn` is one without tables, `pool` connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from oms.postgres import Embedded
from oms.store.pool import Pool, open_pool
from tests.oms import database


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
