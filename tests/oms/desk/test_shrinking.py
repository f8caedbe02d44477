"""Reduce-only orders that rest never go beyond what is left of their position, however that has become smaller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from oms.desk import shrinking as shrinking_module
from oms.desk.shrinking import Shrinking
from oms.model import Order, OrderState
from tests.oms.desk.holding import SYMBOL, Holding, holding
from tests.oms.desk.scripted_venue import Fault
from tests.waiting import until


@asynccontextmanager
async def shrinking(dsn: str, **account: Any) -> AsyncIterator[Holding]:
    """A desk whose reduce-only orders are looked after, as the service joins them."""
    async with holding(dsn, **account) as held:
        watched = Shrinking(held.desk, held.orders.cancel)
        held.desk.on_positions = watched.changed
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
