"""Connections to the database, and how values travel over them.

Holds what every reader of the store shares. Must not know a table.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import asyncpg
import orjson

APPLICATION: Final = "tickwire"
CONNECT_S: Final = 10.0

# Generic in the type checker's eyes only: what a query returns is always Record here.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def prepare(connection: Connection) -> None:
    """JSON columns travel as Python values, both ways."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_encode, decoder=orjson.loads, format="text")


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


async def connect(dsn: str) -> Connection:
    """One connection of its own; OSError or asyncpg.PostgresError when there is none to be had."""
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_S, server_settings={"application_name": APPLICATION, "timezone": "UTC"}
    )
    await prepare(connection)
    return connection


async def open_pool(dsn: str, *, size_max: int = 4) -> Pool:
    """Connections for reading and administration. Close it, or enter it."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1, max_size=size_max, timeout=CONNECT_S, init=prepare,
        server_settings={"application_name": APPLICATION, "timezone": "UTC"},
    )  # fmt: skip
