"""Alerts as they are stored: what is written is read, and pages of it."""

from __future__ import annotations

from decimal import Decimal

from oms.journal import open_journal
from oms.model import AlertState, AlertType
from oms.store import alerts
from oms.store.pool import Pool
from oms.writes import Writes
from tests.oms import full_rows
from tests.oms.resources.served import alert_of


async def test_what_is_written_is_read_and_what_is_deleted_is_gone(dsn: str, pool: Pool) -> None:
    for name in ("first", "second"):
        await full_rows.make_account(pool, name)
    change = alert_of(
        3, 2, type=AlertType.PERCENT_CHANGE, price=None, percent=Decimal("-5.5"), window_s=60, message="it's \\u0041",
        state=AlertState.ARMED, triggered_ns=None, triggered_price=None,
    )  # fmt: skip
    made = [
        alert_of(1),
        alert_of(2, price=Decimal("0.000000000000000001"), symbol="A", api_key_id=5, request_id="r"),
        change,
    ]
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(Writes(alerts={each.id: each for each in made}))
    assert await alerts.every(pool) == [made[2], made[1], made[0]]
    assert await alerts.page(pool, [1, 2], limit=9) == made
    assert await alerts.page(pool, [1, 2], limit=1, after_id=1) == [made[1]]
    assert await alerts.page(pool, [1], limit=9, symbol="A") == [made[1]]
    assert await alerts.page(pool, [2], limit=9, state=AlertState.TRIGGERED) == []
    armed = alert_of(1, state=AlertState.ARMED, updated_ns=full_rows.T + 1_000)
    gone = alert_of(2, state=AlertState.DELETED)
    await journal.append(Writes(alerts={1: armed, 2: gone}))
    await journal.close()
    assert await alerts.page(pool, [1, 2], limit=9) == [armed, made[2]]
    assert await alerts.next_id(pool) < await alerts.next_id(pool)
