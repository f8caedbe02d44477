"""Commands on positions, on a real database: closed once, netted exactly, and nothing done halfway."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from oms.desk.positions import closing, may_execute, tradeable
from oms.errors import OmsError
from oms.model import Order, OrderState, OrderType, Quote, Side, TradingState
from oms.store import admin, history
from tests.oms.desk.desks import ADMIN
from tests.oms.desk.holding import SYMBOL, Holding, holding, key
from tests.oms.desk.scripted_venue import Fault
from tests.oms.full_rows import position
from tests.oms.orders_made import SPOT, T0_NS, order
from tests.waiting import until


def closers(held: Holding) -> list[Order]:
    return [each for each in held.book.orders.values() if each.reason == "close_position"]


@pytest.mark.parametrize(("side", "against"), [("buy", Side.SELL), ("sell", Side.BUY)])
async def test_all_of_a_position_is_closed_at_the_market(dsn: str, side: str, against: Side) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade(side, "2")
        held.venue.fill_on_place.append(Decimal(2))
        result = await held.run("close_position", position_id=position_id)
        assert result.ok, result
        (closer,) = closers(held)
        assert (closer.side, closer.order_type, closer.qty) == (against, OrderType.MARKET, Decimal(2))
        assert (closer.reduce_only, closer.position_id, result.order_id) == (True, position_id, closer.id)
        await until(lambda: not held.book.positions)
        assert await held.stored() == {}
        assert await held.refusal("close_position", position_id=position_id) == "position_not_found"


async def test_a_part_is_closed_by_a_limit_order_and_the_rest_stays(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        result = await held.run("close_position", position_id=position_id, order_type="limit", price="120", qty="0.5")
        (closer,) = closers(held)
        assert (result.ok, closer.price, closer.qty) == (True, Decimal(120), Decimal("0.5"))
        assert closer.exchange_order_id is not None
        held.venue.fill(closer.exchange_order_id, "0.5")
        await until(lambda: held.book.positions[position_id].qty == Decimal("1.5"))
        stored = await held.stored()
        assert (stored[position_id].qty, stored[position_id].realized_pnl) == (Decimal("1.5"), Decimal(10))


async def test_a_position_is_closed_by_one_order_at_a_time(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        results = await asyncio.gather(
            *(held.run("close_position", position_id=position_id, qty="0.5") for _ in range(5))
        )
        assert [result.ok for result in results] == [True, False, False, False, False]
        for refused in results[1:]:
            assert refused.error is not None
            assert refused.error["code"] == "position_close_in_progress"
            assert refused.error["details"] == {"order_id": results[0].order_id}
        assert len(closers(held)) == 1
        assert (await held.run("cancel_order", order_id=results[0].order_id)).ok
        assert (await held.run("close_position", position_id=position_id, qty="0.5")).ok


async def test_an_outcome_that_nobody_knows_keeps_the_position_from_being_closed_twice(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.venue.streaming = False
        held.venue.script("place", Fault.LOST)
        closing_it = asyncio.create_task(held.run("close_position", position_id=position_id))
        await until(lambda: any(each.state is OrderState.UNKNOWN for each in closers(held)))
        assert await held.refusal("close_position", position_id=position_id) == "position_close_in_progress"
        assert await held.made.settler.settle(closers(held)[0].id)
        assert (await closing_it).ok
        assert len(held.venue.placed) == 2


async def test_a_refused_close_is_answered_so_and_may_be_asked_for_again(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.venue.script("place", Fault.REFUSED)
        assert await held.refusal("close_position", position_id=position_id) == "exchange_error"
        held.venue.fill_on_place.append(Decimal(2))
        assert (await held.run("close_position", position_id=position_id)).ok
        await until(lambda: not held.book.positions)


async def test_no_kill_switch_keeps_a_position_open(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.book.risk = replace(held.book.risk, trading_state=TradingState.HALTED)
        assert await held.refusal("send_order", symbol=SYMBOL, side="sell", type="market", qty="2") == "risk_blocked"
        assert (await held.run("close_position", position_id=position_id)).ok


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"qty": "2.1"}, "reduce_only_violation"),
        ({"position_id": 99}, "position_not_found"),
        ({"principal": key(5, can_trade=True)}, "position_not_found"),
        ({"principal": key(can_read=True)}, "permission_denied"),
    ],
)
async def test_what_is_no_closing_of_ones_own_position_is_refused(dsn: str, body: dict[str, Any], code: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        for validate in (True, False):
            asked = {"position_id": position_id, "validate": validate, **body}
            assert await held.refusal("close_position", **asked) == code
        assert len(held.venue.placed) == 1


async def test_who_may_only_close_may_close_and_validating_sends_nothing(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        closer = key(can_close_position=True)
        assert (await held.run("close_position", principal=closer, position_id=position_id, validate=True)).ok
        assert len(held.venue.placed) == 1
        assert (await held.run("close_position", principal=closer, position_id=position_id)).ok
        assert len(held.venue.placed) == 2


async def test_without_a_fresh_price_nothing_is_closed_at_the_market(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.market.set(SYMBOL, "99", "101", stale=True)
        assert await held.refusal("close_position", position_id=position_id) == "stale_market_data"
        asked = {"position_id": position_id, "order_type": "limit", "price": "100"}
        assert (await held.run("close_position", **asked)).ok


async def test_what_changed_while_a_price_was_waited_for_is_seen(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2")
        fresh = held.market.quotes.pop(SYMBOL)

        async def slow(exchange: str, symbol: str, timeout_s: float) -> Quote:
            await held.trade("sell", "1.5")
            return fresh

        monkeypatch.setattr(held.market, "fresh", slow)
        assert (await held.run("close_position", position_id=position_id)).ok
        assert closers(held)[0].qty == Decimal("0.5")


def test_what_a_venue_would_not_take_stays() -> None:
    stepped = replace(SPOT, qty_step=Decimal("0.01"))
    held = position(1, qty=Decimal("-0.999"))
    assert closing(held, Decimal("0.5"), "close_position", T0_NS).side is Side.BUY
    assert tradeable(Decimal("0.999"), stepped) == Decimal("0.99")
    assert tradeable(Decimal("0.999"), SPOT) == Decimal("0.999")
    assert tradeable(Decimal(10**17), replace(SPOT, qty_step=Decimal("1E-18"))) == 10**17
    with pytest.raises(OmsError, match="less than the step"):
        tradeable(Decimal("0.009"), stepped)


async def sold_short_of_it(held: Holding, qty: str, **body: Any) -> Order:
    """A sell that rests above the market."""
    asked = {"symbol": SYMBOL, "side": "sell", "order_type": "limit", "price": "130", "qty": qty, **body}
    result = await held.run("send_order", **asked)
    assert result.order_id is not None, result
    return held.book.orders[result.order_id]


async def test_closing_is_allowed_beside_what_rests_to_reduce_it_and_leaves_no_more_of_that_than_there_is(
    dsn: str,
) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "3")
        first = await sold_short_of_it(held, "1", reduce_only=True)
        second = await sold_short_of_it(held, "2", reduce_only=True)
        plain = await sold_short_of_it(held, "1")
        asked = {"position_id": position_id, "qty": "1"}
        assert (await held.run("close_position", validate=True, **asked)).ok
        assert all(held.book.orders[each.id].is_open for each in (first, second, plain))
        held.venue.fill_on_place.append(Decimal(1))
        assert (await held.run("close_position", **asked)).ok
        states = [held.book.orders[each.id].state for each in (first, second, plain)]
        assert states == [OrderState.SUBMITTED, OrderState.CANCELED, OrderState.SUBMITTED]
        held.venue.fill_on_place.append(Decimal(2))
        assert (await held.run("close_position", position_id=position_id)).ok
        await until(lambda: not held.book.positions)
        assert [each.id for each in held.book.open_orders.values()] == [plain.id]


async def test_an_order_that_may_be_closing_it_already_is_left_room_for(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "3")
        held.venue.streaming = False
        held.venue.script("place", Fault.DROPPED)
        asked = {"symbol": SYMBOL, "side": "sell", "order_type": "market", "qty": "2"}
        sending = asyncio.create_task(held.run("send_order", **asked))
        await until(lambda: held.book.orders[max(held.book.orders)].state is OrderState.UNKNOWN)
        doubtful = max(held.book.orders)
        refused = await held.run("close_position", position_id=position_id, qty="2")
        assert refused.error is not None
        assert (refused.error["code"], refused.error["details"]) == (
            "position_close_in_progress", {"order_id": doubtful},
        )  # fmt: skip
        assert (await held.run("close_position", position_id=position_id)).ok
        assert closers(held)[-1].qty == 1
        held.clock.advance(7)
        await held.made.settler.settle(doubtful)
        held.clock.advance(7)
        await held.made.settler.settle(doubtful)
        assert (await sending).error is not None


@pytest.mark.parametrize(
    ("kind", "side", "terms", "doubtful", "executes"),
    [
        (OrderType.MARKET, Side.SELL, {}, False, True),
        (OrderType.LIMIT, Side.SELL, {"price": "99"}, True, True),
        (OrderType.LIMIT, Side.SELL, {"price": "99"}, False, False),
        (OrderType.LIMIT, Side.SELL, {"price": "99.01"}, True, False),
        (OrderType.LIMIT, Side.BUY, {"price": "101"}, True, True),
        (OrderType.LIMIT, Side.BUY, {"price": "100.99"}, True, False),
        (OrderType.STOP, Side.SELL, {"trigger_price": "99"}, True, True),
        (OrderType.STOP, Side.SELL, {"trigger_price": "98.99"}, True, False),
        (OrderType.STOP, Side.BUY, {"trigger_price": "101.01"}, True, False),
        (OrderType.TAKE_PROFIT, Side.SELL, {"trigger_price": "99"}, True, True),
        (OrderType.TAKE_PROFIT, Side.SELL, {"trigger_price": "99.01"}, True, False),
        (OrderType.TAKE_PROFIT_LIMIT, Side.BUY, {"trigger_price": "101", "price": "50"}, True, True),
        (OrderType.TAKE_PROFIT_LIMIT, Side.BUY, {"trigger_price": "100.99", "price": "200"}, True, False),
        # Filled in part, it waits for its trigger no more.
        (OrderType.TAKE_PROFIT_LIMIT, Side.BUY, {"trigger_price": "100", "price": "200", "filled": "0.1"}, True, True),
        (OrderType.STOP_LIMIT, Side.SELL, {"trigger_price": "98", "price": "99", "filled": "0.1"}, True, True),
        (OrderType.STOP_LIMIT, Side.SELL, {"trigger_price": "99", "price": "100", "filled": "0.1"}, True, False),
        (OrderType.STOP, Side.SELL, {"trigger_price": "98", "filled": "0.1"}, False, True),
    ],
)
def test_what_the_market_would_execute_may_be_executed_while_it_is_in_doubt(
    kind: OrderType, side: Side, terms: dict[str, str], doubtful: bool, executes: bool
) -> None:
    state = OrderState.UNKNOWN if doubtful else OrderState.SUBMITTED
    prices = {name: Decimal(value) for name, value in terms.items()}
    sent = replace(order(1, order_type=kind, side=side, state=state), **{"price": None, **prices})
    quote = Quote(bid=Decimal(99), ask=Decimal(101), last=None, t_in_ns=0)
    assert may_execute(sent, quote) is executes
    assert may_execute(sent, None) is (doubtful or executes)


async def test_close_by_is_exact_and_durable(dsn: str) -> None:
    async with holding(dsn, position_mode="hedge") as held:
        long, short = await held.trade("buy", "3"), await held.trade("sell", "2", price="110.5")
        asked = {"position_id_a": long, "position_id_b": short}
        assert (await held.run("close_by", validate=True, **asked)).ok
        assert {each.qty for each in held.book.positions.values()} == {Decimal(3), Decimal(-2)}
        result = await held.run("close_by", **asked)
        deals = await history.deals_by_ids(held.desk.pool, result.more["deal_ids"])
        assert (result.more["realized_pnl"], sum(each.realized_pnl for each in deals.values())) == ("21", Decimal(21))
        assert {number: each.qty for number, each in (await held.stored()).items()} == {long: Decimal(1)}
        assert await held.refusal("close_by", **asked) == "position_not_found"
        assert len(held.venue.placed) == 2


async def test_what_is_being_closed_is_neither_netted_nor_merged_nor_given_away(dsn: str) -> None:
    async with holding(dsn, position_mode="hedge") as held:
        long, more, short = await held.trade("buy", "3"), await held.trade("buy", "1"), await held.trade("sell", "2")
        await held.run("close_position", position_id=long, order_type="limit", price="120")
        busy = "position_close_in_progress"
        assert await held.refusal("close_by", position_id_a=short, position_id_b=long) == busy
        assert await held.refusal("merge_positions", source_position_id=more, target_position_id=long) == busy
        with pytest.raises(OmsError, match="closes position"):
            await held.positions.reassign(ADMIN, 0, order_ids=[], position_ids=[long])


@pytest.mark.parametrize(
    ("stops", "after"),
    [
        ({}, (Decimal(90), None)),
        ({"stop_mode": "clear"}, (None, None)),
        ({"stop_mode": "set", "stop_gain": "130"}, (None, Decimal(130))),
    ],
)
async def test_a_merge_keeps_clears_or_sets_the_stops(dsn: str, stops: dict[str, Any], after: tuple[Any, Any]) -> None:
    async with holding(dsn, position_mode="hedge") as held:
        source, target = await held.trade("buy", "1", price="104"), await held.trade("buy", "3", stop_loss="90")
        asked = {"source_position_id": source, "target_position_id": target, **stops}
        assert (await held.run("merge_positions", validate=True, **asked)).ok
        assert len(held.book.positions) == 2
        trader = key(can_close_position=True)
        assert await held.refusal("merge_positions", principal=trader, **asked) == "permission_denied"
        assert (await held.run("merge_positions", **asked)).ok
        stored = await held.stored()
        assert list(stored) == [target]
        merged = stored[target]
        assert (merged.qty, merged.entry_price, merged.realized_pnl) == (Decimal(4), Decimal(101), Decimal(0))
        assert (merged.stop_loss, merged.stop_gain) == after


async def test_opposite_positions_are_not_merged_and_equal_ones_not_closed_by_each_other(dsn: str) -> None:
    async with holding(dsn, position_mode="hedge") as held:
        long, more, short = await held.trade("buy", "3"), await held.trade("buy", "1"), await held.trade("sell", "2")
        code = "validation_error"
        assert await held.refusal("merge_positions", source_position_id=long, target_position_id=short) == code
        assert await held.refusal("close_by", position_id_a=long, position_id_b=more) == code
        assert await held.refusal("close_by", position_id_a=long, position_id_b=short, qty="2.5") == code


async def test_a_change_changes_what_is_named(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        for validate in (True, False):
            asked = {"position_id": position_id, "stop_loss": None, "stop_gain": "130", "validate": validate}
            assert (await held.run("position_change", **asked)).ok
        assert (await held.run("position_change", position_id=position_id, comment="held")).ok
        stored = (await held.stored())[position_id]
        assert (stored.stop_loss, stored.stop_gain, stored.comment) == (None, Decimal(130), "held")
        assert (stored.version, stored) == (3, held.book.positions[position_id])
        assert await held.refusal("position_change", position_id=99, comment="") == "position_not_found"


async def external(held: Holding, order_id: int, qty: str) -> int:
    """An order of somebody else that fills; its position."""
    told = held.venue.external(qty=qty)
    held.venue.untold.clear()
    held.book.create(
        order(
            order_id, qty=Decimal(qty), client_order_id=f"their-{order_id}", reason="external",
            exchange_order_id=told.exchange_order_id, state=OrderState.SUBMITTED,
        )
    )  # fmt: skip
    held.venue.fill(told.exchange_order_id, qty)
    await until(lambda: not held.book.orders[order_id].is_open)
    return max(held.book.positions)


async def test_what_came_to_be_without_us_is_given_to_a_strategy(dsn: str) -> None:
    async with holding(dsn, position_mode="strategy_netting") as held:
        strategy = (await admin.add_strategy(held.desk.pool, 1, "mean")).id
        held.desk.strategies = frozenset({strategy})
        position_id = await external(held, 900, "2")
        orders, positions = await held.positions.reassign(
            ADMIN, strategy, order_ids=[900, 900], position_ids=[position_id, position_id]
        )
        assert [(each.id, each.strategy_id, each.reason) for each in orders] == [(900, strategy, "reassigned")]
        assert [(each.id, each.strategy_id) for each in positions] == [(position_id, strategy)]
        assert (await held.stored())[position_id].net_key == f"1:{SYMBOL}:{strategy}"
        assert await held.trade("buy", "1", strategy_id=strategy) == position_id
        orders, positions = await held.positions.reassign(ADMIN, 0, order_ids=[], position_ids=[position_id])
        assert [each.strategy_id for each in positions] == [0]


async def test_given_to_what_it_nets_with_only_the_rest_is_left(dsn: str) -> None:
    async with holding(dsn) as held:
        own, theirs = await held.trade("sell", "2"), await external(held, 900, "2")
        assert await held.positions.reassign(ADMIN, 0, order_ids=[], position_ids=[theirs, own]) == ([], [])
        assert await held.stored() == {}


@pytest.mark.parametrize("closed", ["own", "theirs"])
async def test_nothing_is_netted_with_what_is_being_closed(dsn: str, closed: str) -> None:
    async with holding(dsn) as held:
        own, theirs = await held.trade("sell", "2"), await external(held, 900, "1")
        before = held.book.positions[own], held.book.positions[theirs]
        closing_id = {"own": own, "theirs": theirs}[closed]
        assert (await held.run("close_position", position_id=closing_id)).ok
        with pytest.raises(OmsError) as refused:
            await held.positions.reassign(ADMIN, 0, order_ids=[], position_ids=[theirs])
        assert refused.value.code == "position_close_in_progress"
        assert (held.book.positions[own], held.book.positions[theirs]) == before


async def test_nothing_is_given_when_a_part_of_it_cannot_be(dsn: str) -> None:
    async with holding(dsn) as held:
        position_id = await external(held, 900, "2")
        version = held.book.positions[position_id].version
        mine = key(5, can_trade=True)
        held.desk.strategies = frozenset({5})
        for principal, strategy_id, order_ids, position_ids, code in (
            (ADMIN, 6, [900], [position_id], "validation_error"),
            (ADMIN, 5, [900, 901], [position_id], "order_not_found"),
            (ADMIN, 5, [900], [position_id, 99], "position_not_found"),
            (mine, 5, [900], [], "order_not_found"),
            (mine, 5, [], [position_id], "position_not_found"),
            (mine, 0, [], [position_id], "strategy_permission_denied"),
            (key(can_read=True), 5, [900], [], "permission_denied"),
        ):
            with pytest.raises(OmsError) as refused:
                await held.positions.reassign(principal, strategy_id, order_ids=order_ids, position_ids=position_ids)
            assert refused.value.code == code
        assert (held.book.orders[900].strategy_id, held.book.positions[position_id].version) == (0, version)


async def test_an_order_that_is_no_longer_in_memory_is_given_too(dsn: str) -> None:
    async with holding(dsn, position_mode="strategy_netting") as held:
        await external(held, 900, "2")
        await held.desk.commit()
        forgotten = held.book.orders[900]
        held.book._memory.orders._forget(900)
        held.desk.strategies = frozenset({5})
        orders, _ = await held.positions.reassign(ADMIN, 5, order_ids=[900], position_ids=[])
        assert orders == [replace(forgotten, strategy_id=5, reason="reassigned", version=orders[0].version)]
        assert (await history.orders_by_ids(held.desk.pool, [900]))[900].strategy_id == 5
