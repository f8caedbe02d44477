"""What venues said is written behind, in batches; what cannot be is given up, and told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from oms import payloads
from oms.payloads import Payloads
from oms.store.pool import Pool
from oms.store.progress import Payload
from tests.oms import full_rows


def said(number: int, payload: Any = None) -> Payload:
    return Payload(account_id=1, kind="order", order_id=number, payload=payload or {"orderId": number})


async def stored(pool: Pool) -> list[int]:
    return [row["order_id"] for row in await pool.fetch("SELECT order_id FROM oms_exchange_payloads ORDER BY id")]


async def test_what_comes_is_written_soon(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "EVERY_S", 0.0)
    monkeypatch.setattr(payloads, "BATCH_MAX", 2)
    await full_rows.make_account(pool)
    kept = Payloads(pool)
    task = asyncio.create_task(kept.keep())
    for number in range(5):
        kept.add(said(number))
    async with asyncio.timeout(20):
        while await stored(pool) != [0, 1, 2, 3, 4]:  # noqa: ASYNC110  # it is another task's writing that is looked for
            await asyncio.sleep(0.002)
    assert await pool.fetchval("SELECT payload FROM oms_exchange_payloads LIMIT 1") == {"orderId": 0}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_said_again_is_kept_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "REMEMBERED_MAX", 2)
    kept = Payloads(pool)
    for number, status in ((1, "NEW"), (1, "NEW"), (2, "NEW"), (1, "NEW"), (1, "FILLED"), (1, "NEW"), (2, "NEW")):
        kept.add(said(number, {"status": status}))
    await kept.flush()
    assert await stored(pool) == [1, 2, 1, 1]
    for number in (3, 4, 1):
        kept.add(said(number, {"status": "NEW"}))
    await kept.flush()
    assert await stored(pool) == [1, 2, 1, 1, 3, 4, 1]
    assert len(kept._last) == 2


async def test_the_oldest_are_given_up_when_too_many_wait(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "WAITING_MAX", 2)
    kept = Payloads(pool)
    for number in range(3):
        kept.add(said(number))
    with capture_logs() as logs:
        await kept.flush()
        await kept.flush()
    assert await stored(pool) == [1, 2]
    assert [(entry["event"], entry["count"]) for entry in logs] == [("payloads given up: too many waited", 1)]


async def test_what_cannot_be_written_keeps_nothing_else_from_being(pool: Pool) -> None:
    kept = Payloads(pool)
    kept.add(said(1, {"text": "\0"}))  # no text of the database can hold that
    with capture_logs() as logs:
        await kept.flush()
    kept.add(said(2))
    await kept.flush()
    assert await stored(pool) == [2]
    assert [(entry["event"], entry["count"]) for entry in logs] == [("payloads given up", 1)]


async def test_while_the_database_is_away_they_wait(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise OSError("away")

    kept = Payloads(pool)
    kept.add(said(1))
    with monkeypatch.context() as patch:
        patch.setattr("oms.store.progress.add_payloads", away)
        await kept.flush()
    await kept.flush()
    assert await stored(pool) == [1]
