"""Orders are sent and canceled: committed first, asked for once, and nothing is lost when an answer is."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal

import pytest
from msgspec.structs import replace

from oms.errors import OmsError
from oms.model import Order, OrderState, Permission, PositionMode, Principal, TradingState
from oms.store import history
from oms.store.pool import Pool
from oms.venues import base
from oms.venues.base import VenueOrder
from tests.oms.desk.desks import Setting
from tests.oms.desk.scripted_venue import Fault
from tests.oms.desk.trading_made import code, send, trading
from tests.waiting import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in doubt is asked about at once, and two misses need not be apart."""
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    monkeypatch.setattr("oms.desk.settling.APART_NS", 0)


def told(made: Setting) -> list[str]:
    return [event.event for event in made.events]


async def test_sends_once_and_answers_when_the_venue_has_it(dsn: str, pool: Pool) -> None:
    async with trading(dsn) as made:
        answer = await send(made, client_order_id="mine")
        assert (answer.ok, answer.command_id, answer.order_id) == (True, 1, 1)
        assert made.venue.placed == ["mine"]
        assert made.order().state is OrderState.SUBMITTED
        assert told(made) == ["order_created", "order_updated"]
        stored = (await history.orders_by_ids(pool, [1]))[1]
        assert stored == made.order()


async def test_nothing_is_sent_before_it_is_committed(dsn: str, pool: Pool) -> None:
    async with trading(dsn) as made:
        made.venue.gate.clear()
        sending = asyncio.create_task(send(made))
        await until(lambda: made.venue.requests == ["place"])
        assert await pool.fetchval("SELECT state FROM oms_orders") == "PENDING_SUBMIT"
        assert await pool.fetchval("SELECT status FROM oms_commands") == "running"
        made.venue.gate.set()
        assert (await sending).ok


async def test_what_cannot_be_committed_is_not_sent(dsn: str) -> None:
    async with trading(dsn) as made:
        await made.journal_lost()
        answer = await send(made)
        assert code(answer) == "engine_unavailable"
        assert made.venue.placed == []


async def test_a_derived_name_says_which_order_it_is(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        assert made.venue.placed == [made.order().client_order_id] == ["tw-e1-1"]


@pytest.mark.parametrize("told_at_once", [True, False])
@pytest.mark.parametrize("fault", [Fault.NONE, Fault.LOST, Fault.CRASH])
async def test_a_done_order_is_known_whatever_became_of_the_answer(dsn: str, fault: Fault, told_at_once: bool) -> None:
    async with trading(dsn) as made:
        made.venue.told_at_once = told_at_once
        made.venue.fill_on_place.append(Decimal("0.4"))
        made.venue.script("place", fault)
        answer = await send(made)
        assert answer.ok
        await until(lambda: made.order().filled == Decimal("0.4"))
        assert made.order().state is OrderState.PARTIALLY_FILLED
        assert len(made.venue.placed) == 1


async def test_an_order_that_never_arrived_is_rejected_by_evidence(dsn: str) -> None:
    async with trading(dsn) as made:
        made.venue.script("place", Fault.DROPPED)
        answer = await send(made)
        assert answer.error is not None
        assert answer.error["code"] == "exchange_error"  # nothing was lost but the request
        assert answer.error["details"] == {"state": OrderState.REJECTED}
        assert made.order().state is OrderState.REJECTED
        assert made.venue.placed == []


async def test_a_refusal_of_the_venue_is_final_and_told(dsn: str) -> None:
    async with trading(dsn) as made:
        made.venue.script("place", Fault.REFUSED)
        answer = await send(made)
        assert (code(answer), answer.order_id) == ("exchange_error", 1)
        assert made.order().state is OrderState.REJECTED
        assert told(made) == ["order_created", "order_updated", "command_failed"]


async def test_what_ccxt_calls_a_refusal_is_stored_and_told(dsn: str, pool: Pool) -> None:
    async with trading(dsn) as made:
        made.venue.script("place", Fault.REFUSED)
        answer = await send(made)
        assert answer.error is not None
        assert answer.error["details"] == {"exception": "MarketClosed", "state": OrderState.REJECTED}
        assert '"exception":"MarketClosed"' in bytes(made.events[-1].data).decode()
        stored = await pool.fetchval("SELECT result->'error'->'details'->>'exception' FROM oms_commands WHERE id = 1")
        assert stored == "MarketClosed"


async def test_a_refused_cancel_says_what_ccxt_calls_it(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.script("cancel", Fault.REFUSED)
        answer = await made.run("cancel_order", order_id=1)
        assert answer.error is not None
        assert answer.error["details"] == {"exception": "MarketClosed"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"symbol": "DOGE/USDT"}, "unknown_symbol"),
        ({"strategy_id": 9}, "validation_error"),
        ({"position_id": 9}, "position_not_found"),
        ({"order_type": "market", "price": None}, "stale_market_data"),
        ({"reduce_only": True}, "reduce_only_violation"),
    ],
)
async def test_what_may_not_be_sent_is_kept_as_a_refusal(
    dsn: str, pool: Pool, changes: dict[str, object], expected: str
) -> None:
    async with trading(dsn) as made:
        assert code(await send(made, **changes)) == expected
        assert await pool.fetchval("SELECT result -> 'error' ->> 'code' FROM oms_commands") == expected
        assert made.venue.requests == []


