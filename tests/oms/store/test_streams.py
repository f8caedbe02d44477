"""Where streams are and what is open: on a real database, with more than one page of it."""

from __future__ import annotations

from oms.journal import open_journal
from oms.model import OrderState, PositionState
from oms.store import streams
from oms.store.pool import Pool
from oms.writes import Sequences, SequenceStep, Writes
from tests.oms import full_rows


async def commit(dsn: str, writes: Writes) -> None:
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(writes)
    await journal.close()


async def test_a_channel_is_where_its_own_numbers_are(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool, epoch="abc")
    new = Sequences(event=9, orders=4, deals=3, positions=2)
    step = SequenceStep(account_id=1, old=Sequences(), new=new)
    await commit(dsn, Writes(orders={1: full_rows.order(1)}, sequences={1: step}))
    assert await streams.position(pool, 1, "orders") == ("abc", 4)
    assert await streams.position(pool, 1, "deals") == ("abc", 3)
    assert await streams.position(pool, 1, "positions") == ("abc", 2)
    assert await streams.position(pool, 2, "orders") is None


async def test_all_that_is_open_and_nothing_else(dsn: str, pool: Pool) -> None:
    await full_rows.make_account(pool)
    await full_rows.make_account(pool, "other")
    orders = {number: full_rows.order(number, strategy_id=number % 2) for number in range(1, 602)}
    orders[601] = full_rows.order(601, state=OrderState.FILLED)
    orders[602] = full_rows.order(602, 2)
    positions = {number: full_rows.position(number, strategy_id=number % 2) for number in range(1, 6)}
    positions[5] = full_rows.position(5, state=PositionState.CLOSED)
    await commit(dsn, Writes(orders=orders, positions=positions, sequences={1: full_rows.step(0, 601)}))

    sequence, found = await streams.open_orders(pool, 1, ())
    assert (sequence, [order.id for order in found]) == (601, list(range(1, 601)))
    assert found[0] == orders[1]
    assert [order.id for order in (await streams.open_orders(pool, 1, {1}))[1]] == list(range(1, 600, 2))

    assert [each.id for each in (await streams.open_positions(pool, 1, ()))[1]] == [1, 2, 3, 4]
    assert [each.id for each in (await streams.open_positions(pool, 1, {0}))[1]] == [2, 4]
    assert await streams.open_positions(pool, 2, ()) == (0, [])
