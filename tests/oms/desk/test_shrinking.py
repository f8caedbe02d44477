"""Reduce-only orders that rest never go beyond what is left of their position, however that has become smaller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from oms.desk import positions as positions_module
from oms.desk import shrinking as shrinking_module
from oms.desk.changing import Changing
from oms.desk.shrinking import Shrinking
from oms.model import Order, OrderState, Side
from tests.oms.desk.desks import ADMIN
from tests.oms.desk.holding import SYMBOL, Holding, holding
from tests.oms.desk.scripted_venue import Fault
from tests.oms.orders_made import order, trade
from tests.waiting import until


@asynccontextmanager
async def shrinking(dsn: str, **account: Any) -> AsyncIterator[Holding]:
    """A desk whose reduce-only orders are looked after, as the service joins them."""
    async with holding(dsn, **account) as held:
        held.made.handlers |= Changing(held.desk, held.made.hearing, held.made.settler, held.orders).handlers
        watched = Shrinking(held.desk, held.orders.cancel)
        held.desk.on_positions, held.desk.on_orders = watched.changed, watched.ordered
        watched.start()
        try:
            yield held
        finally:
            watched.stop()


async def resting(held: Holding, qty: str, side: str = "sell", **body: Any) -> Order:
    """A reduce-only order away from the market."""
    price = "130" if side == "sell" else "70"
    asked = {"symbol": SYMBOL, "side": side, "order_type": "limit", "price": price, "qty": qty, "reduce_only": True}
    result = await held.run("send_order", **{**asked, **body})
    assert result.order_id is not None, result
    return held.book.orders[result.order_id]


def states(held: Holding, *orders: Order) -> list[OrderState]:
    return [held.book.orders[order.id].state for order in orders]


@pytest.mark.parametrize("qty", ["2", "3"])
@pytest.mark.parametrize(("side", "against"), [("buy", "sell"), ("sell", "buy")])
async def test_closed_or_turned_in_another_way_a_position_leaves_no_order_that_would_open_one(
    dsn: str, side: str, against: str, qty: str
) -> None:
    async with shrinking(dsn) as held:
        await held.trade(side, "2")
        reducing = await resting(held, "2", against)
        plain = await resting(held, "2", against, reduce_only=False)
        held.venue.fill_on_place.append(Decimal(qty))
        await held.run("send_order", symbol=SYMBOL, side=against, order_type="limit", price="100", qty=qty)
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])
        assert states(held, plain) == [OrderState.SUBMITTED]


async def test_of_several_the_newest_that_are_too_much_go(dsn: str) -> None:
    async with shrinking(dsn) as held:
        await held.trade("buy", "4")
        orders = [await resting(held, qty) for qty in ("1", "2", "1")]
        await held.trade("sell", "2")
        await until(lambda: states(held, orders[1]) == [OrderState.CANCELED])
        assert states(held, orders[0], orders[2]) == [OrderState.SUBMITTED] * 2
        await held.trade("sell", "1.5")
        await until(lambda: len(held.book.open_orders) == 0)


async def test_what_an_order_fills_itself_leaves_it_where_it_is(dsn: str) -> None:
    async with shrinking(dsn) as held:
        position_id = await held.trade("buy", "2")
        reducing = await resting(held, "2")
        assert reducing.exchange_order_id is not None
        for left in ("1.5", "1"):
            held.venue.fill(reducing.exchange_order_id, "0.5")
            await until(lambda left=left: held.book.positions[position_id].qty == Decimal(left))  # type: ignore[misc]  # a default
        await held.desk.finish(1)
        assert states(held, reducing) == [OrderState.PARTIALLY_FILLED]
        assert "cancel" not in held.venue.requests


async def test_netted_here_it_counts_too(dsn: str) -> None:
    async with shrinking(dsn, position_mode="hedge") as held:
        long, short = await held.trade("buy", "2"), await held.trade("sell", "2")
        reducing = await resting(held, "1", position_id=long)
        assert (await held.run("close_by", position_id_a=long, position_id_b=short, qty="1")).ok
        await held.desk.finish(1)
        assert states(held, reducing) == [OrderState.SUBMITTED]
        assert (await held.run("close_by", position_id_a=long, position_id_b=short)).ok
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])


async def test_a_cancel_that_fails_is_tried_again(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking_module, "RETRY_S", 0.0)
    async with shrinking(dsn) as held:
        await held.trade("buy", "2")
        reducing = await resting(held, "2")
        held.venue.script("cancel", Fault.REFUSED, Fault.REFUSED)
        await held.trade("sell", "1")
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])
        assert held.venue.requests.count("cancel") == 3


def open_at_venue(held: Holding) -> list[tuple[str | None, Decimal]]:
    """What may still be executed there, by its name."""
    return [
        (each.client_order_id, each.qty - each.filled) for each in held.venue.orders.values() if each.status == "open"
    ]


async def test_what_closes_a_position_is_not_canceled_for_an_older_one_in_doubt(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "CANCEL_WAIT_S", 0.01)
    async with shrinking(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.venue.streaming = False
        held.venue.script("place", Fault.LOST)
        older = asyncio.create_task(resting(held, "1"))
        await until(lambda: any(each.state is OrderState.UNKNOWN for each in held.book.open_orders.values()))
        (older_id,) = held.book.open_orders
        held.venue.streaming = True
        closer = await held.run("close_position", position_id=position_id, order_type="limit", price="105")
        assert closer.order_id is not None, closer
        held.venue.fill(held.book.orders[closer.order_id].exchange_order_id or "", "0.5")
        await until(lambda: held.book.positions[position_id].qty == Decimal("1.5"))
        await held.made.settler.settle(older_id)
        await older
        await until(lambda: held.book.orders[older_id].state is OrderState.CANCELED)
        await until(lambda: open_at_venue(held) == [(f"tw-e1-{closer.order_id}", Decimal("1.5"))])
        assert held.venue.requests.count("cancel") == 1


async def test_a_change_that_makes_it_larger_than_what_is_left_by_then_ends_it(dsn: str) -> None:
    async with shrinking(dsn) as held:
        position_id = await held.trade("buy", "2")
        reducing = await resting(held, "1")
        held.venue.gate.clear()
        changing = asyncio.create_task(held.run("change_order", order_id=reducing.id, new_qty="2"))
        await until(lambda: states(held, reducing) == [OrderState.PENDING_REPLACE])
        held.book.create(order(77, side=Side.SELL, client_order_id="plain"))
        held.made.hearing.on_trade(trade(side=Side.SELL, client_order_id="plain", exchange_order_id="p1"))
        assert held.book.positions[position_id].qty == 1
        held.venue.gate.set()
        result = await changing
        assert result.error is not None
        assert result.error["code"] == "reduce_only_violation"
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])


async def test_a_closing_order_that_is_made_larger_has_the_place_of_the_others(dsn: str) -> None:
    async with shrinking(dsn) as held:
        position_id = await held.trade("buy", "2")
        closer = await held.run("close_position", position_id=position_id, order_type="limit", price="120", qty="1")
        reducing = await resting(held, "1")
        assert (await held.run("change_order", order_id=closer.order_id, new_qty="2")).ok
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])
        assert [qty for _, qty in open_at_venue(held)] == [2]


async def test_one_whose_cancel_was_pretended_is_canceled_again_when_it_is_seen_to_be_open(dsn: str) -> None:
    async with shrinking(dsn) as held:
        position_id = await held.trade("buy", "2")
        reducing = await resting(held, "2")
        held.venue.script("cancel", Fault.PRETENDED)
        held.book.create(order(77, side=Side.SELL, qty=Decimal(2), client_order_id="plain"))
        held.made.hearing.on_trade(trade(qty="2", side=Side.SELL, client_order_id="plain", exchange_order_id="p1"))
        assert position_id not in held.book.positions
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])
        there = held.venue.orders[reducing.exchange_order_id or ""]
        assert there.status == "open"
        held.clock.advance(6)
        held.made.hearing.on_order(there)
        assert await held.made.settler.settle(reducing.id)
        await until(lambda: not open_at_venue(held) and states(held, reducing) == [OrderState.CANCELED])


async def test_given_to_a_strategy_that_holds_nothing_it_goes(dsn: str) -> None:
    async with shrinking(dsn, position_mode="strategy_netting") as held:
        held.desk.strategies = frozenset({5})
        await held.trade("buy", "2")
        reducing = await resting(held, "2")
        await held.positions.reassign(ADMIN, 5, order_ids=[reducing.id], position_ids=[])
        await until(lambda: states(held, reducing) == [OrderState.CANCELED])