@pytest.mark.parametrize("mode", [PositionMode.NETTING, PositionMode.STRATEGY_NETTING, PositionMode.HEDGE])
async def test_an_order_names_no_position_of_another_strategy(dsn: str, mode: PositionMode) -> None:
    async with trading(dsn, position_mode=mode.value) as made:
        made.desk.strategies = frozenset({5, 7})
        made.venue.fill_on_place.append(Decimal(1))
        await send(made, strategy_id=7)
        await until(lambda: made.order().state is OrderState.FILLED)
        (position_id,) = made.book.positions
        some = Permission(account_id=1, can_trade=True, strategies=frozenset({5}))
        eve = Principal(user_id=3, user_name="eve", api_key_id=3, permissions={1: some})
        terms = {"side": "sell", "position_id": position_id, "validate": True}
        assert code(await send(made, principal=eve, strategy_id=5, **terms)) == "position_not_found"
        shared = mode is PositionMode.NETTING
        assert code(await send(made, strategy_id=5, **terms)) == (None if shared else "validation_error")
        assert (await send(made, strategy_id=7, **terms)).ok


async def test_trading_halted_lets_nothing_be_sent_and_everything_be_canceled(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.book.risk = replace(made.book.risk, trading_state=TradingState.HALTED)
        assert code(await send(made)) == "risk_blocked"
        assert (await made.run("cancel_order", order_id=1)).ok


async def test_trading_halted_lets_nothing_be_sent_that_is_still_being_written_down(dsn: str) -> None:
    async with trading(dsn) as made:
        made.book.risk = replace(made.book.risk, max_orders_per_s=1)
        async with made.nothing_written():
            sending = asyncio.create_task(send(made))
            await until(lambda: made.book.orders)
            made.book.risk = replace(made.book.risk, trading_state=TradingState.HALTED)
        assert code(await sending) == "risk_blocked"
        assert (made.venue.placed, made.order().state) == ([], OrderState.REJECTED)
        made.clock.advance(2)
        made.book.risk = replace(made.book.risk, trading_state=TradingState.ACTIVE)
        async with made.nothing_written():
            sending = asyncio.create_task(send(made))
            await until(lambda: 2 in made.book.orders)
            made.book.risk = replace(made.book.risk, max_open_orders=1)  # it is not one too many beside itself
        assert (await sending).ok


async def test_trading_halted_lets_nothing_be_sent_that_waits_for_its_turn_at_the_venue(dsn: str) -> None:
    async with trading(dsn) as made:
        made.venue.gate.clear()
        sending = asyncio.create_task(send(made))
        await until(lambda: made.venue.requests)
        made.book.risk = replace(made.book.risk, trading_state=TradingState.HALTED)
        made.venue.gate.set()
        assert code(await sending) == "risk_blocked"
        assert (made.venue.placed, made.order().state) == ([], OrderState.REJECTED)


async def test_a_price_that_has_become_old_while_an_order_was_written_down_is_not_used(dsn: str) -> None:
    async with trading(dsn) as made:
        for fresh in (False, True):
            made.market.set("BTC/USDT", "99", "101")
            async with made.nothing_written():
                sending = asyncio.create_task(send(made, order_type="market", price=None))
                await until(lambda: made.book.open_orders)
                made.clock.advance(25)
                if fresh:
                    made.market.set("BTC/USDT", "89", "91")
            assert code(await sending) == (None if fresh else "stale_market_data")
        assert made.venue.placed == ["tw-e1-2"]


async def test_a_client_order_id_is_used_once_also_by_orders_long_over(dsn: str, pool: Pool) -> None:
    async with trading(dsn) as made:
        await send(made, client_order_id="mine")
        assert code(await send(made, client_order_id="mine")) == "duplicate_client_order_id"
        await made.run("cancel_order", order_id=1)
    async with trading(dsn, venue=made.venue) as again:
        await again.desk.pool.execute("UPDATE oms_orders SET client_order_id = 'forgotten'")
        assert code(await send(again, client_order_id="forgotten")) == "duplicate_client_order_id"
        both = await asyncio.gather(send(again, client_order_id="new"), send(again, client_order_id="new"))
        assert sorted(code(answer) or "" for answer in both) == ["", "duplicate_client_order_id"]


async def test_validating_checks_and_sends_nothing(dsn: str) -> None:
    async with trading(dsn) as made:
        assert (await send(made, validate=True)).ok
        assert code(await send(made, validate=True, strategy_id=4)) == "validation_error"
        assert not made.venue.requests
        assert not made.book.orders
        await send(made)
        assert made.order().id == 1
        assert (await made.run("cancel_order", order_id=1, validate=True)).ok
        assert (await made.run("cancel_all_orders", validate=True)).ok
        assert code(await made.run("cancel_order", order_ids=[1, 2], validate=True)) == "order_not_found"
        assert made.order().state is OrderState.SUBMITTED


@pytest.mark.parametrize("validate", [True, False])
async def test_what_the_venue_would_not_take_is_refused_before_it_is_an_order(dsn: str, validate: bool) -> None:
    async with trading(dsn) as made:
        made.venue.unfit = OmsError("unsupported_action", "time_in_force: not here", details={"field": "time_in_force"})
        answer = await send(made, validate=validate)
        assert answer.error is not None
        assert (answer.error["code"], answer.error["details"]) == ("unsupported_action", {"field": "time_in_force"})
        assert [order.client_order_id for order in made.venue.checked] == [""]
        assert not made.venue.requests
        assert not made.book.orders


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("fault", [Fault.NONE, Fault.LOST, Fault.CRASH])
async def test_a_done_cancel_is_known_whatever_became_of_the_answer(dsn: str, fault: Fault, silent: bool) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.silent_cancel = silent
        made.venue.script("cancel", fault)
        assert (await made.run("cancel_order", order_id=1)).ok
        assert made.order().state is OrderState.CANCELED


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.REFUSED])
async def test_a_cancel_that_was_not_done_says_so(dsn: str, fault: Fault) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.script("cancel", fault)
        answer = await made.run("cancel_order", order_id=1)
        assert code(answer) == ("exchange_error" if fault is Fault.REFUSED else "outcome_unknown")
        assert made.order().state is OrderState.SUBMITTED


