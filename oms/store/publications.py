"""Signals, news, and what was read of feeds: kept for a while, the newest told first.

Holds their statements. Must not know who may publish, nor who is told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

from asyncpg import Record

from oms.publications.model import Channel, Publication
from oms.store import rows
from oms.store.pool import Database, Pool

FORGOTTEN_MAX = 10  # of the oldest, with each that is added
COLUMNS = "id, channel, symbols, source, data::text AS data, body_hash, request_id, created_at"


class Kept(NamedTuple):
    """What there is now under a request's id, and whether it was there before."""

    publication: Publication
    is_new: bool


async def add(db: Database, row: Publication, api_key_id: int | None, kept: timedelta) -> Kept:
    """Keep it, unless the key has published under its `request_id` before; the oldest go when they are too old."""
    (found,) = await db.fetch(
        "WITH forgotten AS (DELETE FROM publications WHERE created_at < $9 AND id IN "
        "(SELECT id FROM publications WHERE channel = $1 ORDER BY id LIMIT $10)), "
        "made AS (INSERT INTO publications "
        "(channel, symbols, source, data, api_key_id, request_id, body_hash, created_at) "
        "VALUES ($1, $2, $3, $4::text::json, $5, $6, $7, $8) "
        "ON CONFLICT (channel, api_key_id, request_id) DO NOTHING RETURNING *) "
        f"SELECT {COLUMNS}, true AS is_new FROM made UNION ALL "
        f"SELECT {COLUMNS}, false FROM publications WHERE channel = $1 AND api_key_id = $5 AND request_id = $6",
        row.channel, list(row.symbols), row.source, row.data.decode(), api_key_id, row.request_id, row.body_hash,
        rows.time_of(row.created_ns), rows.time_of(row.created_ns) - kept, FORGOTTEN_MAX,
    )  # fmt: skip
    return Kept(_publication_of(found), found["is_new"])


async def newest(
    db: Database,
    channel: Channel,
    *,
    symbol: str | None = None,
    source: str | None = None,
    before_id: int | None = None,
    limit: int,
) -> list[Publication]:
    """The newest first, from before this one on."""
    found = await db.fetch(
        f"SELECT {COLUMNS} FROM publications WHERE channel = $1 AND ($2::text IS NULL OR symbols @> ARRAY[$2]) "
        "AND ($3::text IS NULL OR source = $3) AND ($4::bigint IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
        channel, symbol, source, before_id, limit,
    )  # fmt: skip
    return [_publication_of(row) for row in found]


async def add_entries(
    pool: Pool, feed: str, listed: Sequence[tuple[bytes, Publication]], kept: timedelta, now_ns: int
) -> list[Publication]:
    """Keep what a feed lists now (each with the hash of what it is called) as far as that is new; returns this, with
    its ids. What a feed lists no more is forgotten some time later."""
    now = rows.time_of(now_ns)
    added: list[Publication] = []
    async with pool.acquire() as db, db.transaction():
        unseen = await _mark(db, feed, [name for name, _ in listed], now)
        for name, publication in listed:
            if name in unseen:
                unseen.remove(name)  # else one that is listed twice would be kept twice
                added.append((await add(db, publication, None, kept)).publication)
        await db.execute(
            "DELETE FROM feed_entries WHERE feed = $1 AND seen_at < $2 AND NOT (entry_hash = ANY($3::bytea[]))",
            feed, now - kept, [name for name, _ in listed],
        )  # fmt: skip
    return added


async def _mark(db: Database, feed: str, names: Collection[bytes], now: object) -> set[bytes]:
    """Those of these entries that were never seen before."""
    found = await db.fetch(
        "INSERT INTO feed_entries (feed, entry_hash, seen_at) SELECT $1, name, $3 FROM "
        "(SELECT DISTINCT name FROM unnest($2::bytea[]) AS name) AS named "
        "ON CONFLICT DO NOTHING RETURNING entry_hash",
        feed, list(names), now,
    )  # fmt: skip
    return {row["entry_hash"] for row in found}


def _publication_of(row: Record) -> Publication:
    return Publication(
        id=row["id"],
        channel=row["channel"],
        symbols=tuple(row["symbols"]),
        source=row["source"],
        data=row["data"].encode(),
        body_hash=row["body_hash"],
        request_id=row["request_id"],
        created_ns=rows.ns_of(row["created_at"]),
    )
