"""Fixtures for tests of any room on a real database: `dsn` is a new migrated one, on a server that a process shares.

A plugin, so that whoever asks gets the same server. What is marked `every_server` runs on the system's PostgreSQL too,
which is older than the one we bring along. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from oms.postgres import Embedded, PostgresError, find_programs
from tests.oms import database

SYSTEM = "system"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_server: runs on the server we bring along, and on the system's")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_server"):
        # None is what all others have: they share the server with the first of the two.
        metafunc.parametrize("postgres", [None, SYSTEM], ids=["embedded", SYSTEM], indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Embedded]:
    """The server that all tests of this process share."""
    programs = None
    if getattr(request, "param", None) == SYSTEM:
        try:
            programs = find_programs(packages=())
        except PostgresError:
            pytest.skip("no PostgreSQL 15 or newer of the system is installed")
    with database.embedded(programs=programs) as server:
        asyncio.run(database.make_template(server.dsn))
        yield server


_unused: dict[str, list[tuple[str, str]]] = {}  # databases without rows, and their shapes, by server


@pytest.fixture
async def dsn(postgres: Embedded) -> AsyncIterator[str]:
    """A database with all tables and no row: a new one, or one that others have used and left."""
    unused = _unused.setdefault(postgres.dsn, [])
    if unused:
        made, shape = unused.pop()
    else:
        made = await database.make_database(postgres.dsn)
        shape = await database.shape_of(made)
    yield made
    await asyncio.to_thread(postgres.ensure)  # a test may have killed it
    if await database.empty_database(made, shape):
        unused.append((made, shape))
    else:
        await database.drop_database(postgres.dsn, made)
