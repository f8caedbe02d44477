"""Connections of clients, what they were subscribed to, and how the gateway did: written behind, in batches.

Holds the statements. Nothing of the desk is decided by what is in these tables. Must not know a socket.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from oms.store import rows
from oms.store.pool import Database, Pool

FORGOTTEN_MAX: Final = 10_000  # rows of a table deleted at a time
KEPT_MAX: Final = 1_000_000  # connections: whoever may connect makes one each time, and the disk is that of the orders


class StreamRow(NamedTuple):
    """One subscription; `symbol` is the client's spelling, or an account's number."""

    channel: str
    symbol: str
    timeframe: str
    throttle_ms: int


class ConnectionRow(NamedTuple):
    """A connection as it is now. `body` is what brings its subscriptions back, not looked into."""

    id: str
    dialect: str
    api_key_id: int | None
    peer: str
    opened_ns: int
    changed_ns: int
    closed_ns: int | None
    close_code: int | None
    body: str
    streams: tuple[StreamRow, ...]

    @property
    def size(self) -> int:
        """Rows that it takes."""
        return 1 + len(self.streams)


class MetricRow(NamedTuple):
    sampled_ns: int
    name: str
    value: float


# In one transaction: rows are copied beside the tables first, as COPY itself cannot change what is there.
_BESIDE: Final = (
    "CREATE TEMP TABLE told (id text, process text, dialect text, api_key_id bigint, peer text, opened_at timestamptz, "
    "changed_at timestamptz, closed_at timestamptz, close_code integer, subscriptions text) ON COMMIT DROP",
    "CREATE TEMP TABLE told_streams (connection_id text, channel text, symbol text, timeframe text, "
    "throttle_ms integer, changed_at timestamptz) ON COMMIT DROP",
)
_MERGE: Final = (
    "INSERT INTO websocket_connections "
    "(id, process, dialect, api_key_id, peer, opened_at, closed_at, close_code, subscriptions) "
    "SELECT id, process, dialect, api_key_id, peer, opened_at, closed_at, close_code, subscriptions FROM told "
    "ON CONFLICT (id) DO UPDATE SET api_key_id = EXCLUDED.api_key_id, closed_at = EXCLUDED.closed_at, "
    "close_code = EXCLUDED.close_code, subscriptions = EXCLUDED.subscriptions",
    "UPDATE websocket_subscriptions AS old SET unsubscribed_at = told.changed_at FROM told "
    "WHERE old.connection_id = told.id AND old.unsubscribed_at IS NULL AND (told.closed_at IS NOT NULL OR NOT EXISTS "
    "(SELECT FROM told_streams AS new WHERE new.connection_id = old.connection_id AND new.channel = old.channel "
    "AND new.symbol = old.symbol AND new.timeframe = old.timeframe))",
    "INSERT INTO websocket_subscriptions (connection_id, channel, symbol, timeframe, throttle_ms, subscribed_at, "
    "unsubscribed_at) SELECT new.connection_id, channel, symbol, timeframe, throttle_ms, new.changed_at, "
    "told.closed_at FROM told_streams AS new JOIN told ON told.id = new.connection_id "
    "ON CONFLICT (connection_id, channel, symbol, timeframe) DO UPDATE "
    "SET throttle_ms = EXCLUDED.throttle_ms, unsubscribed_at = EXCLUDED.unsubscribed_at",
)


async def write(pool: Pool, connections: Collection[ConnectionRow], process: str) -> None:
    """Each connection of a process once, as it is now: all of them or none."""
    async with pool.acquire() as db, db.transaction():
        for statement in _BESIDE:
            await db.execute(statement)
        await db.copy_records_to_table("told", records=[_told(row, process) for row in connections])
        streams = [
            (row.id, *stream, rows.time_of(row.changed_ns)) for row in connections for stream in set(row.streams)
        ]
        await db.copy_records_to_table("told_streams", records=streams)
        for statement in _MERGE:
            await db.execute(statement)


def _told(row: ConnectionRow, process: str) -> tuple[object, ...]:
    times: tuple[datetime | None, ...] = (
        rows.time_of(row.opened_ns), rows.time_of(row.changed_ns), rows.time_or_none(row.closed_ns),
    )  # fmt: skip
    return row.id, process, row.dialect, row.api_key_id, row.peer, *times, row.close_code, row.body


async def write_metrics(pool: Pool, metrics: Sequence[MetricRow]) -> None:
    records = [(rows.time_of(row.sampled_ns), row.name, row.value) for row in metrics]
    async with pool.acquire() as db:
        await db.copy_records_to_table("websocket_metrics", records=records, columns=["sampled_at", "name", "value"])


async def alive(db: Database, process: str, now_ns: int) -> None:
    """The process that records connections is there: those that it does not end are until then, if it dies."""
    await db.execute(
        "INSERT INTO websocket_processes (id, alive_at) VALUES ($1, $2) "
        "ON CONFLICT (id) DO UPDATE SET alive_at = EXCLUDED.alive_at",
        process, rows.time_of(now_ns),
    )  # fmt: skip


async def restorable(db: Database, connection_id: str, since_ns: int, process: str) -> tuple[int | None, str] | None:
    """The API key of a connection and its subscriptions, if it has not ended before this, nor its process, which may
    be the one that asks."""
    found = await db.fetch(
        "SELECT api_key_id, subscriptions FROM websocket_connections AS one "
        "LEFT JOIN websocket_processes AS its ON its.id = one.process WHERE one.id = $1 AND "
        "(closed_at >= $2 OR closed_at IS NULL AND (process = $3 OR COALESCE(alive_at, opened_at) >= $2))",
        connection_id, rows.time_of(since_ns), process,
    )  # fmt: skip
    return (found[0]["api_key_id"], found[0]["subscriptions"]) if found else None


async def forget(db: Database, before_ns: int) -> int:
    """Delete what is older, or too much, some of it at a time; returns how many rows there were."""
    before = rows.time_of(before_ns)
    newest = await db.fetchval(
        "SELECT opened_at FROM websocket_connections ORDER BY opened_at DESC OFFSET $1 LIMIT 1", KEPT_MAX - 1
    )
    opened = before if newest is None else max(before, newest)
    count = 0
    for statement, moment in (
        (
            "DELETE FROM websocket_subscriptions WHERE connection_id IN "
            "(SELECT id FROM websocket_connections WHERE opened_at < $1 ORDER BY opened_at LIMIT $2)",
            opened,
        ),
        (
            "DELETE FROM websocket_connections WHERE id IN "
            "(SELECT id FROM websocket_connections WHERE opened_at < $1 ORDER BY opened_at LIMIT $2)",
            opened,
        ),
        (
            "DELETE FROM websocket_processes WHERE id IN "
            "(SELECT id FROM websocket_processes WHERE alive_at < $1 LIMIT $2)",
            before,
        ),
        (
            "DELETE FROM websocket_metrics WHERE ctid IN "
            "(SELECT ctid FROM websocket_metrics WHERE sampled_at < $1 LIMIT $2)",
            before,
        ),
    ):
        count += int((await db.execute(statement, moment, FORGOTTEN_MAX)).rsplit(" ", 1)[1])
    return count
