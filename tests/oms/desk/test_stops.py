"""Stops of positions: reached by fresh quotes only, closed once, and tried again for as long as they are reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from oms.desk import stops as stops_module
from oms.desk.stops import Stops, reached
from oms.model import Order, OrderState, OrderType, Quote, Side, TradingState
from tests.oms.desk.desks import Clock
from tests.oms.desk.holding import SYMBOL, Holding, holding
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.oms.full_rows import position
from tests.oms.orders_made import T0_NS
from tests.waiting import until


@asynccontextmanager
async def guarded(
    dsn: str, clock: Clock | None = None, venue: ScriptedVenue | None = None, **account: Any
) -> AsyncIterator[Holding]:
    """A desk whose stops are looked after, as the service joins them."""
    async with holding(dsn, clock=clock, **account) as held:
        if venue is not None:
            held.desk.venue = venue
            await venue.start(held.made.hearing)
        stops = Stops(held.desk, held.positions.stop_out)
        held.desk.on_positions = stops.changed
        held.market.listen(stops.on_quote)
        stops.start()
        try:
            yield held
        finally:
            stops.stop()
            stops.changed(held.book.positions.values())  # what is still written when all is stopped
            assert not any(held.market.watched.values())


def closers(held: Holding, *more: str) -> list[Order]:
    return [each for each in held.book.orders.values() if each.reason in {"stop_loss", "stop_gain", *more}]


async def settled(held: Holding) -> None:
    """Whatever was begun has ended."""
    await held.desk.finish(10.0)


@pytest.mark.parametrize(
    ("qty", "bid", "ask", "reason"),
    [
        ("1", "90.01", "90.02", None),
        ("1", "90", "95", "stop_loss"),
        ("1", "89", "95", "stop_loss"),
        ("1", "119.99", "125", None),
        ("1", "120", "125", "stop_gain"),
        ("1", None, "80", None),
        ("-1", "85", "90.01", None),
        ("-1", "80", "90", "stop_gain"),
        ("-1", "115", "120", "stop_loss"),
        ("-1", "125", "119.99", None),
        ("-1", "125", None, None),
    ],
)
def test_what_it_could_be_closed_at_decides(qty: str, bid: str | None, ask: str | None, reason: str | None) -> None:
    ends: dict[str, Any] = {"stop_loss": Decimal(90), "stop_gain": Decimal(120)}
    if qty == "-1":
        ends = {"stop_loss": Decimal(120), "stop_gain": Decimal(90)}
    quote = Quote(
        bid=None if bid is None else Decimal(bid), ask=None if ask is None else Decimal(ask), last=Decimal(1), t_in_ns=0
    )
    assert reached(position(1, qty=Decimal(qty), **ends), quote) == reason
    assert reached(position(1, qty=Decimal(qty), stop_loss=None, stop_gain=None), quote) is None


async def test_a_symbol_is_watched_while_a_position_of_it_has_a_stop(dsn: str) -> None:
    async with guarded(dsn, position_mode="hedge") as held:
        await held.trade("buy", "1")
        assert not held.market.watched.get(SYMBOL)
        first, second = await held.trade("buy", "1", stop_loss="90"), await held.trade("buy", "1", stop_gain="120")
        assert held.market.watched == {SYMBOL: 1}
        await held.run("position_change", position_id=second, stop_gain=None)
        assert held.market.watched == {SYMBOL: 1}
        held.venue.fill_on_place.append(Decimal(1))
        await held.run("close_position", position_id=first)
        await until(lambda: first not in held.book.positions)
        assert held.market.watched == {SYMBOL: 0}


@pytest.mark.parametrize(
    ("side", "bid", "ask", "reason"),
    [("buy", "89", "91", "stop_loss"), ("buy", "121", "122", "stop_gain"),
     ("sell", "121", "122", "stop_gain"), ("sell", "89", "90", "stop_loss")],
)  # fmt: skip
async def test_reached_it_closes_all_of_it_at_the_market_once(
    dsn: str, side: str, bid: str, ask: str, reason: str
) -> None:
    stops = {"stop_loss": "90", "stop_gain": "120"}
    if side == "sell":  # the other way round: 90 is the gain, 122 the loss
        stops = {"stop_loss": "122", "stop_gain": "90"}
        reason = {"stop_gain": "stop_loss", "stop_loss": "stop_gain"}[reason]
    async with guarded(dsn) as held:
        position_id = await held.trade(side, "2", **stops)
        held.venue.gate.clear()
        for _ in range(3):
            held.market.set(SYMBOL, bid, ask)
        await until(lambda: len(held.venue.requests) == 2)
        held.market.set(SYMBOL, bid, ask)
        held.venue.fill_on_place.append(Decimal(2))
        held.venue.gate.set()
        await settled(held)
        (closer,) = closers(held)
        assert (closer.reason, closer.order_type, closer.qty) == (reason, OrderType.MARKET, Decimal(2))
        assert (closer.position_id, closer.reduce_only, closer.state) == (position_id, True, OrderState.FILLED)
        held.market.set(SYMBOL, bid, ask)
        assert await held.stored() == {}
        assert len(held.venue.placed) == 2


async def test_what_is_stale_old_or_of_another_exchange_reaches_nothing(dsn: str) -> None:
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        beyond = Quote(bid=Decimal(80), ask=Decimal(81), last=None, t_in_ns=T0_NS)
        played_back = replace(beyond, t_in_ns=T0_NS - 5_000_000_001)
        # Each is all that is known meanwhile: a better price right after it would hide that it was believed.
        for exchange, symbol, quote in (
            ("sim", SYMBOL, replace(beyond, stale=True)),
            ("sim", SYMBOL, played_back),
            ("binance", SYMBOL, beyond),
            ("sim", "ETH/USDT", beyond),
        ):
            if (exchange, symbol) == ("sim", SYMBOL):
                held.market.quotes[SYMBOL] = quote
            for listener in held.market._listeners:
                listener(exchange, symbol, quote)
            await settled(held)
            assert (closers(held), held.told("stop_refused")) == ([], []), (exchange, symbol, quote)
        held.market.set(SYMBOL, "90.01", "91")
        await settled(held)
        assert not closers(held)
        held.market.set(SYMBOL, "90", "91")
        await until(lambda: len(closers(held)) == 1)


async def test_a_stop_beyond_the_market_is_reached_when_it_is_set(dsn: str) -> None:
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "2")
        held.venue.fill_on_place.append(Decimal(2))
        assert (await held.run("position_change", position_id=position_id, stop_loss="99.5")).ok
        await until(lambda: not held.book.positions)
        assert closers(held)[0].reason == "stop_loss"


async def test_after_a_restart_it_is_armed_again(dsn: str) -> None:
    clock = Clock()
    async with guarded(dsn, clock) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        venue = held.venue
    async with guarded(dsn, clock, venue) as held:
        assert held.market.watched == {SYMBOL: 1}
        assert not closers(held)
        venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: position_id not in held.book.positions)


async def test_restarted_while_it_was_being_closed_it_is_not_closed_twice(dsn: str) -> None:
    clock = Clock()
    async with guarded(dsn, clock) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.venue.streaming = False
        held.venue.script("place", Fault.LOST)
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: [each.state for each in closers(held)] == [OrderState.UNKNOWN])
        venue = held.venue
    async with guarded(dsn, clock, venue) as held:
        held.market.set(SYMBOL, "89", "90")
        await settled(held)
        assert (len(closers(held)), len(venue.placed)) == (1, 2)


async def test_an_unknown_outcome_is_waited_for(dsn: str) -> None:
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.venue.streaming = False
        held.venue.script("place", Fault.LOST)
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: [each.state for each in closers(held)] == [OrderState.UNKNOWN])
        for _ in range(3):
            held.market.set(SYMBOL, "88", "89")
        assert await held.made.settler.settle(closers(held)[0].id)
        await settled(held)
        assert (len(closers(held)), len(held.venue.placed)) == (1, 2)


async def test_refused_it_is_told_once_and_tried_until_it_is_closed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops_module, "DELAYS_S", (0.0,))
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        held.venue.script("place", Fault.REFUSED, Fault.REFUSED, Fault.REFUSED)
        held.venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)
        states = [OrderState.REJECTED] * 3 + [OrderState.FILLED]
        assert [each.state for each in closers(held)] == states
        (told,) = held.told("stop_refused")
        assert msgspec.json.decode(told) == {
            "position_id": position_id, "account_id": 1, "symbol": SYMBOL, "strategy_id": 0, "reason": "stop_loss",
            "error": {
                "code": "exchange_error", "message": "place refused",
                "details": {"exception": "MarketClosed", "state": "REJECTED"},
            },
        }  # fmt: skip


async def test_reached_no_more_it_is_not_tried_again(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops_module, "DELAYS_S", (0.0,))
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.venue.script("place", Fault.REFUSED)
        held.venue.gate.clear()
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: bool(closers(held)))
        held.market.set(SYMBOL, "95", "96")
        held.venue.gate.set()
        await until(lambda: bool(held.told("stop_refused")))
        await settled(held)
        assert [each.state for each in closers(held)] == [OrderState.REJECTED]


@pytest.mark.parametrize("removed", [True, False])
async def test_without_its_reason_by_the_time_it_would_be_sent_it_is_not(dsn: str, removed: bool) -> None:
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        assert (await held.run("close_position", position_id=position_id, order_type="limit", price="130")).ok
        held.venue.gate.clear()
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: "cancel" in held.venue.requests)  # of what rests, before it is closed
        if removed:
            assert (await held.run("position_change", position_id=position_id, stop_loss=None)).ok
        else:
            held.market.set(SYMBOL, "95", "96")
        held.venue.gate.set()
        await settled(held)
        assert (closers(held), held.told("stop_refused")) == ([], [])


async def test_while_the_venue_is_not_there_nothing_is_sent(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops_module, "DELAYS_S", (0.0,))
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.desk.obstacle = "not connected"
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: bool(held.told("stop_refused")))
        assert not closers(held)
        held.desk.obstacle = None
        await until(lambda: bool(closers(held)))


async def test_neither_a_kill_switch_nor_a_limit_is_in_its_way(dsn: str) -> None:
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.book.risk = replace(
            held.book.risk, trading_state=TradingState.HALTED, max_open_orders=0, max_order_qty=Decimal("0.1")
        )
        held.venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)


@pytest.mark.parametrize("by", ["send_order", "close_position"])
async def test_what_rests_to_reduce_it_is_canceled_first(dsn: str, by: str) -> None:
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "2", stop_loss="90")
        body: dict[str, Any] = {"order_type": "limit", "price": "130", "qty": "2"}
        body |= {"position_id": position_id} if by == "close_position" else {"symbol": SYMBOL, "side": "sell"}
        resting = await held.run(by, **body)
        assert resting.order_id is not None
        other = await held.run("send_order", symbol=SYMBOL, side="buy", order_type="limit", price="80", qty="1")
        assert other.order_id is not None
        held.venue.fill_on_place.append(Decimal(2))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)
        assert held.book.orders[resting.order_id].state is OrderState.CANCELED
        assert held.book.orders[other.order_id].is_open
        assert closers(held)[0].qty == 2


async def test_what_is_left_of_it_is_closed_too(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops_module, "DELAYS_S", (0.0,))
    async with guarded(dsn) as held:
        await held.trade("buy", "2", stop_loss="90")
        held.venue.fill_on_place.append(Decimal("0.5"))
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: next(iter(held.book.positions.values())).qty == Decimal("1.5"))
        (first,) = closers(held)
        assert first.exchange_order_id is not None
        held.venue.fill_on_place.append(Decimal("1.5"))
        held.venue.end(first.exchange_order_id, "canceled")
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: [each.state for each in closers(held)][:1] == [OrderState.CANCELED])
        held.market.set(SYMBOL, "89", "90")
        await until(lambda: not held.book.positions)
        assert [each.qty for each in closers(held)] == [Decimal(2), Decimal("1.5")]


async def act(held: Holding, random: Random) -> None:
    """Something that a market, a caller or a venue does, while all that was begun before goes on."""
    doubtful = [each for each in closers(held, "close_position") if each.state is OrderState.UNKNOWN]
    resting = [each for each in held.venue.orders.values() if each.status == "open"]
    match random.choice([0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5]):
        case 0 if random.random() < 0.3:
            held.market.set(SYMBOL, "89", "90")
        case 1:
            held.market.set(SYMBOL, "99", "101")
        case 2 if held.book.positions:
            terms: dict[str, Any] = {"qty": "0.5"}
            terms |= random.choice([{}, {"order_type": "limit", "price": "130"}])
            work = held.run("close_position", position_id=next(iter(held.book.positions)), **terms)
            held.desk.spawn(work, "close")
        case 3 if doubtful:
            held.clock.advance(5)  # long enough for an absence to be proved by the second question
            held.market.set(SYMBOL, "99", "101")
            await held.made.settler.settle(doubtful[0].id)
        case 4 if resting:
            order = random.choice(resting)
            left = order.qty - order.filled
            held.venue.fill(order.exchange_order_id, random.choice([left, left / 2]))
        case _:
            held.venue.script("place", random.choice([Fault.REFUSED, Fault.LOST, Fault.DROPPED]))
    for _ in range(random.randint(0, 3)):
        await held.desk.commit()  # what waited for the database goes on


@pytest.mark.parametrize("seed", range(8))
async def test_however_it_goes_there_is_one_closing_at_a_time_and_never_more_is_closed_than_there_is(
    dsn: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stops_module, "DELAYS_S", (0.0,))
    random = Random(seed)
    async with guarded(dsn) as held:
        position_id = await held.trade("buy", "20", stop_loss="90")

        def check() -> None:
            under_way = [each for each in closers(held, "close_position") if each.is_open]
            assert len(under_way) <= 1
            assert sum((each.qty for each in held.book.positions.values()), Decimal(0)) >= 0
            assert set(held.book.positions) <= {position_id}

        for _ in range(60):
            await act(held, random)
            check()
        held.venue._script.clear()
        while held.book.positions:
            held.market.set(SYMBOL, "89", "90")
            for order in list(held.book.open_orders.values()):
                if order.state is OrderState.UNKNOWN:
                    held.clock.advance(5)
                    await held.made.settler.settle(order.id)
            for told in list(held.venue.orders.values()):
                if told.status == "open" and told.order_type is OrderType.MARKET:
                    held.venue.fill(told.exchange_order_id, told.qty - told.filled)
            await asyncio.sleep(0)
            check()
        sold = sum((each.qty for each in held.venue.executed if each.side is Side.SELL), Decimal(0))
        assert sold == 20
        assert await held.stored() == {}
