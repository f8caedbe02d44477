"""Fixtures for tests of any room on a real database: `dsn` is a new migrated one, on a server that a process shares.

A plugin, so that whoever asks gets the same server. What is marked `every_server` runs on the system's PostgreSQL too,
which is older than the one we bring along. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
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
def servers() -> Iterator[Servers]:
    """The servers of this process, each from when it is first asked for until the end."""
    with contextlib.ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, servers: Servers) -> Embedded:
    """The server that all tests of this process share."""
    return servers.get(getattr(request, "param", None))


@pytest.fixture
async def dsn(postgres: Embedded) -> AsyncIterator[str]:
    """A database with all tables and no row: a new one, or one that others have used and left."""
    made = await take(postgres)
    yield made
    await give_back(postgres, made)


class Servers:
    """Running servers by name; starting one costs seconds, and tests come to each of them in turns."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._running: dict[str | None, Embedded] = {}

    def get(self, name: str | None) -> Embedded:
        """That one, started when it is not there yet."""
        if name not in self._running:
            programs = None
            if name == SYSTEM:
                try:
                    programs = find_programs(packages=())
                except PostgresError:
                    pytest.skip("no PostgreSQL 15 or newer of the system is installed")
            server = self._stack.enter_context(database.embedded(programs=programs))
            asyncio.run(database.make_template(server.dsn))
            self._running[name] = server
        return self._running[name]


_unused: dict[str, list[tuple[str, str]]] = {}  # databases without rows, and their shapes, by server
_shapes: dict[str, str] = {}  # of those in use


async def take(postgres: Embedded) -> str:
    """A database with all tables and no row, to be given back."""
    unused = _unused.setdefault(postgres.dsn, [])
    if unused:
        made, shape = unused.pop()
    else:
        made = await database.make_database(postgres.dsn)
        shape = await database.shape_of(made)
    _shapes[made] = shape
    return made


async def give_back(postgres: Embedded, made: str) -> None:
    """Empty it for the next one; what has become another database is thrown away."""
    await asyncio.to_thread(postgres.ensure)  # a test may have killed it
    shape = _shapes.pop(made)
    if await database.empty_database(made, shape):
        _unused[postgres.dsn].append((made, shape))
    else:
        await database.drop_database(postgres.dsn, made)
