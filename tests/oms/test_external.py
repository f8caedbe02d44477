"""What no order in memory is called by: found out whose it is, taken in once, and never for a stranger's too soon."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial

import msgspec
import pytest

from oms.book import EXTERNAL
from oms.model import Order, OrderState, OrderType
from oms.report import Cause
from oms.states import Accepted
from oms.store import history, progress, state
from tests.oms import orders_made
from tests.oms.desk.scripted_venue import Fault
from tests.oms.reconciled import Scene, scene
from tests.waiting import until

DAY_NS = 86_400 * 10**9


def externals(here: Scene) -> list[Order]:
    return [order for order in here.book.orders.values() if order.reason == EXTERNAL]


async def test_what_the_stream_tells_of_a_strangers_order_is_taken_in_at_once(dsn: str) -> None:
    async with scene(dsn) as here:
        said = here.venue.external("by-hand")
        await until(lambda: externals(here))
        here.venue.fill(said.exchange_order_id, "0.4")
        await until(lambda: here.book.positions)
        (order,) = externals(here)
        assert (order.client_order_id, order.exchange_order_id) == ("by-hand", said.exchange_order_id)
        assert (order.qty, order.price, here.filled(order)) == (Decimal(1), Decimal(100), Decimal("0.4"))
        assert here.book.positions[1].net_key == "1:BTC/USDT:external"
        assert not (await here.run()).imported
        here.venue.end(said.exchange_order_id, "canceled")
        await until(lambda: not here.book.open_orders)
        assert here.state(order) is OrderState.CANCELED


async def test_what_was_not_told_is_taken_in_by_the_next_run_with_all_its_fills(dsn: str) -> None:
    async with scene(dsn) as here:
        await here.run()
        ours = await here.ours()  # so that the symbol is of interest
        here.venue.streaming = False
        resting, over, canceled = here.venue.external("a"), here.venue.external("b"), here.venue.external(None)
        here.venue.fill(resting.exchange_order_id, "0.25")
        here.venue.fill(over.exchange_order_id, "1")
        here.venue.fill(canceled.exchange_order_id, "0.5")
        here.venue.end(canceled.exchange_order_id, "canceled")
        report = await here.run()
        found = {order.exchange_order_id: order for order in externals(here)}
        assert len(report.imported) == len(found) == 3
        states = [found[each.exchange_order_id].state for each in (resting, over, canceled)]
        assert states == ["PARTIALLY_FILLED", "FILLED", "CANCELED"]
        assert sum(order.filled for order in found.values()) == here.book.positions[1].qty == Decimal("1.75")
        assert found[canceled.exchange_order_id].client_order_id == f"external:BTC/USDT:{canceled.exchange_order_id}"
        assert here.state(ours) is OrderState.SUBMITTED
        again = await here.run()
        assert (again.imported, again.deals_booked, len(externals(here))) == ([], 0, 3)


async def test_the_first_fill_of_an_order_that_is_days_old_is_booked_too(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.streaming = False
        now_ns = here.desk.now_ns()
        said = here.venue.external("a", qty="3")
        here.venue.fill(said.exchange_order_id, "1")
        here.venue.fill(said.exchange_order_id, "1")
        first, last = here.venue.executed
        here.venue.executed[0] = msgspec.structs.replace(first, time_ns=now_ns - 3 * DAY_NS)
        here.venue.executed[1] = msgspec.structs.replace(last, time_ns=now_ns)
        told = here.venue.orders[said.exchange_order_id]
        told = msgspec.structs.replace(told, created_ns=now_ns - 4 * DAY_NS, time_ns=now_ns)
        here.venue.orders[said.exchange_order_id] = told
        await here.run()
        (order,) = externals(here)
        assert (here.filled(order), order.created_ns) == (Decimal(2), told.created_ns)
        assert here.venue.since_ns[told.symbol] <= now_ns - 3 * DAY_NS  # the venue tells no older ones than asked for


async def test_a_strangers_stop_is_taken_in_with_its_trigger(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.streaming = False
        said = here.venue.external("a")
        stop = msgspec.structs.replace(said, order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(90))
        here.around.hearing.on_order(stop)
        await until(lambda: externals(here))
        (order,) = externals(here)
        assert (order.order_type, order.price, order.trigger_price) == (OrderType.STOP_LIMIT, Decimal(100), Decimal(90))


async def test_many_words_of_one_stranger_are_one_order(dsn: str) -> None:
    async with scene(dsn) as here:
        said = here.venue.external("a", qty="3")
        for _ in range(3):
            here.venue.fill(said.exchange_order_id, "1")
        here.venue.deliver()
        for order in list(here.venue.orders.values()):
            here.around.hearing.on_order(order)
        report = await here.run()
        await here.desk.finish(5.0)
        (taken,) = externals(here)
        assert (taken.state, taken.filled, len(here.events("deal_created"))) == (OrderState.FILLED, Decimal(3), 3)
        assert report.ok


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("end", ["filled", "canceled"])
async def test_a_name_that_a_stranger_gives_again_is_of_another_order(dsn: str, end: str, heard: bool) -> None:
    """Venues let a name be used again as soon as nothing open has it; what was over stays as it was."""
    async with scene(dsn) as here:
        here.venue.streaming = heard
        first = here.venue.external("bot")
        await here.run()
        here.venue.fill(first.exchange_order_id, "0.25")
        if end == "filled":
            here.venue.fill(first.exchange_order_id, "0.75")
        else:
            here.venue.end(first.exchange_order_id, "canceled")
        await here.run()
        before = externals(here)[0]
        assert not before.is_open
        second = here.venue.external("bot", qty="2")
        await here.run()
        here.venue.fill(second.exchange_order_id, "0.5")
        await here.run()
        await here.desk.finish(5.0)
        was, now = externals(here)
        assert was == before
        assert (now.exchange_order_id, now.qty, now.filled) == (second.exchange_order_id, Decimal(2), Decimal("0.5"))
        assert (now.state, now.flags) == (OrderState.PARTIALLY_FILLED, ())
        assert now.client_order_id == f"external:BTC/USDT:{second.exchange_order_id}"


@pytest.mark.parametrize("end", ["filled", "canceled"])
async def test_a_name_of_ours_that_is_over_and_that_a_stranger_gives_is_of_the_strangers_order(
    dsn: str, end: str
) -> None:
    async with scene(dsn) as here:
        ours = await here.ours(client_order_id="bot")
        assert ours.exchange_order_id is not None
        if end == "filled":
            here.venue.fill(ours.exchange_order_id, "1")
        else:
            here.venue.end(ours.exchange_order_id, "canceled")
        await here.run()
        before = here.book.orders[ours.id]
        assert not before.is_open
        second = here.venue.external("bot", qty="2")
        await here.run()
        here.venue.fill(second.exchange_order_id, "0.5")
        await here.run()
        await here.desk.finish(5.0)
        (theirs,) = externals(here)
        assert here.book.orders[ours.id] == before
        assert theirs.exchange_order_id == second.exchange_order_id
        assert (theirs.qty, theirs.filled) == (Decimal(2), Decimal("0.5"))


async def test_a_name_that_was_a_strangers_long_ago_may_be_given_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(dsn) as here:
        said = here.venue.external("bot")
        here.venue.end(said.exchange_order_id, "canceled")
        await until(lambda: externals(here) and not here.book.open_orders)
        await here.desk.commit()
    monkeypatch.setattr(state, "load", partial(state.load, remembered=0))
    async with scene(dsn) as after:
        after.venue.go_on_from(here.venue)
        again = after.venue.external("bot")
        await until(lambda: after.book.open_orders)
        (now,) = externals(after)
        assert (now.exchange_order_id, now.flags) == (again.exchange_order_id, ())


async def test_an_order_of_ours_that_is_no_longer_in_memory_is_found_in_the_database(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(dsn) as here:
        order = await here.ours()
        here.venue.end(order.exchange_order_id or "", "canceled")
        await until(lambda: not here.book.open_orders)
        await here.desk.commit()
    monkeypatch.setattr(state, "load", partial(state.load, remembered=0))
    async with scene(dsn) as after:
        after.venue.orders = here.venue.orders
        assert not after.book.orders
        after.venue.fill(order.exchange_order_id or "", "1")
        await until(lambda: after.book.orders and after.filled(order))
        assert after.state(order) is OrderState.FILLED
        assert after.book.orders[order.id].flags == ("late_fill",)
        assert not externals(after)


async def test_a_fill_that_is_faster_than_the_answer_is_not_a_strangers(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.reveals_client_id = False
        order = here.book.create(orders_made.order(here.desk.ids.order()))
        await here.desk.commit()
        said = await here.venue.place(order, order.client_order_id)
        here.venue.fill(said.exchange_order_id, "1")  # told before we hear the answer
        await until(lambda: here.filled(order))
        here.desk.record(order.id, Accepted(exchange_order_id=said.exchange_order_id, time_ns=said.time_ns))
        assert here.state(order) is OrderState.FILLED
        assert not externals(here)


async def test_while_an_order_of_ours_is_in_doubt_no_nameless_one_is_taken_in(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.streaming = False
        here.venue.script("place", Fault.DROPPED)
        ours = await here.ours()
        stranger = here.venue.external(None)
        trade = here.venue.fill(stranger.exchange_order_id, "0.5")
        report = await here.run()
        assert (report.imported, externals(here)) == ([], [])
        assert "trades:BTC/USDT" not in await progress.cursors(here.desk.pool, 1)
        assert here.state(ours) is OrderState.UNKNOWN
        here.around.hearing.on_trade(trade)
        await here.desk.finish(5.0)
        assert not externals(here)
        await here.run()
        assert here.state(ours) is OrderState.REJECTED
        await here.run()
        (order,) = externals(here)
        assert order.filled == Decimal("0.5")


async def test_an_order_that_the_venue_has_forgotten_is_made_of_its_trade(dsn: str) -> None:
    async with scene(dsn) as here:
        said = here.venue.external("a")
        here.venue.deliver()
        await here.desk.finish(5.0)
        here.venue.streaming = False
        other = here.venue.external("b")
        here.venue.fill(other.exchange_order_id, "1")
        here.venue.orders = {said.exchange_order_id: said}
        await here.run()
        (_, order) = externals(here)
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal(1))
        assert order.exchange_order_id == other.exchange_order_id


async def test_what_the_venue_will_not_say_is_asked_again_by_the_next_run(dsn: str) -> None:
    async with scene(dsn) as here:
        await here.run()
        assert not here.runs.is_active
        here.venue.script("find", Fault.DROPPED)
        here.venue.streaming = False
        said = here.venue.external("a")
        here.around.hearing.on_trade(here.venue.fill(said.exchange_order_id, "1"))
        await here.desk.finish(5.0)
        assert not externals(here)
        for method in ("open_orders", "trades"):
            assert here.runs.is_active
            here.venue.script(method, Fault.DROPPED)
            assert not (await here.run(Cause.PERIODIC)).ok
        here.venue.script("trades", Fault.REFUSED)
        assert (await here.run(Cause.PERIODIC)).refused
        assert here.runs.is_active
        await here.run(Cause.PERIODIC)
        assert [order.filled for order in externals(here)] == [1]


async def test_what_the_database_will_not_say_keeps_nothing_behind_it_and_is_asked_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*asked: object) -> None:
        context.undo()
        raise ConnectionResetError

    async with scene(dsn) as here:
        here.venue.streaming = False
        trades = [here.venue.fill(here.venue.external(name).exchange_order_id, "1") for name in ("a", "b")]
        with monkeypatch.context() as context:
            context.setattr(history, "order_by_exchange_id", lost)
            for trade in trades:
                here.around.hearing.on_trade(trade)
            await here.desk.finish(5.0)
        assert [order.client_order_id for order in externals(here)] == ["b"]
        with monkeypatch.context() as context:
            context.setattr(progress, "cursors", lost)
            assert (await here.run()).error == "the order database cannot be reached: ConnectionResetError"
        assert here.runs.external.unread
        await here.run()
        assert [order.filled for order in externals(here)] == [1, 1]
        assert not here.runs.external.unread


async def test_two_who_ask_about_one_stranger_at_once_find_one(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.streaming = False
        said = here.venue.external("a")
        trades = [here.venue.fill(said.exchange_order_id, "0.5") for _ in range(2)]
        here.venue.gate.clear()
        asking = [asyncio.create_task(here.runs.external.trade(trade)) for trade in trades]
        await until(lambda: "find" in here.venue.requests)
        here.venue.gate.set()
        assert await asyncio.gather(*asking) == [True, True]
        (order,) = externals(here)
        assert order.filled == 1


async def test_what_was_over_long_ago_and_is_listed_as_open_is_open_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    async with scene(dsn) as before:
        order = await before.ours()
        before.venue.end(order.exchange_order_id or "", "canceled")
        await until(lambda: not before.book.open_orders)
        await before.desk.commit()
    monkeypatch.setattr(state, "load", partial(state.load, remembered=0))
    async with scene(dsn) as here:
        here.venue.go_on_from(before.venue)
        assert order.id not in here.book.orders
        there = here.venue.orders[order.exchange_order_id or ""]
        here.venue.orders[there.exchange_order_id] = msgspec.structs.replace(there, status="open")
        await here.run()
        await until(lambda: order.id in here.book.open_orders)
        assert here.book.orders[order.id].flags == ("revived",)
        assert not externals(here)
