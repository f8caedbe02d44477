"""Connections in their tables, on a real database."""

from __future__ import annotations

from typing import Any

import pytest

from oms.store import connections
from oms.store.connections import ConnectionRow, MetricRow, StreamRow
from oms.store.pool import Pool

T = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
QUOTES = StreamRow("quotes", "BTC/USDT", "", 50)
BARS = StreamRow("bars", "BTC/USDT", "5m", 0)


def row(name: str = "one", **changed: Any) -> ConnectionRow:
    return ConnectionRow(name, "stream", 7, "192.0.2.0/24", T, T, None, None, "[]", ())._replace(**changed)


async def streams(pool: Pool) -> list[tuple[Any, ...]]:
    found = await pool.fetch(
        "SELECT symbol, timeframe, throttle_ms, extract(epoch FROM unsubscribed_at - to_timestamp($1::bigint / 1e9)) "
        "FROM websocket_subscriptions ORDER BY channel DESC",
        T,
    )
    return [(*each[:3], None if each[3] is None else int(each[3])) for each in map(tuple, found)]


async def test_a_connection_is_written_as_it_is_and_then_as_it_has_become(pool: Pool) -> None:
    await connections.write(
        pool, [row(streams=(QUOTES, BARS, BARS), body='["first"]'), row("two", api_key_id=None)], "p1"
    )
    assert await streams(pool) == [("BTC/USDT", "", 50, None), ("BTC/USDT", "5m", 0, None)]
    throttled = QUOTES._replace(throttle_ms=100)
    await connections.write(pool, [row(streams=(throttled,), changed_ns=T + SECOND, body='["second"]')], "p1")
    assert await streams(pool) == [("BTC/USDT", "", 100, None), ("BTC/USDT", "5m", 0, 1)]
    ended: dict[str, Any] = {"closed_ns": T + 2 * SECOND, "changed_ns": T + 2 * SECOND, "close_code": 1001}
    await connections.write(pool, [row(streams=(throttled,), **ended)], "p1")
    assert await streams(pool) == [("BTC/USDT", "", 100, 2), ("BTC/USDT", "5m", 0, 1)]
    first, second = await pool.fetch("SELECT * FROM websocket_connections ORDER BY id")
    assert (first["close_code"], first["api_key_id"], first["dialect"]) == (1001, 7, "stream")
    assert (second["closed_at"], second["api_key_id"], second["peer"]) == (None, None, "192.0.2.0/24")


async def test_what_ended_too_long_ago_is_not_restored(pool: Pool) -> None:
    await connections.write(
        pool, [row(body="[1]"), row("two", closed_ns=T + SECOND, body="[2]", api_key_id=None)], "p1"
    )
    assert await connections.restorable(pool, "one", T + 9 * SECOND, "p1") == (7, "[1]")
    assert await connections.restorable(pool, "two", T, "p1") == (None, "[2]")
    assert await connections.restorable(pool, "two", T + 2 * SECOND, "p1") is None
    assert await connections.restorable(pool, "three", T, "p1") is None


async def test_a_connection_that_was_left_open_ended_with_its_process(pool: Pool) -> None:
    await connections.write(pool, [row(body="[1]"), row("ended", closed_ns=T)], "p1")
    assert await connections.restorable(pool, "one", T, "p2") == (7, "[1]"), "nothing but its beginning is known"
    assert await connections.restorable(pool, "one", T + SECOND, "p2") is None
    for alive_ns in (T, T + 5 * SECOND):
        await connections.alive(pool, "p1", alive_ns)
    await connections.alive(pool, "p2", T + 99 * SECOND)
    assert await connections.restorable(pool, "one", T + 5 * SECOND, "p2") == (7, "[1]")
    assert await connections.restorable(pool, "one", T + 6 * SECOND, "p2") is None
    assert await connections.restorable(pool, "one", T + 6 * SECOND, "p1") == (7, "[1]"), "who asks is there"
    assert await connections.restorable(pool, "ended", T + SECOND, "p1") is None
    await connections.forget(pool, T + 6 * SECOND)
    assert await pool.fetchval("SELECT string_agg(id, ',') FROM websocket_processes") == "p2"


async def test_no_more_connections_are_kept_than_there_is_room_for(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEPT_MAX", 2)
    await connections.write(pool, [row(str(number), opened_ns=T + number * SECOND) for number in range(4)], "p1")
    await connections.write_metrics(pool, [MetricRow(T, "a", 1.5)])
    assert await connections.forget(pool, T) == 2
    assert await pool.fetchval("SELECT string_agg(id, ',' ORDER BY id) FROM websocket_connections") == "2,3"
    assert await pool.fetchval("SELECT count(*) FROM websocket_metrics") == 1


async def test_what_is_too_old_is_forgotten(pool: Pool) -> None:
    await connections.write(
        pool, [row(streams=(QUOTES,)), row("two", opened_ns=T + SECOND, streams=(QUOTES, BARS))], "p1"
    )
    await connections.write_metrics(pool, [MetricRow(T, "a", 1.5), MetricRow(T + SECOND, "a", 2)])
    assert await connections.forget(pool, T) == 0
    assert await connections.forget(pool, T + SECOND) == 3
    assert await pool.fetchval("SELECT string_agg(id, ',') FROM websocket_connections") == "two"
    assert await pool.fetchval("SELECT count(*) FROM websocket_subscriptions") == 2
    assert await pool.fetchval("SELECT sum(value) FROM websocket_metrics") == 2.0
