"""How far background work has come, on a real database."""

from __future__ import annotations

from oms.store import progress, rows
from oms.store.pool import Pool
from tests.oms import full_rows
from tests.oms.full_rows import T


async def test_what_was_confirmed_stays_so(pool: Pool) -> None:
    await full_rows.make_account(pool)
    await progress.ack(pool, 5, 1, "orders", 10)
    await progress.ack(pool, 5, 1, "orders", 8)
    await progress.ack(pool, 5, 1, "deals", 3)
    await progress.ack(pool, 6, 1, "deals", 4)
    assert await progress.acks(pool, 5, 1) == {"orders": 10, "deals": 3}


async def test_cursors_are_kept_by_name(pool: Pool) -> None:
    await full_rows.make_account(pool)
    await progress.set_cursor(pool, 1, "trades:BTC/USDT", "a")
    await progress.set_cursor(pool, 1, "trades:BTC/USDT", "b")
    assert await progress.cursors(pool, 1) == {"trades:BTC/USDT": "b"}


async def test_the_last_reconciliation_is_told_and_one_cut_off_has_failed(pool: Pool) -> None:
    await full_rows.make_account(pool)
    assert await progress.last_reconciliation(pool, 1) is None
    await progress.start_reconciliation(pool, 1, "start", T)
    second = await progress.start_reconciliation(pool, 1, "periodic", T + 1_000_000)
    await progress.finish_reconciliation(pool, second, ok=True, report={"orders": 2}, now_ns=T + 2_000_000)
    last = await progress.last_reconciliation(pool, 1)
    assert last == progress.Reconciliation(
        id=second, account_id=1, cause="periodic", status="ok", report={"orders": 2},
        started_ns=T + 1_000_000, finished_ns=T + 2_000_000,
    )  # fmt: skip
    running = await progress.start_reconciliation(pool, 1, "periodic", T + 3_000_000)
    assert await progress.last_reconciliation(pool, 1) == last
    under_way = await progress.running_reconciliation(pool, 1)
    assert under_way is not None
    assert (under_way.id, under_way.finished_ns) == (running, None)
    assert [row.id for row in await progress.reconciliations(pool, 1, limit=2)] == [running, second]
    assert [row.id for row in await progress.reconciliations(pool, 1, before_id=second, limit=2)] == [second - 1]
    await progress.finish_reconciliation(pool, running, ok=True, report={}, now_ns=T + 4_000_000)
    assert await progress.running_reconciliation(pool, 1) is None
    assert [row[0] for row in await pool.fetch("SELECT status FROM oms_reconciliations ORDER BY id")] == [
        "failed",
        "ok",
        "ok",
    ]


async def test_what_a_venue_said_is_kept_as_it_said_it(pool: Pool) -> None:
    said = [
        progress.Payload(account_id=1, kind="order", payload={"a": [1, None]}, order_id=7),
        progress.Payload(account_id=1, kind="trade", payload={"b": "1.10"}),
    ]
    await progress.add_payloads(pool, said)
    found = await pool.fetch("SELECT account_id, kind, payload, order_id FROM oms_exchange_payloads ORDER BY id")
    assert [progress.Payload(**dict(row)) for row in found] == said


async def test_what_is_old_is_deleted_as_new_comes(pool: Pool) -> None:
    await full_rows.make_account(pool)
    kept_ns = progress.KEPT // rows.MICROSECOND * 1_000
    first = await progress.start_reconciliation(pool, 1, "start", T)
    second = await progress.start_reconciliation(pool, 1, "periodic", T + kept_ns)
    assert [row[0] for row in await pool.fetch("SELECT id FROM oms_reconciliations ORDER BY id")] == [first, second]
    third = await progress.start_reconciliation(pool, 1, "periodic", T + kept_ns + 1_000)
    assert [row[0] for row in await pool.fetch("SELECT id FROM oms_reconciliations ORDER BY id")] == [second, third]
    await progress.add_payloads(pool, [progress.Payload(account_id=1, kind="order", payload={}, order_id=1)])
    await progress.add_payloads(pool, [progress.Payload(account_id=1, kind="order", payload={}, order_id=2)])
    await pool.execute("UPDATE oms_exchange_payloads SET created_at = now() - $1::interval * 2 WHERE order_id = 1",
                       progress.KEPT)  # fmt: skip
    await progress.add_payloads(pool, [progress.Payload(account_id=1, kind="order", payload={}, order_id=3)])
    assert [row[0] for row in await pool.fetch("SELECT order_id FROM oms_exchange_payloads ORDER BY id")] == [2, 3]
