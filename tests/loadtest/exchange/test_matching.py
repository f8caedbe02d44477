"""Price-time priority, in a generated and in a recorded market."""

import pytest

from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Market
from loadtest.exchange.orders import Order, Status, Type
from tests.loadtest.exchange.floor import SPEC, Floor, units

BIDS, ASKS = [(99, 5), (98, 5), (50, 1)], [(101, 2), (102, 3), (200, 1)]


def recorded() -> Floor:
    return Floor(BIDS, ASKS, shown=False)


def told(the: Floor, bids: list[tuple[float, float]] = [], asks: list[tuple[float, float]] = []) -> None:  # noqa: B006 - only read
    """A recorded diff: first the matcher hears of it, then the book has it."""
    bid_levels, ask_levels = ([(units(price), units(size)) for price, size in side] for side in (bids, asks))
    the.matcher.told(bid_levels, ask_levels, the.now_ms)
    the.market.apply_diff(the.market.book.update_id + 1, bid_levels, ask_levels)


def printed(the: Floor, price: float, size: float, *, buyer_is_maker: bool) -> None:
    trade = Trade(1, units(price), units(size), the.now_ms, buyer_is_maker)
    the.matcher.printed(trade, the.now_ms)


def executed(*orders: Order) -> list[float]:
    return [order.executed / ONE for order in orders]


def test_a_plan_changes_nothing() -> None:
    the = Floor(BIDS, ASKS)
    before = the.book()
    plan = the.matcher.plan(buy=True, qty=units(3))
    assert [(step.price / ONE, step.qty / ONE) for step in plan.steps] == [(101, 2), (102, 1)]
    assert (plan.qty / ONE, plan.quote_qty / ONE) == (3, 304)
    assert the.book() == before


def test_a_plan_stops_at_its_limit_and_at_its_budget() -> None:
    the = Floor(BIDS, ASKS)
    assert the.matcher.plan(buy=True, qty=units(9), limit=units(101)).qty / ONE == 2
    assert the.matcher.plan(buy=False, qty=units(9), limit=units(99)).qty / ONE == 5
    assert the.matcher.plan(buy=True, budget=units(300)).quote_qty / ONE == 202 + 0.9 * 102
    assert the.matcher.best(bid=True) == units(99)
    assert Floor().matcher.best(bid=False) is None


def test_the_crowd_comes_and_goes_around_users_orders() -> None:
    the = Floor(BIDS, ASKS)
    order = the.limit("buy", 2, 99)
    the.matcher.set_crowd(units(99), units(1), bid=True)
    assert the.book()[0][0] == (99, 3), "the user's order stays"
    the.matcher.set_crowd(units(99), units(9), bid=True)
    the.crowd_takes("sell", 2)
    assert executed(order) == [1], "one was before him, who came later is behind him"
    the.matcher.set_crowd(units(99), 0, bid=True)
    assert the.book()[0][0] == (99, 1)
    the.cancel(order)
    assert the.book()[0][0] == (98, 5)


def test_the_last_of_the_crowd_is_never_taken_but_users_are() -> None:
    the = Floor([(50, 1)], ASKS)
    order = the.limit("buy", 1, 50)
    the.crowd_takes("sell", 5)
    assert executed(order) == [1]
    assert the.book()[0] == [(50, 1)]


def test_a_fill_by_hand_leaves_the_rest_in_the_book() -> None:
    the = Floor(BIDS, ASKS)
    order = the.limit("buy", 2, 100)
    trade = the.matcher.fill(order, units(100), units(0.5), 7)
    assert (trade.size, trade.buyer_is_maker, executed(order)) == (units(0.5), True, [0.5])
    assert the.book()[0][0] == (100, 1.5)


def test_a_recorded_book_is_shown_as_recorded() -> None:
    the = recorded()
    order = the.limit("buy", 1, 100)
    taker = the.place("buy", Type.MARKET, 1.5)
    assert the.book() == (BIDS, ASKS)
    assert (order.status, executed(taker)) == (Status.NEW, [1.5])
    assert the.matcher.crowd(units(101), bid=False) == units(0.5), "what users took is gone for users"
    assert [fill.price / ONE for fill in the.place("buy", Type.MARKET, 1).fills] == [101, 102]
    told(the, asks=[(101, 4)])
    assert the.matcher.crowd(units(101), bid=False) == units(4), "until the level is told anew"


def test_a_recorded_trade_fills_whom_it_passes() -> None:
    the = recorded()
    first, second = the.limit("buy", 1, 100), the.limit("buy", 1, 99)
    printed(the, 101, 9, buyer_is_maker=False)
    assert executed(first, second) == [0, 0], "others sold nothing"
    printed(the, 99, 1.5, buyer_is_maker=True)
    assert executed(first, second) == [1, 0], "the better price first, then who came before at this one"
    printed(the, 99, 4, buyer_is_maker=True)
    assert executed(second) == [0]
    printed(the, 99, 2, buyer_is_maker=True)
    assert executed(second) == [1]
    assert [fill.price / ONE for fill in first.fills + second.fills] == [100, 99], "at his own price"


def test_a_recorded_quote_beyond_a_users_price_fills_him() -> None:
    the = recorded()
    order = the.limit("sell", 3, 100)
    told(the, bids=[(99, 9)])
    assert executed(order) == [0]
    told(the, bids=[(100, 1)])
    assert executed(order) == [1]
    told(the, bids=[(100, 1), (101, 0.5)])
    assert executed(order) == [1.5], "only what came new"
    told(the, bids=[(100, 0), (101, 0)])
    assert executed(order) == [1.5]


def test_levels_that_shrink_shorten_the_queue() -> None:
    the = recorded()
    order = the.limit("buy", 1, 99)
    told(the, bids=[(99, 2)])
    printed(the, 99, 3, buyer_is_maker=True)
    assert executed(order) == [1]


def test_users_trade_with_each_other_beside_a_recorded_book() -> None:
    the = recorded()
    resting = the.limit("sell", 1, 100)
    taker = the.limit("buy", 2, 101, of=the.second)
    assert [(fill.price / ONE, fill.qty / ONE) for fill in taker.fills] == [(100, 1), (101, 1)]
    assert resting.status is Status.FILLED


def test_orders_stay_when_a_recording_begins_anew() -> None:
    the = recorded()
    order = the.limit("buy", 1, 100)
    again = Market(SPEC)
    again.load_book(1, [(units(99), ONE)], [(units(101), ONE)])
    the.matcher.go_on_in(again)
    printed(the, 100, 1, buyer_is_maker=True)
    assert order.status is Status.FILLED


@pytest.mark.parametrize("shown", [True, False])
def test_trade_ids_go_up_by_one(shown: bool) -> None:
    the = Floor(BIDS, ASKS, shown=shown)
    the.limit("buy", 1, 100)
    the.limit("sell", 1, 100, of=the.second)
    the.place("buy", Type.MARKET, 3)
    assert [fill.trade_id for fill in the.trading.ledger.fills] == [1, 1, 2, 3]
