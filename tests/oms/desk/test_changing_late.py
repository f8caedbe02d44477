"""Changes of which something comes late: it is not taken for what another one came to, and nothing counts twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from msgspec.structs import replace

from oms.model import OrderState, OrderType, TradingState
from tests.oms.desk.desks import Setting
from tests.oms.desk.scripted_venue import Fault
from tests.oms.desk.trading_made import code, send, trading
from tests.waiting import until


async def changed_once(made: Setting) -> None:
    """Order 1, of 3: 1 was filled before it was created anew with what was left."""
    await send(made, qty="3")
    made.venue.fill("x1", "1")
    await until(lambda: made.order().filled == 1)
    assert (await made.run("change_order", order_id=1, new_price="101")).ok


async def test_a_second_change_whose_cancel_is_done_late_is_not_taken_for_failed(dsn: str) -> None:
    async with trading(dsn) as made:
        await changed_once(made)
        made.venue.streaming = False
        made.venue.script("cancel", Fault.LATE)
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="102"))
        await until(lambda: made.venue.requests.count("cancel") == 2 and not made.desk.is_busy(1))
        assert not await made.settler.settle(1)
        assert made.order().state is OrderState.PENDING_REPLACE  # it is as it was, and may be canceled yet
        made.venue.arrive()
        made.clock.advance(7)
        assert await made.settler.settle(1)
        assert [made.order().state, made.order().filled] == [OrderState.CANCELED, 1]
        assert code(await changing) == "order_not_found"


async def test_a_second_change_of_which_nothing_was_done_leaves_it_with_all_its_quantity(dsn: str) -> None:
    async with trading(dsn) as made:
        await changed_once(made)
        made.venue.script("cancel", Fault.DROPPED)
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="102"))
        await until(lambda: made.venue.requests.count("cancel") == 2 and not made.desk.is_busy(1))
        assert not await made.settler.settle(1)
        made.clock.advance(7)
        assert await made.settler.settle(1)
        order = made.order()
        assert [order.state, order.qty, order.price] == [OrderState.PARTIALLY_FILLED, 3, 101]
        assert code(await changing) == "outcome_unknown"


async def test_what_an_even_earlier_self_fills_meanwhile_is_not_ordered_again(dsn: str) -> None:
    async with trading(dsn) as made:
        await changed_once(made)
        made.venue.gate.clear()
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="102"))
        await until(lambda: made.order().state is OrderState.PENDING_REPLACE)
        made.venue.fill("x1", "0.5")
        await until(lambda: made.order().filled == Decimal("1.5"))
        made.venue.gate.set()
        assert (await changing).ok
        (now,) = [each for each in made.venue.orders.values() if each.status == "open"]
        assert [now.qty, made.order().qty, made.order().remaining] == [Decimal("1.5"), 3, Decimal("1.5")]


@pytest.mark.parametrize("filled", ["0.5", "2"])
async def test_what_its_new_self_filled_is_not_counted_twice_when_its_former_self_is_forgotten(
    dsn: str, filled: str
) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = True
        await send(made, qty="2")
        made.venue.script("replace", Fault.LOST)
        made.venue.fill_on_place.append(Decimal(filled))
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="101"))
        await until(lambda: made.order().filled == Decimal(filled) and not made.desk.is_busy(1))
        del made.venue.orders["x1"]
        await made.settler.settle(1)
        assert [made.order().price, made.order().qty, made.order().filled] == [101, 2, Decimal(filled)]
        assert made.order().is_open == (filled != "2")
        assert (await changing).ok


async def test_what_is_heard_while_an_answer_is_written_down_is_asked_about_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading(dsn) as made:
        await changed_once(made)
        commit, told = made.desk.commit, False

        def heard_meanwhile() -> asyncio.Future[None]:
            nonlocal told
            durable = commit()
            if not told:
                told = True
                made.venue.fill("x1", "0.5")
                made.venue.deliver()
            return durable

        monkeypatch.setattr(made.desk, "commit", heard_meanwhile)
        assert not await made.settler.settle(1)
        assert [made.order().qty, made.order().remaining] == [3, Decimal("1.5")]
        assert await made.settler.settle(1)
        assert [made.order().qty, made.order().remaining] == [Decimal("3.5"), 2]


def halt(made: Setting) -> None:
    made.book.risk = replace(made.book.risk, trading_state=TradingState.HALTED)


@pytest.mark.parametrize("native", [True, False])
async def test_what_is_halted_while_it_is_written_down_stays_as_it_was(dsn: str, native: bool) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made)
        async with made.nothing_written():
            changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="101"))
            await until(lambda: made.order().state is OrderState.PENDING_REPLACE)
            halt(made)
        assert code(await changing) == "risk_blocked"
        assert [made.order().state, made.order().price] == [OrderState.SUBMITTED, 100]
        assert made.venue.requests == ["place"]


async def test_what_is_halted_between_cancel_and_create_is_not_created(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.gate.clear()
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="101"))
        await until(lambda: made.venue.requests == ["place", "cancel"])
        halt(made)
        made.venue.gate.set()
        result = await changing
        assert result.error is not None
        assert (result.error["code"], result.error["details"]["state"]) == ("risk_blocked", OrderState.CANCELED)
        assert (made.order().state, made.venue.placed) == (OrderState.CANCELED, ["tw-e1-1"])


async def test_a_price_that_is_old_by_then_loses_no_order_that_was_canceled_to_be_created_anew(dsn: str) -> None:
    async with trading(dsn) as made:
        made.book.risk = replace(made.book.risk, price_collar_bps=500)
        made.market.set("BTC/USDT", "99", "101")
        await send(made)
        made.venue.gate.clear()
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="101"))
        await until(lambda: made.venue.requests == ["place", "cancel"])
        made.clock.advance(25)
        made.venue.gate.set()
        assert (await changing).ok


@pytest.mark.parametrize("kind", [OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT])
@pytest.mark.parametrize("native", [True, False])
async def test_what_was_triggered_does_not_wait_for_its_trigger_again(dsn: str, native: bool, kind: OrderType) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made, order_type=kind, trigger_price="90")
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        made.venue.fill(str(made.order().exchange_order_id), "0.25")
        await until(lambda: bool(made.order().filled))
        for price in ("102", "103"):
            assert (await made.run("change_order", order_id=1, new_price=price)).ok
        kinds = [order.order_type for order in made.venue.orders.values()]
        assert kinds == [kind, kind, OrderType.LIMIT, OrderType.LIMIT]
        assert [made.order().price, made.order().qty, made.order().filled] == [103, 1, Decimal("0.25")]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("kind", "side", "at", "beyond"),
    [
        (OrderType.STOP_LIMIT, "sell", ("100", "102"), ("97", "101")),
        (OrderType.STOP_LIMIT, "buy", ("95", "99"), ("98", "103")),
        (OrderType.TAKE_PROFIT_LIMIT, "sell", ("95", "99"), ("98", "103")),
        (OrderType.TAKE_PROFIT_LIMIT, "buy", ("100", "102"), ("97", "101")),
    ],
)
async def test_what_the_market_has_triggered_is_not_canceled_for_a_change_that_would_be_refused(
    dsn: str, native: bool, kind: OrderType, side: str, at: tuple[str, str], beyond: tuple[str, str]
) -> None:
    async with trading(dsn) as made:
        made.venue.can_replace = native
        await send(made, order_type=kind, side=side, trigger_price="98")
        made.market.set("BTC/USDT", *at)
        assert (await made.run("change_order", order_id=1, new_price="101")).ok
        made.market.set("BTC/USDT", *beyond)
        requests = len(made.venue.requests)
        assert code(await made.run("change_order", order_id=1, new_price="102")) == "invalid_order_state"
        assert [made.order().state, len(made.venue.requests)] == [OrderState.SUBMITTED, requests]
        made.clock.advance(25)  # where the market is, nobody knows any more
        assert (await made.run("change_order", order_id=1, new_price="102")).ok