async def test_a_cancel_that_finds_nothing_is_no_success_and_the_trades_count(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.streaming = False
        made.venue.fill("x1", "0.3")
        made.venue.orders.clear()
        answer = await made.run("cancel_order", order_id=1)
        assert answer.error is not None
        assert (answer.error["code"], answer.error["details"]) == ("order_not_found", {"state": OrderState.CANCELED})
        assert (made.order().state, made.order().filled) == (OrderState.CANCELED, Decimal("0.3"))


async def test_a_cancel_that_is_refused_as_unknown_is_asked_for_again_when_the_order_is_there(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        cancel = made.venue.cancel

        async def unknown(order: Order) -> VenueOrder | None:
            made.venue.cancel = cancel  # type: ignore[method-assign]  # only one of its servers does not know it
            raise base.Refused("order_not_found", "unknown order")

        made.venue.cancel = unknown  # type: ignore[method-assign]  # as above
        assert code(await made.run("cancel_order", order_id=1)) == "outcome_unknown"
        assert made.order().state is OrderState.SUBMITTED
        assert (await made.run("cancel_order", order_id=1)).ok


async def test_a_cancel_that_comes_after_the_last_fill(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.streaming = False
        made.venue.fill_on_cancel.append(Decimal(1))
        answer = await made.run("cancel_order", order_id=1)
        assert code(answer) == "invalid_order_state"
        assert [made.order().state, made.order().filled] == [OrderState.FILLED, Decimal(1)]


async def test_fills_that_came_before_a_cancel_are_booked_before_it_ends(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        made.venue.streaming = False
        made.venue.fill_on_cancel.append(Decimal("0.3"))
        assert (await made.run("cancel_order", order_id=1)).ok
        assert (made.order().state, made.order().filled) == (OrderState.CANCELED, Decimal("0.3"))


async def test_a_cancel_waits_until_it_is_known_what_there_is_to_cancel(dsn: str) -> None:
    async with trading(dsn) as made:
        made.venue.gate.clear()
        sending = asyncio.create_task(send(made))
        await until(lambda: made.venue.requests == ["place"])
        canceling = asyncio.create_task(made.run("cancel_order", order_id=1))
        made.venue.script("place", Fault.LOST)
        await asyncio.sleep(0)
        assert made.venue.requests == ["place"]
        made.venue.gate.set()
        assert (await sending).ok
        assert (await canceling).ok
        assert made.order().state is OrderState.CANCELED


async def test_two_cancels_of_one_order_are_one_request(dsn: str) -> None:
    async with trading(dsn) as made:
        await send(made)
        answers = await asyncio.gather(*(made.run("cancel_order", order_id=1) for _ in range(3)))
        assert sorted(code(answer) or "" for answer in answers) == ["", "invalid_order_state", "invalid_order_state"]
        assert made.venue.requests.count("cancel") == 1


async def test_many_are_canceled_each_for_itself(dsn: str) -> None:
    async with trading(dsn) as made:
        for _ in range(3):
            await send(made)
        await made.run("cancel_order", order_id=2)
        answer = await made.run("cancel_order", order_ids=[3, 2, 1, 9])
        assert code(answer) == "invalid_order_state"
        assert [(each["order_id"], each["ok"]) for each in answer.more["orders"]] == [
            (3, True), (2, False), (1, True), (9, False),
        ]  # fmt: skip
        assert not made.book.open_orders


async def test_all_of_a_strategy_or_symbol_are_canceled_and_no_others(dsn: str) -> None:
    async with trading(dsn) as made:
        made.desk.strategies = frozenset({5})
        await send(made)
        await send(made, strategy_id=5)
        assert (await made.run("cancel_all_orders", symbol="ETH/USDT")).more == {"orders": []}
        answer = await made.run("cancel_all_orders", strategy_ids=[5])
        assert [each["order_id"] for each in answer.more["orders"]] == [2]
        assert (await made.run("cancel_all_orders")).ok
        assert not made.book.open_orders


async def test_a_key_for_some_strategies_cancels_those_only(dsn: str) -> None:
    async with trading(dsn) as made:
        made.desk.strategies = frozenset({5})
        await send(made)
        await send(made, strategy_id=5)
        some = Permission(account_id=1, can_trade=True, strategies=frozenset({5}))
        eve = Principal(user_id=3, user_name="eve", api_key_id=3, permissions={1: some})
        assert code(await made.run("cancel_all_orders", principal=eve)) == "strategy_permission_denied"
        assert code(await made.run("cancel_order", principal=eve, order_id=1)) == "order_not_found"
        assert code(await send(made, principal=eve)) == "strategy_permission_denied"
        assert (await made.run("cancel_order", principal=eve, order_id=2)).ok


@pytest.mark.parametrize("told_at_once", [True, False])
async def test_a_venue_that_gives_ids_again_is_traded_on(dsn: str, told_at_once: bool) -> None:
    async with trading(dsn) as made:
        made.venue.told_at_once = told_at_once
        await send(made)
        made.venue.fill("x1", "0.3")
        await made.run("cancel_order", order_id=1)
        made.venue.orders.clear()  # as a test network that was reset
        made.venue.executed.clear()
        made.venue._numbers = itertools.count(1)
        assert (await send(made)).ok
        made.venue.fill("x1", "0.4")
        await until(lambda: bool(made.order(2).filled))
        await made.desk.commit()
        assert [made.order(number).exchange_order_id for number in (1, 2)] == ["x1", "x1"]
        assert [made.order(number).state for number in (1, 2)] == [OrderState.CANCELED, OrderState.PARTIALLY_FILLED]
        assert [made.order(number).filled for number in (1, 2)] == [Decimal("0.3"), Decimal("0.4")]
        newest = await history.order_by_exchange_id(made.desk.pool, 1, "BTC/USDT", "x1")
        assert newest == made.order(2)
    async with trading(dsn) as again:
        assert again.book.by_exchange_id("BTC/USDT", "x1") == again.order(2)
