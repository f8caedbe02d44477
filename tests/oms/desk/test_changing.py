"""Orders are changed, in one request or by cancel and create, and stay one order with all that was filled before."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from oms.errors import OmsError
from oms.model import OrderState, OrderType
from oms.venues import base
from oms.venues.base import VenueOrder
from tests.oms.desk.desks import Setting
from tests.oms.desk.scripted_venue import Fault
from tests.oms.desk.trading_made import code, send, trading
from tests.oms.orders_made import SPOT, order
from tests.waiting import until

NATIVE = pytest.mark.parametrize("native", [True, False])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in doubt is asked about at once, and two misses need not be apart."""
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    monkeypatch.setattr("oms.desk.settling.APART_NS", 0)
    monkeypatch.setattr("oms.desk.changing.LOOKS_S", (0.0, 0.0))


def resting(made: Setting) -> tuple[object, object]:
    """What is open at the venue: what is left, at which price."""
    (order,) = [order for order in made.venue.orders.values() if order.status == "open"]
    return order.qty - order.filled, order.price


@NATIVE
async def test_price_and_qty_change_under_the_same_id(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        answer = await made.run("change_order", order_id=1, new_price="101", new_qty="3")
        assert [answer.ok, answer.order_id] == [True, 1]
        order = made.order()
        assert [order.state, order.price, order.qty, order.replaces] == [OrderState.SUBMITTED, 101, 3, 1]
        assert resting(made) == (3, 101)
        assert made.venue.placed == ["tw-e1-1", "tw-e1-1.1"]
        assert order.flags == ()


@NATIVE
@pytest.mark.parametrize("streaming", [True, False])
async def test_what_was_filled_before_counts_in_the_whole(dsn: str, native: bool, streaming: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        made.venue.streaming = streaming
        made.venue.fill("x1", "0.25")
        if native:  # the venue is told what is left: it must be known
            await made.settler.settle(1)
        assert (await made.run("change_order", order_id=1, new_qty="2")).ok
        assert [made.order().qty, made.order().filled] == [2, Decimal("0.25")]
        assert resting(made) == (Decimal("1.75"), 100)
        assert (await made.run("change_order", order_id=1, new_qty="3")).ok
        assert resting(made) == (Decimal("2.75"), 100)
        assert [made.order().qty, made.order().filled] == [3, Decimal("0.25")]


async def test_nothing_is_created_while_the_venue_only_says_that_the_former_is_canceled(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.script("cancel", Fault.PRETENDED)
        assert code(await made.run("change_order", order_id=1, new_price="101")) == "outcome_unknown"
        assert (made.order().state, made.order().price) == (OrderState.SUBMITTED, Decimal(100))
        assert made.venue.placed == ["tw-e1-1"]
        assert resting(made) == (1, 100)


@NATIVE
async def test_a_fill_just_before_the_cancel_is_not_lost(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        made.venue.fill_on_cancel.append(Decimal("0.25"))
        assert (await made.run("change_order", order_id=1, new_qty="2")).ok
        # In one request the venue created as much as was thought to be left: the whole says so.
        whole = Decimal("2.25") if native else Decimal(2)
        assert [made.order().qty, made.order().filled] == [whole, Decimal("0.25")]
        assert resting(made)[0] == whole - Decimal("0.25")


@NATIVE
async def test_no_more_is_ordered_than_is_left_however_much_is_filled_meanwhile(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made, qty="4")
        made.venue.fill("x1", "1")
        await made.settler.settle(1)
        made.venue.streaming = False
        made.venue.fill_on_cancel.append(Decimal(1))
        assert (await made.run("change_order", order_id=1, new_qty="3")).ok
        assert [made.order().qty, made.order().filled] == [3, 2]
        assert resting(made) == (1, 100)


@NATIVE
async def test_an_order_that_was_filled_meanwhile_is_filled(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        made.venue.fill_on_cancel.append(Decimal(1))
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert code(answer) == "invalid_order_state"
        assert [made.order().state, made.order().filled] == [OrderState.FILLED, 1]


@NATIVE
async def test_nothing_left_of_what_is_wanted_ends_it(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made, qty="4")
        made.venue.fill("x1", "2")
        await made.settler.settle(1)
        assert code(await made.run("change_order", order_id=1, new_qty="1")) == "validation_error"
        if not native:
            made.venue.streaming = False
            made.venue.fill_on_cancel.append(Decimal(1))
            assert code(await made.run("change_order", order_id=1, new_qty="2.5")) == "invalid_order_state"
            assert [made.order().state, made.order().filled] == [OrderState.CANCELED, 3]


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.CRASH])
async def test_a_lost_answer_to_one_request_is_found_out(dsn: str, fault: Fault) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = True
        await send(made)
        made.venue.script("replace", fault)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        assert [made.order().state, made.order().price] == [OrderState.SUBMITTED, 101]
        assert resting(made) == (1, 101)


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.REFUSED])
async def test_one_request_that_was_not_done_leaves_it_as_it_was(dsn: str, fault: Fault) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = True
        await send(made)
        made.venue.script("replace", fault)
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert code(answer) == ("exchange_error" if fault is Fault.REFUSED else "outcome_unknown")
        assert [made.order().state, made.order().price] == [OrderState.SUBMITTED, 100]
        assert (await made.run("change_order", order_id=1, new_price="102")).ok


@pytest.mark.parametrize(
    ("method", "fault", "state", "price"),
    [
        ("cancel", Fault.REFUSED, OrderState.SUBMITTED, 100),
        ("cancel", Fault.DROPPED, OrderState.SUBMITTED, 100),
        (
            "cancel",
            Fault.LOST,
            OrderState.CANCELED,
            100,
        ),  # nothing was created: it is not known any more what was asked
        ("place", Fault.REFUSED, OrderState.CANCELED, 100),
        ("place", Fault.DROPPED, OrderState.CANCELED, 100),
        ("place", Fault.LOST, OrderState.SUBMITTED, 101),
    ],
)
async def test_each_half_of_cancel_and_create_may_fail(
    dsn: str, method: Literal["cancel", "place"], fault: Fault, state: OrderState, price: int
) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.script(method, fault)
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert answer.ok is (price == 101)
        details = (answer.error or {}).get("details") or {}
        assert details.get("exception") == ("MarketClosed" if fault is Fault.REFUSED else None)
        assert [made.order().state, made.order().price] == [state, price]
        assert sum(order.status == "open" for order in made.venue.orders.values()) == made.order().is_open


@pytest.mark.parametrize("validate", [True, False])
async def test_what_the_venue_would_not_take_is_refused_before_anything_is_canceled(dsn: str, validate: bool) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.unfit = OmsError("unsupported_action", "not here")
        answer = await made.run("change_order", order_id=1, new_price="101", validate=validate)
        assert code(answer) == "unsupported_action"
        assert made.venue.checked[-1].price == 101
        assert made.venue.requests == ["place"]
        assert made.order().state is OrderState.SUBMITTED


async def test_what_would_be_left_is_held_against_the_limits_of_the_market(dsn: str) -> None:
    limited = replace(
        SPOT, qty_min=Decimal("0.5"), qty_max=Decimal(3), notional_min=Decimal(50), price_max=Decimal(200)
    )
    async with trading(dsn) as made:
        await send(made, qty="4")
        made.venue.fill("x1", "2")
        await made.settler.settle(1)
        before = len(made.venue.requests)
        made.venue.instruments[SPOT.symbol] = limited
        refused: list[dict[str, Any]] = [
            {"new_qty": "2.4"}, {"new_qty": "6"}, {"new_price": "201"}, {"new_price": "24"},
        ]  # fmt: skip
        for terms in refused:
            assert code(await made.run("change_order", order_id=1, **terms)) == "validation_error"
        assert len(made.venue.requests) == before
        assert (await made.run("change_order", order_id=1, new_qty="5")).ok


async def test_a_new_self_that_is_refused_nevertheless_is_told_with_what_the_order_is_now(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.script("place", Fault.REFUSED)
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert answer.error is not None
        assert answer.error["code"] == "exchange_error"
        assert answer.error["details"] == {"exception": "MarketClosed", "state": OrderState.CANCELED}


async def test_an_order_that_is_no_longer_what_a_replace_may_be_asked_of_is_not_said_to_be_unknown(dsn: str) -> None:
    """Filled in part a moment before: the venue takes nothing back, with the code of what it does not know."""
    async with trading(dsn) as made:
        made.venue.can_replace = True
        await send(made)

        async def restricted(*_: object) -> VenueOrder:
            made.venue.fill("x1", "0.25")
            raise base.Refused("order_not_found", "Order was not canceled due to cancel restrictions.")

        setattr(made.venue, "replace", restricted)  # noqa: B010  # as Binance's ONLY_NEW
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert answer.error is not None
        assert answer.error["code"] == "invalid_order_state"
        assert answer.error["details"] == {"state": OrderState.PARTIALLY_FILLED}
        assert (made.order().filled, made.order().price) == (Decimal("0.25"), Decimal(100))


@NATIVE
async def test_an_order_that_somebody_canceled_at_the_venue_is_over_and_not_unknown(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        made.venue.streaming = False
        made.venue.end("x1", "canceled")
        answer = await made.run("change_order", order_id=1, new_price="101")
        assert answer.error is not None
        assert answer.error["code"] == "invalid_order_state"
        assert answer.error["details"] == {"state": OrderState.CANCELED}
        assert made.venue.placed == ["tw-e1-1"]


@NATIVE
async def test_a_fill_that_comes_after_the_cancel_orphans_no_new_self(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        work = made.venue.replace if native else made.venue.place

        async def filled_after(*asked: Any) -> VenueOrder:
            said = await work(*asked)
            made.venue.fill("x1", "1")
            return said

        setattr(made.venue, "replace" if native else "place", filled_after)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        await until(lambda: made.order().filled == 1 and not made.settler._asked)
        assert [made.order().state, made.order().qty] == [OrderState.PARTIALLY_FILLED, 2]
        assert resting(made) == (1, 101)
        assert (await made.run("cancel_order", order_id=1)).ok
        assert [each.status for each in made.venue.orders.values()] == ["filled", "canceled"]


@NATIVE
async def test_what_its_former_self_fills_late_leaves_of_it_what_the_venue_has(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        (now,) = [name for name, each in made.venue.orders.items() if each.status == "open"]
        made.venue.fill(now, "0.2")
        made.venue.fill("x1", "0.3")
        await until(lambda: made.order().filled == Decimal("0.5") and not made.settler._asked)
        assert made.order().qty == Decimal("1.3")
        assert made.order().qty - made.order().filled == resting(made)[0]
        made.venue.fill(now, "0.8")
        await until(lambda: made.order().state is OrderState.FILLED)
        assert made.order().filled == Decimal("1.3")


@NATIVE
async def test_what_is_over_and_filled_late_by_its_former_self_is_over_again(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        assert (await made.run("cancel_order", order_id=1)).ok
        made.clock.advance(1)
        made.venue.fill("x1", "0.3")
        await until(lambda: made.order().filled == Decimal("0.3") and not made.settler._asked)
        assert made.order().state is OrderState.CANCELED
        assert "late_fill" in made.order().flags


@NATIVE
async def test_a_late_fill_of_what_it_was_does_not_orphan_what_it_is(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        made.venue.fill("x1", "1")
        await until(lambda: made.order().filled == 1 and not made.settler._asked)
        assert [made.order().state, made.order().qty, made.order().filled] == [OrderState.PARTIALLY_FILLED, 2, 1]
        (now,) = [name for name, each in made.venue.orders.items() if each.status == "open"]
        made.venue.fill(now, "1")
        await until(lambda: made.order().state is OrderState.FILLED)
        assert made.order().filled == 2


async def test_a_refused_cancel_is_answered_at_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.desk.settling.APART_NS", 10**18)
    async with trading(dsn) as made:
        await send(made)
        made.venue.script("cancel", Fault.REFUSED)
        answer = await asyncio.wait_for(made.run("change_order", order_id=1, new_price="101"), 10)
        assert code(answer) == "exchange_error"
        assert made.order().state is OrderState.SUBMITTED


async def test_what_the_last_look_at_a_cancel_finds_counts(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.desk.changing.LOOKS_S", (0.0,))
    async with trading(dsn) as made:
        made.venue.silent_cancel = True
        await send(made)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        assert made.venue.requests == ["place", "cancel", "find", "place"]


async def test_a_cancel_that_takes_its_time_is_waited_for(dsn: str) -> None:
    async with trading(dsn) as made:
        made.venue.silent_cancel = True
        await send(made)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        assert made.venue.requests == ["place", "cancel", "find", "place"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"order_id": 9, "new_price": "1"}, "order_not_found"),
        ({"order_id": 1, "new_price": "100"}, None),
        ({"order_id": 1, "new_price": "105", "validate": True}, None),
        ({"order_id": 2, "new_price": "105"}, "invalid_order_state"),
        ({"order_id": 3, "new_price": "105"}, "validation_error"),
    ],
)
async def test_what_is_not_to_be_changed_asks_the_venue_nothing(
    dsn: str, body: dict[str, Any], expected: str | None
) -> None:
    async with trading(dsn) as made:
        await send(made)
        await send(made)
        await made.run("cancel_order", order_id=2)
        await send(made, order_type="stop", price=None, trigger_price="90")
        before = len(made.venue.requests)
        assert code(await made.run("change_order", **body)) == expected
        assert len(made.venue.requests) == before


@NATIVE
async def test_changes_at_once_do_not_pass_together_what_one_after_the_other_may_not(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        await send(made)
        made.book.risk = replace(made.book.risk, max_position_notional=Decimal(1000))
        wanted = [made.run("change_order", order_id=order_id, new_qty="9") for order_id in (1, 2)]
        answers = await asyncio.gather(*wanted)
        assert [code(answer) for answer in answers] == [None, "risk_blocked"]
        assert [made.order(1).qty, made.order(2).qty] == [9, 1]
        assert (await made.run("change_order", order_id=1, new_qty="1")).ok
        assert (await made.run("change_order", order_id=2, new_qty="9")).ok  # none is under way that counts any more


@NATIVE
async def test_a_change_that_makes_room_makes_it_once_it_is_done(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made, qty="9")
        await send(made)
        made.book.risk = replace(made.book.risk, max_position_notional=Decimal(1000))
        wanted = [made.run("change_order", order_id=1, new_qty="1"), made.run("change_order", order_id=2, new_qty="9")]
        assert [code(answer) for answer in await asyncio.gather(*wanted)] == [None, "risk_blocked"]
        assert (await made.run("change_order", order_id=2, new_qty="9")).ok


@NATIVE
@pytest.mark.parametrize("order_type", [OrderType.STOP, OrderType.STOP_LIMIT])
async def test_a_stop_whose_trigger_nobody_knows_is_not_created_anew(
    dsn: str, native: bool, order_type: OrderType
) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        made.book.create(
            order(order_type=order_type, reason="external", exchange_order_id="x1", state=OrderState.SUBMITTED)
        )
        assert code(await made.run("change_order", order_id=1, new_qty="2")) == "unsupported_action"
        assert not made.venue.requests
