"""What all commands share: the order's lock, who is told of a change, and what an order is held against."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from oms.errors import OmsError
from oms.model import OrderState, OrderType, Position
from oms.states import Absent, Accepted, CancelFailed, CancelRequested, Refused
from tests.oms import orders_made
from tests.oms.desk.desks import Clock, setting
from tests.oms.desk.trading_made import send, trading
from tests.oms.orders_made import SPOT, T0_NS
from tests.waiting import until

TURNS = 20  # of the loop: many more than a task takes to its first request, when nothing keeps it


def accepted(exchange_order_id: str = "x1") -> Accepted:
    return Accepted(exchange_order_id=exchange_order_id, time_ns=T0_NS)


async def test_who_waits_for_a_change_is_told_with_the_commit(dsn: str) -> None:
    async with setting(dsn) as made:
        made.book.create(orders_made.order(1))
        made.desk.commit()
        waiting = asyncio.create_task(made.desk.changed(1))
        await asyncio.sleep(0)
        made.desk.record(1, accepted())
        assert not waiting.done()
        await made.desk.commit()
        assert (await waiting).state is OrderState.SUBMITTED
        assert [event.event for event in made.events] == ["order_created", "order_updated"]


async def test_what_cannot_be_true_is_looked_up_instead_of_written_down(dsn: str) -> None:
    async with setting(dsn) as made:
        doubted: list[int] = []
        made.desk.on_doubt = doubted.append
        made.book.create(orders_made.order(1))
        made.desk.record(1, accepted())
        made.desk.record(1, CancelRequested())
        assert made.desk.record(1, Refused(code="x", message="x")).state is OrderState.PENDING_CANCEL
        assert doubted == [1]
        made.desk.record(1, CancelFailed())
        assert made.order().state is OrderState.SUBMITTED


async def test_an_id_that_the_venue_gives_again_is_of_the_order_that_waits_for_one(dsn: str) -> None:
    async with setting(dsn) as made:
        for number in (1, 2):
            made.book.create(orders_made.order(number))
        made.desk.record(1, accepted())
        for happening in (CancelRequested(), Absent()):  # whether it is known or not that the venue forgot the former
            for named, number in ((None, 1), ("stranger", 1), ("c1", 1), ("c2", 2)):
                assert made.desk.order_named(SPOT.symbol, "x1", named) == made.order(number)
            made.desk.record(1, happening)
        made.desk.record(2, accepted())
        assert made.desk.order_named(SPOT.symbol, "x1", None) == made.order(2)
        await made.desk.commit()


async def test_an_order_is_busy_while_it_is_locked(dsn: str) -> None:
    async with setting(dsn) as made:
        assert not made.desk.is_busy(1)
        async with made.desk.lock(1):
            assert made.desk.is_busy(1)
            assert not made.desk.is_busy(2)
        assert not made.desk.is_busy(1)


@pytest.mark.parametrize("request_", ["place", "cancel", "replace"])
async def test_while_a_request_is_under_way_nothing_else_is_asked_about_its_order(dsn: str, request_: str) -> None:
    """Not even what became of it: the venue would say that there is nothing, because it is not there yet."""
    async with trading(dsn) as made:
        made.venue.can_replace = True
        if request_ != "place":
            await send(made)
        made.venue.gate.clear()
        before = [*made.venue.requests, request_]
        asked = {
            "place": lambda: send(made),
            "cancel": lambda: made.run("cancel_order", order_id=1),
            "replace": lambda: made.run("change_order", order_id=1, new_price="101"),
        }
        first = asyncio.create_task(asked[request_]())
        await until(lambda: made.venue.requests == before)
        others = [
            asyncio.create_task(made.settler.settle(1)),
            asyncio.create_task(made.run("change_order", order_id=1, new_price="102")),
            asyncio.create_task(made.run("cancel_order", order_id=1)),
        ]
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert made.venue.requests == before
        made.venue.gate.set()
        assert (await first).ok
        await asyncio.gather(*others)
        assert made.order().state is OrderState.CANCELED


async def test_what_fails_in_the_background_fails_alone(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with setting(dsn) as made:
        made.desk.spawn(fail(OmsError("engine_unavailable", "gone")), "one")
        made.desk.spawn(fail(ValueError("broken")), "two")
        made.desk.spawn(asyncio.Event().wait(), "endless")
        await made.desk.finish(0.01)
        await made.desk.finish(0.01)


async def test_orders_of_the_last_second_are_counted(dsn: str) -> None:
    async with setting(dsn, clock=Clock()) as made:
        made.book.risk = replace(made.book.risk, max_orders_per_s=2)
        order = orders_made.order(1)
        for _ in range(2):
            made.desk.check(order, SPOT, None)
            made.desk.count_sent()
        with pytest.raises(OmsError) as refused:
            made.desk.check(order, SPOT, None)
        assert refused.value.code == "rate_limited"
        made.clock.advance(1.1)
        made.desk.check(order, SPOT, None)


@pytest.mark.parametrize(("stale", "code"), [(False, None), (True, "stale_market_data")])
async def test_a_market_order_needs_a_fresh_price(dsn: str, stale: bool, code: str | None) -> None:
    async with setting(dsn) as made:
        made.market.set("BTC/USDT", "99", "101", stale=stale)
        order = orders_made.order(1, order_type=OrderType.MARKET, price=None)
        quote = await made.desk.quote("BTC/USDT")
        error: Any = None
        try:
            made.desk.check(order, SPOT, quote)
        except OmsError as refused:
            error = refused.code
        assert error == code


async def test_an_order_is_found_by_any_name_it_has_had(dsn: str) -> None:
    async with setting(dsn) as made:
        made.book.create(orders_made.order(1, client_order_id="mine"))
        anew = made.desk.name_of(orders_made.order(1, replaces=1))
        for client_order_id in ("mine", anew):
            found = made.desk.order_named("BTC/USDT", "x9", client_order_id)
            assert found is not None
            assert found.id == 1
        assert made.desk.order_named("BTC/USDT", "x9", None) is None
        assert made.desk.order_named("ETH/USDT", "x9", "mine") is None  # somebody else's
        made.desk.record(1, accepted("x9"))
        assert made.desk.order_named("BTC/USDT", "x9", None) is not None
        await made.desk.commit()


async def test_positions_that_change_are_told_of_with_the_commit(dsn: str) -> None:
    async with setting(dsn) as made:
        told: list[Position] = []
        made.desk.on_positions = told.extend
        made.book.create(orders_made.order(1, client_order_id="mine"))
        made.hearing.on_trade(orders_made.trade(qty="0.4", client_order_id="mine"))
        assert [position.qty for position in told] == [Decimal("0.4")]
        await made.desk.commit()
        assert len(told) == 1


async def test_a_strategy_that_the_account_has_not_is_refused_by_the_name_of_the_field(dsn: str) -> None:
    async with setting(dsn) as made:
        made.desk.strategies = frozenset({5})
        for there in (0, 5):
            made.desk.require_strategy(there, "field")
        with pytest.raises(OmsError) as raised:
            made.desk.require_strategy(6, "field")
        assert (raised.value.code, raised.value.details) == ("validation_error", {"field": "field"})
