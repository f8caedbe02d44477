"""Connections to the database, and how values travel over them.

Holds what every reader of the store shares. Must not know a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from oms.errors import OmsError

APPLICATION: Final = "tickwire"
CONNECT_S: Final = 10.0
SETTINGS: Final = {"application_name": APPLICATION, "timezone": "UTC"}

# Generic in the type checker's eyes only: what a query returns is always Record here.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Database: TypeAlias = (
    "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record] "
    "| asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)


# What a statement raises when it is the database that is missing, and not the statement that is wrong.
UNAVAILABLE: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has said that it dies, and the connection is not closed yet
)

FAILURES: Final = (asyncpg.PostgresError, *UNAVAILABLE)  # whatever a statement can raise


async def prepare(connection: Connection) -> None:
    """JSON columns travel as Python values, both ways."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_encode, decoder=orjson.loads, format="text")


async def _keep(_: Connection) -> None:
    """Nobody who borrows a connection changes its session: asking the server to forget what there is not would cost
    every question a second one. A transaction that was left open is rolled back in any case."""


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


async def connect(dsn: str, *, json_as_text: bool = False) -> Connection:
    """One connection of its own. OmsError when there is none to be had."""
    with _told():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, server_settings=SETTINGS)
        if not json_as_text:
            await prepare(connection)
    return connection


async def open_pool(dsn: str, *, size_max: int = 4) -> Pool:
    """Connections for reading and administration; close it, or enter it. OmsError when there are none to be had."""
    with _told():
        # A pool that keeps a connection in hand tries to have it back by itself when the server is away, with a
        # traceback in the log each time. Who asks next opens one just as well, and is told when there is none.
        pool = await asyncpg.create_pool(
            dsn, min_size=0, max_size=size_max, timeout=CONNECT_S, init=prepare, reset=_keep, server_settings=SETTINGS
        )
        try:
            async with pool.acquire():
                return pool
        except BaseException:
            pool.terminate()
            raise


@contextmanager
def _told() -> Iterator[None]:
    """What the server or the system says may be passed on; what the address's reader says may quote a password."""
    try:
        yield
    except (OSError, asyncpg.PostgresError) as error:
        raise OmsError("engine_unavailable", f"the order database cannot be reached: {error}") from error
    except (asyncpg.InterfaceError, ValueError) as error:
        raise OmsError("engine_unavailable", f"the order database's address is wrong: {type(error).__name__}") from None
