"""What the venue tells by itself: states, trades, ends that come before their trades, and what belongs to nobody."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from oms.desk.hearing import claim
from oms.model import OrderState
from oms.venues.base import VenueOrder, VenueTrade
from tests.oms import orders_made
from tests.oms.desk.desks import Setting, setting
from tests.oms.desk.scripted_venue import ScriptedVenue


def said(status: str = "open", filled: str = "0", **changes: object) -> VenueOrder:
    resting = ScriptedVenue().external("c1")
    return replace(resting, exchange_order_id="x1", status=status, filled=Decimal(filled), **changes)


def create(made: Setting, **changes: object) -> None:
    made.book.create(orders_made.order(1, **changes))


async def test_states_and_trades_are_written_down_and_told(dsn: str) -> None:
    async with setting(dsn) as made:
        create(made)
        made.hearing.on_order(said())
        made.hearing.on_trade(orders_made.trade(qty="0.4"))
        made.hearing.on_trade(orders_made.trade(qty="0.4"))  # once however often it is told
        made.hearing.on_order(said("canceled", "0.4"))
        await made.desk.commit()
        assert (made.order().state, made.order().filled) == (OrderState.CANCELED, Decimal("0.4"))
        assert [event.event for event in made.events if event.channel == "deals"] == ["deal_created"]


async def test_an_end_that_claims_more_than_is_booked_waits_for_the_deals(dsn: str) -> None:
    async with setting(dsn) as made:
        create(made)
        made.hearing.on_order(said("filled", "1"))
        assert made.order().state is OrderState.SUBMITTED
        assert made.hearing.awaits_deals(1)
        made.hearing.on_trade(orders_made.trade(qty="1"))
        assert made.order().state is OrderState.FILLED
        assert not made.hearing.awaits_deals(1)
        await made.desk.commit()


async def test_a_fill_of_an_order_that_was_over_puts_it_in_doubt(dsn: str) -> None:
    async with setting(dsn) as made:
        doubted: list[int] = []
        made.desk.on_doubt = doubted.append
        create(made)
        made.hearing.on_order(said())
        made.hearing.on_order(said("canceled"))
        made.hearing.on_trade(orders_made.trade(qty="0.4"))
        assert (made.order().state, made.order().flags) == (OrderState.PARTIALLY_FILLED, ("late_fill",))
        assert doubted == [1]
        await made.desk.commit()


async def test_what_cannot_be_of_the_order_is_not_booked(dsn: str) -> None:
    async with setting(dsn) as made:
        doubted: list[int] = []
        made.desk.on_doubt = doubted.append
        create(made)
        made.hearing.on_trade(orders_made.trade(qty="-1", client_order_id="c1"))
        assert made.order().filled == 0
        assert doubted == [1]
        await made.desk.commit()


async def test_what_is_of_no_order_in_memory_is_handed_on(dsn: str) -> None:
    async with setting(dsn) as made:
        foreign: list[VenueOrder | VenueTrade] = []
        made.hearing.on_foreign = foreign.append
        made.hearing.on_order(said())
        made.hearing.on_trade(orders_made.trade())
        assert [type(each) for each in foreign] == [VenueOrder, VenueTrade]


@pytest.mark.parametrize(("replaces", "qty", "filled", "whole"), [(0, "10", "3", "3"), (1, "7", "2", "5")])
def test_what_was_created_anew_counts_what_was_filled_before(replaces: int, qty: str, filled: str, whole: str) -> None:
    order = orders_made.order(1, qty=Decimal(10), replaces=replaces)
    assert claim(order, said(filled=filled, qty=Decimal(qty))) == Decimal(whole)
