"""Orders in doubt are asked about until evidence says what became of them: nothing is guessed."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from oms.model import OrderState, Side
from oms.states import Absent, Accepted, Ambiguous, CancelRequested, ReplaceRequested
from oms.venues import base
from oms.venues.base import VenueOrder, VenueOrderStatus
from tests.oms import orders_made
from tests.oms.desk.desks import Setting, setting
from tests.oms.desk.scripted_venue import Fault
from tests.oms.orders_made import T0_NS
from tests.waiting import until


async def unknown(made: Setting, *, there: bool) -> None:
    """Order 1 was sent and nobody knows what became of it."""
    order = made.book.create(orders_made.order(1))
    made.venue.streaming = False
    made.venue.script("place", Fault.LOST if there else Fault.DROPPED)
    with pytest.raises(base.Ambiguous):
        await made.venue.place(order, order.client_order_id)
    made.desk.record(1, Ambiguous(message="no answer"))


async def resting(made: Setting, **changes: Any) -> str:
    order = made.book.create(orders_made.order(1, **changes))
    made.venue.streaming = False
    there = await made.venue.place(order, order.client_order_id)
    made.desk.record(1, Accepted(exchange_order_id=there.exchange_order_id, time_ns=T0_NS))
    return there.exchange_order_id


async def test_what_is_found_is_what_the_venue_says_with_its_trades(dsn: str) -> None:
    async with setting(dsn) as made:
        await unknown(made, there=True)
        (there,) = made.venue.orders
        made.venue.fill(there, "0.25")
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.25"))


async def test_absence_is_proved_by_two_lookups_apart(dsn: str) -> None:
    async with setting(dsn) as made:
        await unknown(made, there=False)
        assert not await made.settler.settle(1)
        made.clock.advance(1)
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.UNKNOWN
        made.clock.advance(5)
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().error_code) == (OrderState.REJECTED, "exchange_error")


@pytest.mark.parametrize(
    "changes",
    [{"created_ns": T0_NS - 61 * 10**9}, {"side": Side.SELL}, {"qty": Decimal(5), "filled": Decimal(5)}],
)
async def test_an_order_of_long_ago_with_the_same_name_is_not_taken_for_one_that_never_arrived(
    dsn: str, changes: dict[str, Any]
) -> None:
    async with setting(dsn) as made:
        made.venue.streaming = False
        former = await made.venue.place(orders_made.order(9), "c1")
        made.venue.fill(former.exchange_order_id, "1")
        filled = made.venue.orders[former.exchange_order_id]
        made.venue.orders[former.exchange_order_id] = replace(filled, **changes)
        made.venue.executed.clear()
        await unknown(made, there=False)
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.UNKNOWN
        made.clock.advance(7)
        assert await made.settler.settle(1)
        assert [made.order().state, made.order().filled, made.book.positions] == [OrderState.REJECTED, 0, {}]


async def test_what_arrives_late_is_found_between_the_two_lookups(dsn: str) -> None:
    async with setting(dsn) as made:
        order = made.book.create(orders_made.order(1))
        made.venue.streaming = False
        made.venue.script("place", Fault.LATE)
        with pytest.raises(base.Ambiguous):
            await made.venue.place(order, order.client_order_id)
        made.desk.record(1, Ambiguous(message="no answer"))
        assert not await made.settler.settle(1)
        made.venue.arrive()
        made.clock.advance(7)
        assert await made.settler.settle(1)
        assert made.order().state is OrderState.SUBMITTED


async def test_no_answer_decides_nothing(dsn: str) -> None:
    async with setting(dsn) as made:
        await unknown(made, there=True)
        made.venue.script("find", Fault.LOST)
        with pytest.raises(base.Ambiguous):
            await made.settler.settle(1)
        assert made.order().state is OrderState.UNKNOWN
        await made.desk.commit()


@pytest.mark.parametrize(("canceled", "state"), [(True, OrderState.CANCELED), (False, OrderState.SUBMITTED)])
async def test_a_cancel_without_an_answer(dsn: str, canceled: bool, state: OrderState) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        made.desk.record(1, CancelRequested())
        if canceled:
            made.venue.end(there, "canceled")
        assert await made.settler.settle(1)
        assert made.order().state is state


async def test_a_replace_by_cancel_and_create_whose_new_self_is_there(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        made.venue.fill(there, "0.25")
        requested = made.desk.record(1, ReplaceRequested(anew=True))
        made.venue.end(there, "canceled")
        anew = orders_made.order(1, qty=Decimal(3), filled=Decimal("0.25"), price=Decimal(101))
        await made.venue.place(anew, made.desk.name_of(requested))
        assert await made.settler.settle(1)
        order = made.order()
        assert (order.state, order.price, order.qty) == (OrderState.PARTIALLY_FILLED, Decimal(101), Decimal(3))
        assert order.filled == Decimal("0.25")
        assert order.exchange_order_id != there


async def test_a_replace_of_which_only_the_cancel_was_done(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        made.desk.record(1, ReplaceRequested(anew=True))
        made.venue.end(there, "canceled")
        assert not await made.settler.settle(1)
        made.clock.advance(7)
        assert await made.settler.settle(1)
        assert made.order().state is OrderState.CANCELED


async def test_a_trade_of_its_new_self_proves_that_it_is_there(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        requested = made.desk.record(1, ReplaceRequested(anew=True))
        made.venue.end(there, "canceled")
        said = await made.venue.place(orders_made.order(1, qty=Decimal(3)), made.desk.name_of(requested))
        made.venue.fill(said.exchange_order_id, "0.25")
        filled = made.venue.orders.pop(said.exchange_order_id)
        for _ in range(3):
            assert not await made.settler.settle(1)
            made.clock.advance(7)
        assert (made.order().state, made.order().filled) == (OrderState.PENDING_REPLACE, Decimal("0.25"))
        made.venue.orders[said.exchange_order_id] = filled
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().qty) == (OrderState.PARTIALLY_FILLED, Decimal(3))


async def test_a_replace_of_which_nothing_was_done(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        made.desk.record(1, ReplaceRequested(anew=True))
        assert not await made.settler.settle(1)
        made.hearing.on_order(made.venue.orders[there])  # says nothing of the new self: that is still missed
        made.clock.advance(7)
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().flags) == (OrderState.SUBMITTED, ())


async def test_a_replace_that_is_done_late_is_not_taken_for_failed(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        requested = made.desk.record(1, ReplaceRequested(anew=True))
        made.venue.script("replace", Fault.LATE)
        with pytest.raises(base.Ambiguous):
            await made.venue.replace(requested, Decimal(101), Decimal(1), made.desk.name_of(requested))
        for _ in range(2):
            assert not await made.settler.settle(1)
            made.clock.advance(5)
        assert made.order().state is OrderState.PENDING_REPLACE
        made.venue.arrive()
        assert await made.settler.settle(1)
        order = made.order()
        assert (order.state, order.price) == (OrderState.SUBMITTED, Decimal(101))
        assert order.exchange_order_id != there


async def test_what_was_missed_before_proves_nothing_of_what_is_sent_anew(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        order = made.venue.orders.pop(there)
        assert not await made.settler.settle(1)  # missed by its first name
        made.venue.orders[there] = order
        made.clock.advance(7)
        made.desk.record(1, ReplaceRequested(anew=True))
        made.venue.end(there, "canceled")
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.PENDING_REPLACE


async def test_what_was_seen_meanwhile_was_not_missed(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await resting(made)
        order = made.venue.orders.pop(there)
        assert not await made.settler.settle(1)
        made.hearing.on_order(order)
        made.clock.advance(7)
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.SUBMITTED


async def test_doubt_asks_again_until_it_is_settled(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    async with setting(dsn) as made:
        await unknown(made, there=True)
        made.venue.script("find", Fault.LOST, Fault.CRASH, Fault.DROPPED)
        made.settler.doubt(1)
        made.settler.doubt(1)
        order = await asyncio.wait_for(made.desk.changed(1), 10)
        assert order.state is OrderState.SUBMITTED
        assert made.venue.requests.count("find") == 4


async def test_that_the_database_is_lost_meanwhile_is_no_fault_of_ours(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    async with setting(dsn) as made:
        await unknown(made, there=True)
        await made.journal_lost()
        with capture_logs() as logs:
            made.settler.doubt(1)
            await until(lambda: bool(logs))
            made.settler.stop()
            await made.desk.finish(1.0)
        assert {line["log_level"] for line in logs} == {"warning"}


async def test_what_is_stopped_asks_no_more(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    async with setting(dsn) as made:
        await unknown(made, there=True)
        made.venue.gate.clear()
        made.settler.doubt(1)
        await until(lambda: made.venue.requests.count("find") == 1)
        made.settler.stop()
        made.venue.script("find", Fault.LOST)
        made.venue.gate.set()
        await made.desk.finish(1.0)
        made.settler.doubt(1)
        await asyncio.sleep(0)
        assert made.venue.requests.count("find") == 1
        assert made.settler._timers == {}


async def over(made: Setting, status: VenueOrderStatus = "canceled", **changes: Any) -> VenueOrder:
    """Order 1 has ended, by all that is known; as the venue had it before."""
    there = await resting(made, **changes)
    open_there = made.venue.orders[there]
    made.venue.end(there, status)
    made.hearing.on_order(made.venue.orders[there])
    return open_there


async def test_what_is_told_to_be_open_after_its_end_is_asked_about_and_revived(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await over(made)
        made.venue.orders[there.exchange_order_id] = there
        made.hearing.on_order(there)
        assert not await made.settler.settle(1)  # its end may still be on its way
        assert "find" not in made.venue.requests
        made.clock.advance(5)
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().flags) == (OrderState.SUBMITTED, ("revived",))
        assert 1 in made.book.open_orders
        told = [event for event in made.events if event.event == "order_updated"]
        assert b'"flags":["revived"]' in told[-1].data


async def test_an_old_event_of_what_has_ended_revives_nothing(dsn: str) -> None:
    async with setting(dsn) as made:
        made.hearing.on_order(await over(made))
        made.clock.advance(5)
        assert await made.settler.settle(1)
        assert made.order().state is OrderState.CANCELED


async def test_reports_of_what_is_over_that_come_late_and_in_order_are_no_reason_to_ask(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await over(made, "expired")
        made.hearing.on_order(there)
        made.hearing.on_order(made.venue.orders[there.exchange_order_id])
        made.clock.advance(5)
        assert await made.settler.settle(1)
        assert "find" not in made.venue.requests


async def test_the_end_of_its_former_self_says_nothing_of_one_that_was_told_to_be_open(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await over(made, replaces=1)
        made.hearing.on_order(replace(there, exchange_order_id="2"))
        made.hearing.on_order(made.venue.orders[there.exchange_order_id])
        made.clock.advance(5)
        await made.settler.settle(1)
        assert "find" in made.venue.requests


async def test_what_was_filled_is_not_asked_about_because_of_an_old_event(dsn: str) -> None:
    async with setting(dsn) as made:
        there = made.venue.orders[await resting(made)]
        made.hearing.on_trade(made.venue.fill(there.exchange_order_id, "1"))
        made.hearing.on_order(there)
        assert await made.settler.settle(1)
        assert "find" not in made.venue.requests


async def test_revived_it_has_the_trades_that_the_venue_has_of_it(dsn: str) -> None:
    async with setting(dsn) as made:
        there = await over(made, "expired")
        made.venue.orders[there.exchange_order_id] = there
        made.venue.fill(there.exchange_order_id, "0.4")
        made.hearing.on_order(there)
        made.clock.advance(5)
        assert await made.settler.settle(1)
        assert (made.order().state, made.order().filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.4"))
        await made.desk.commit()


async def replaced_late(made: Setting) -> None:
    """A replace of order 1, filled by 0.3 of 1 before, to 2 was said to have failed; now its new self is open."""
    there = await resting(made)
    made.hearing.on_trade(made.venue.fill(there, "0.3"))
    made.desk.record(1, ReplaceRequested(anew=True))
    made.venue.end(there, "canceled")
    made.desk.record(1, Absent())
    assert made.order().state is OrderState.CANCELED
    wanted = replace(made.order(), qty=Decimal(2), price=Decimal(105))
    new = await made.venue.place(wanted, made.desk.name_of(made.order()))
    made.venue.fill(new.exchange_order_id, "0.5")
    made.hearing.on_order(made.venue.orders[new.exchange_order_id])
    made.clock.advance(5)


async def test_a_replace_that_was_carried_out_after_all_is_revived_with_its_new_terms(dsn: str) -> None:
    async with setting(dsn) as made:
        await replaced_late(made)
        assert await made.settler.settle(1)
        order = made.order()
        assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.8"))
        assert (order.qty, order.price, order.exchange_order_id) == (Decimal(2), Decimal(105), "x3")
        await made.desk.commit()


async def test_what_it_is_of_all_is_not_guessed_while_its_trades_are_not_shown(dsn: str) -> None:
    async with setting(dsn) as made:
        await replaced_late(made)
        hidden = made.venue.executed.pop()
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.CANCELED
        made.venue.executed.append(hidden)
        assert await made.settler.settle(1)
        assert made.order().qty == 2


@pytest.mark.parametrize("late_fill", [True, False])
async def test_what_the_venue_tells_while_it_is_asked_comes_first(dsn: str, late_fill: bool) -> None:
    async with setting(dsn) as made:
        there = await over(made)
        end = made.venue.orders[there.exchange_order_id]
        made.venue.orders[there.exchange_order_id] = there
        made.hearing.on_order(there)
        made.clock.advance(5)
        made.venue.gate.clear()
        settling = asyncio.create_task(made.settler.settle(1))
        await until(lambda: made.venue.requests.count("find") == 1)
        if late_fill:
            made.hearing.on_trade(made.venue.fill(there.exchange_order_id, "0.4"))
        else:
            made.hearing.on_order(end)
        made.venue.gate.set()
        assert await settling is not late_fill
        assert made.order().state is (OrderState.PARTIALLY_FILLED if late_fill else OrderState.CANCELED)
        assert "revived" not in made.order().flags
        if late_fill:
            assert await made.settler.settle(1)
            assert made.order().state is OrderState.PARTIALLY_FILLED
        await made.desk.commit()
