"""A reached stop beside orders in doubt: kept waiting by none that would rest, and no more is closed than there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from oms.desk import positions as positions_module
from oms.model import Order, OrderState
from oms.venues.base import OnTurn, VenueOrder
from tests.oms.desk.holding import SYMBOL, Holding
from tests.oms.desk.scripted_venue import Fault
from tests.oms.desk.test_stops import closers, guarded
from tests.waiting import until


@asynccontextmanager
async def in_doubt(held: Holding, **terms: Any) -> AsyncIterator[int]:
    """A sell that never arrived, while the venue does not say so: its id. Afterwards it says so."""
    held.venue.script("place", Fault.DROPPED)
    held.venue.script("find", *[Fault.DROPPED] * 1_000)
    terms = {"symbol": SYMBOL, "side": "sell", "qty": "2", "reduce_only": True, **terms}
    sending = asyncio.create_task(held.run("send_order", **terms))
    await until(lambda: any(each.state is OrderState.UNKNOWN for each in held.book.open_orders.values()))
    (order_id,) = [each.id for each in held.book.open_orders.values() if each.state is OrderState.UNKNOWN]
    yield order_id
    held.venue.behave()
    for _ in range(2):
        held.clock.advance(7)
        await held.made.settler.settle(order_id)
    assert not (await sending).ok


async def test_an_order_in_doubt_that_would_rest_keeps_no_stop_waiting(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "CANCEL_WAIT_S", 0.01)
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        async with in_doubt(held, order_type="limit", price="150") as order_id:
            held.venue.fill_on_place.append(Decimal(2))
            held.market.set(SYMBOL, "89", "90")
            await until(lambda: not held.book.positions)
            assert held.book.orders[order_id].state is OrderState.UNKNOWN
        assert [each.qty for each in closers(held)] == [Decimal(2)]


async def test_one_that_arrived_is_canceled_as_soon_as_it_is_known(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions_module, "CANCEL_WAIT_S", 0.01)
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.venue.streaming = False
        held.venue.script("place", Fault.LOST)
        terms: dict[str, Any] = {"symbol": SYMBOL, "side": "sell", "order_type": "limit", "price": "150", "qty": "2"}
        sending = asyncio.create_task(held.run("send_order", reduce_only=True, **terms))
        await until(lambda: any(each.state is OrderState.UNKNOWN for each in held.book.open_orders.values()))
        (order_id,) = held.book.open_orders
        held.venue.streaming = True
        held.venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)
        await held.made.settler.settle(order_id)
        assert (await sending).ok
        await until(lambda: held.book.orders[order_id].state is OrderState.CANCELED)


async def test_what_an_order_in_doubt_may_have_closed_is_not_closed_again_and_that_is_told(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "CANCEL_WAIT_S", 0.01)
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        async with in_doubt(held, order_type="market") as order_id:
            held.market.set(SYMBOL, "89", "90")
            await until(lambda: bool(held.told("stop_refused")))
            (told,) = held.told("stop_refused")
            assert msgspec.json.decode(told)["error"]["code"] == "position_close_in_progress"
            assert msgspec.json.decode(told)["error"]["details"] == {"order_id": order_id}
            assert not closers(held)
            held.venue.fill_on_place.append(Decimal(2))
            held.clock.advance(-14)  # the price is as fresh as it was by the time it is known
        await until(lambda: not held.book.positions)  # at once
        assert [each.qty for each in closers(held)] == [Decimal(2)]


async def test_a_change_under_way_may_have_closed_it_at_the_price_it_is_to_have(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "CANCEL_WAIT_S", 0.01)
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        resting = {"symbol": SYMBOL, "side": "sell", "order_type": "limit", "price": "150", "qty": "2"}
        order_id = (await held.run("send_order", reduce_only=True, **resting)).order_id
        assert order_id is not None
        held.venue.script("find", *[Fault.DROPPED] * 1_000)
        held.desk.record_change(replace(held.book.orders[order_id], price=Decimal(85)), None)
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: bool(held.told("stop_refused")))
        assert not closers(held)
        held.venue.behave()
        for _ in range(2):
            held.clock.advance(7)
            await held.made.settler.settle(order_id)  # it was not carried out
        held.clock.advance(-14)
        held.venue.fill_on_place.append(Decimal(2))
        await until(lambda: not held.book.positions)
        assert [each.qty for each in closers(held)] == [Decimal(2)]


async def test_a_cancel_that_is_refused_keeps_no_stop_waiting(dsn: str) -> None:
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        resting = await held.run("send_order", symbol=SYMBOL, side="sell", order_type="limit", price="130", qty="2")
        assert resting.order_id is not None
        held.venue.script("cancel", Fault.REFUSED)
        held.venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)
        assert held.book.orders[resting.order_id].is_open


@pytest.mark.parametrize("stopped", [True, False])
async def test_what_is_sold_while_a_closing_waits_for_its_turn_at_the_venue_is_not_closed_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        plain = {"symbol": SYMBOL, "side": "sell", "order_type": "limit", "qty": "0.5", "price": "130"}
        resting = held.book.orders[(await held.run("send_order", **plain)).order_id or 0]
        place, told = held.venue.place, held.venue.told_at_once

        async def waits(order: Order, name: str, on_turn: OnTurn) -> VenueOrder:
            monkeypatch.setattr(held.venue, "place", place)
            held.venue.told_at_once = True
            held.venue.fill(resting.exchange_order_id or "", "0.5")
            held.venue.told_at_once = told
            held.venue.fill_on_place.append(Decimal("1.5"))
            return await place(order, name, on_turn)

        monkeypatch.setattr(held.venue, "place", waits)
        if stopped:
            held.market.set(SYMBOL, "85", "86")
        else:
            assert await held.refusal("close_position", position_id=position_id) == "reduce_only_violation"
            assert held.book.positions[position_id].qty == Decimal("1.5")
            assert (await held.run("close_position", position_id=position_id)).ok
        await until(lambda: not held.book.positions)
        tried = [(each.qty, each.state) for each in closers(held, "close_position")]
        assert tried == [(2, OrderState.REJECTED), (Decimal("1.5"), OrderState.FILLED)]
        assert not held.told("stop_refused")
