"""Connections on their way to the database: bounded, in batches, and never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.private import Register
from oms import connections
from oms.connections import Connections
from oms.store.connections import ConnectionRow
from oms.store.pool import Pool

T = 1_790_000_000_000_000_000


def told(some: Register, name: str = "one", **fields: Any) -> None:
    given: dict[str, Any] = {
        "dialect": "stream", "api_key_id": 7, "peer": "", "opened_ns": T, "closed_ns": None, "close_code": None,
        "body": b"[]", "streams": (),
    }  # fmt: skip
    some.told(name, **{**given, **fields})


async def count(pool: Pool, table: str) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM {table}"))


async def test_what_is_told_is_written_once_as_it_is_by_then(pool: Pool) -> None:
    some = Connections(pool, clock_ns=lambda: T)
    told(some)
    told(some, streams=[("quotes", "BTC/USDT", "", 50)])
    told(some, "two", closed_ns=T, close_code=1000)
    some.measured({"connections": 2, "messages_per_s": 1.5})
    assert await count(pool, "websocket_connections") == 0, "nothing waits for the database"
    await some.flush()
    tables = ("websocket_connections", "websocket_subscriptions", "websocket_metrics")
    assert [await count(pool, table) for table in tables] == [2, 1, 2]


async def test_many_are_written_in_several_batches(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BATCH_MAX", 3)
    some = Connections(pool, clock_ns=lambda: T)
    for number in range(5):
        told(some, str(number), streams=[("quotes", "A", "", 0), ("quotes", "B", "", 0)])
    some.measured({str(number): 1.0 for number in range(7)})
    await some.flush()
    assert (await count(pool, "websocket_subscriptions"), await count(pool, "websocket_metrics")) == (10, 7)


async def test_without_a_database_what_does_not_fit_is_given_up_and_counted(pool: Pool) -> None:
    some = Connections(pool, waiting_max=2, clock_ns=lambda: T)
    for number in range(5):
        told(some, str(number))
    told(some, "0", close_code=1001)
    assert some.given_up == 3
    await pool.close()
    some.measured({"a": 1})
    with capture_logs() as logs:
        await some.flush()
        await some.flush()
    assert [each["count"] for each in logs if each["log_level"] == "warning"] == [3], "told once"
    assert [*some._waiting] == ["0", "1"]
    assert some._waiting["0"].close_code == 1001, "they wait on"
    assert (await some.restorable("0", 9), await some.restorable("9", 9)) == ((7, b"[]"), None)


async def test_what_waits_is_bounded_with_all_its_subscriptions(pool: Pool) -> None:
    some = Connections(pool, waiting_max=5, clock_ns=lambda: T)

    def streams(count: int) -> list[tuple[str, str, str, int]]:
        return [("quotes", str(number), "", 0) for number in range(count)]

    told(some, "one", streams=streams(3))
    told(some, "two", streams=streams(1))
    assert ([*some._waiting], some.given_up) == (["one"], 1)
    told(some, "one", streams=streams(2))
    told(some, "two", streams=streams(1))
    assert ([*some._waiting], some.given_up) == (["one", "two"], 1)
    await some.flush()
    told(some, "three", streams=streams(4))
    assert ([*some._waiting], some._rows) == (["three"], 5)
    await pool.close()
    await some.flush()
    assert ([*some._waiting], some._rows) == (["three"], 5), "it waits on, and counts"


async def test_all_that_is_too_old_is_forgotten_at_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.store.connections.FORGOTTEN_MAX", 2)
    some = Connections(pool, kept_days=0, clock_ns=lambda: T + 1_000)
    for number in range(5):
        told(some, str(number))
    await some.flush()
    assert await count(pool, "websocket_connections") == 0


async def test_what_is_told_while_it_is_written_counts(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    some = Connections(pool, clock_ns=lambda: T)

    async def lost(_pool: Pool, rows: list[ConnectionRow], _process: str) -> None:
        told(some, body=b"[2]")
        raise OSError

    monkeypatch.setattr("oms.store.connections.write", lost)
    told(some, body=b"[1]")
    told(some, "two")
    await some.flush()
    assert {name: row.body for name, row in some._waiting.items()} == {"one": "[2]", "two": "[]"}


async def test_a_row_that_cannot_be_written_does_not_keep_the_others_back(pool: Pool) -> None:
    some = Connections(pool, clock_ns=lambda: T)
    told(some, body=b"\x00")
    with capture_logs() as logs:
        await some.flush()
    assert [each["log_level"] for each in logs] == ["error"]
    told(some, "two")
    await some.flush()
    assert await count(pool, "websocket_connections") == 1


async def test_a_name_that_no_column_takes_spoils_nothing(pool: Pool) -> None:
    some = Connections(pool, clock_ns=lambda: T)
    told(some, streams=[("news", "A\x00B\ud800", "", 0)])
    told(some, "two")
    await some.flush()
    assert await pool.fetchval("SELECT symbol FROM websocket_subscriptions") == "AB?"
    assert await count(pool, "websocket_connections") == 2


async def test_subscriptions_are_given_back_for_a_while_and_forgotten_in_the_end(pool: Pool) -> None:
    now_ns = T
    some = Connections(pool, kept_days=1, clock_ns=lambda: now_ns)
    told(some, body=b"[1]", closed_ns=T)
    now_ns += 5_000_000_000
    assert [await some.restorable("one", within_s) for within_s in (9, 1)] == [(7, b"[1]"), None]
    await some.flush()
    assert [await some.restorable("one", within_s) for within_s in (9, 1)] == [(7, b"[1]"), None]
    now_ns += 2 * 86_400_000_000_000
    some._forgot_s = 0.0
    await some.flush()
    assert await count(pool, "websocket_connections") == 0


async def test_what_a_process_left_open_is_given_back_for_a_while_after_it_was_last_there(pool: Pool) -> None:
    now_ns = T
    some, other = (Connections(pool, clock_ns=lambda: now_ns) for _ in range(2))
    told(some, body=b"[1]")
    await some.flush()
    now_ns += 20_000_000_000
    await some.flush()
    assert await other.restorable("one", 9) is None, "a moment later is too soon to say again that it is there"
    some._alive_s = 0.0
    await some.flush()
    assert await other.restorable("one", 9) == (7, b"[1]")
    now_ns += 10_000_000_000
    assert (await other.restorable("one", 9), await some.restorable("one", 9)) == (None, (7, b"[1]"))


async def test_who_asks_for_subscriptions_leaves_the_database_to_others(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking: list[str] = []
    counts: list[int] = []

    async def slow(_pool: Pool, connection_id: str, _since_ns: int, _process: str) -> None:
        asking.append(connection_id)
        counts.append(len(asking))
        await asyncio.sleep(0)
        asking.remove(connection_id)

    monkeypatch.setattr("oms.store.connections.restorable", slow)
    some = Connections(pool, clock_ns=lambda: T)
    await asyncio.gather(*(some.restorable(str(number), 9) for number in range(9)))
    assert (len(counts), max(counts)) == (9, connections.ASKING_MAX)


async def test_metrics_are_bounded(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "METRICS_MAX", 3)
    some = Connections(pool, clock_ns=lambda: T)
    some.measured({"a": 1.0, "b": 1.0})
    some.measured({"a": 2.0, "b": 2.0})
    assert some.given_up == 2


async def test_names_that_are_one_in_a_column_spoil_nothing(pool: Pool) -> None:
    some = Connections(pool, clock_ns=lambda: T)
    streams = [("news", "A\x00", "", 100), ("news", "A", "", 0), ("bars", "A", "1m", 0), ("bars", "A", "5m", 0)]
    told(some, streams=streams)
    told(some, "two")
    assert some._rows == 5
    with capture_logs() as logs:
        await some.flush()
    assert not logs
    assert await count(pool, "websocket_connections") == 2, "also of the others"
    found = await pool.fetch("SELECT channel, symbol, throttle_ms FROM websocket_subscriptions ORDER BY 1, timeframe")
    assert [tuple(row) for row in found] == [("bars", "A", 0), ("bars", "A", 0), ("news", "A", 0)]
