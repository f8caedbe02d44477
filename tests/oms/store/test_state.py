"""The desk's state as it is read at its start: all that is open, the newest of what is closed, and the ids to go on."""

from __future__ import annotations

import pytest

from oms.journal import open_journal
from oms.model import OrderState, PositionState, Risk
from oms.store.pool import Pool
from oms.store.state import load, load_account
from oms.writes import CommandStatus, Writes
from tests.oms import full_rows
from tests.oms.full_rows import T


@pytest.mark.every_server
async def test_loads_what_was_committed(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    await full_rows.make_account(pool, "other")
    second = 1_000_000_000
    closed = [
        full_rows.order(number, state=OrderState.CANCELED, created_ns=T + number * second, closed_ns=T + at * second)
        for number, at in ((1, 90), (2, 80), (3, 70))
    ]
    still_open, elsewhere = full_rows.order(4), full_rows.order(5, account_id=2)
    held = full_rows.position(6)
    deals = [full_rows.deal(1, order_id=1), full_rows.deal(2, order_id=3), full_rows.deal(3, order_id=4)]
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(
        Writes(
            orders={order.id: order for order in [*closed, still_open, elsewhere]},
            deals={deal.id: deal for deal in deals},
            positions={6: held, 7: full_rows.position(7, state=PositionState.CLOSED, closed_ns=T)},
            commands={8: full_rows.command(8), 9: full_rows.command(9, status=CommandStatus.OK)},
            events=[full_rows.event(1)],
            sequences={1: full_rows.step(0, 1)},
        )
    )
    await journal.close()
    loaded = await load(pool, remembered=2)
    assert (loaded.last_order_id, loaded.last_deal_id, loaded.last_position_id, loaded.last_command_id) == (5, 3, 7, 9)
    assert [command.id for command in loaded.running] == [8]
    first, other = loaded.accounts
    assert first.orders == [closed[2], closed[1], still_open]
    assert first.deals == deals[1:]
    assert first.positions == [held]
    assert first.sequences == full_rows.step(0, 1).new
    assert first.risk == Risk(account_id=1)
    assert (other.orders, other.positions) == ([elsewhere], [])
    alone = await load_account(pool, 2)
    assert alone is not None
    assert alone.orders == [elsewhere]
    assert await load_account(pool, 99) is None
