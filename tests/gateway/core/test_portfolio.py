"""What an account is worth, against a ledger that books each trade as a venue does."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.holdings import Held
from gateway.core.portfolio import Price, Valuation, by_symbol, middle, value
from tests.gateway.core.holdings_made import INVERSE, LINEAR, SPOT, Ledger, Trade, held, position

D = Decimal
CENT = D("0.000001")


def valued(some: Held, prices: Mapping[str, Any], opening: Mapping[str, Any] | None = None, **more: Any) -> Valuation:
    """`prices`: numbers, or prices that are not live."""
    now = {name: each if isinstance(each, Price) else Price(D(each), True) for name, each in prices.items()}
    then = {name: D(each) for name, each in (opening or {}).items()}
    return value(some, now, then, account_id=1, currency="USDT", day_start_ns=0, **more)


amounts = st.decimals(min_value=-100, max_value=100, places=2)
prices_of = st.decimals(min_value=1, max_value=1000, places=2)
trades = st.builds(Trade, st.sampled_from([SPOT, LINEAR, INVERSE]), amounts, prices_of, st.just(D("0.1")))
markets = st.fixed_dictionaries(dict.fromkeys((SPOT, LINEAR, INVERSE, "USDT/EUR"), prices_of))
funds = st.fixed_dictionaries({"USDT": amounts, "BTC": amounts, "EUR": amounts})


@given(funds, st.lists(trades, max_size=4), markets, st.lists(trades, max_size=4), markets)
def test_the_day_is_the_difference_of_what_it_was_worth(
    balances: dict[str, Decimal],
    before: list[Trade],
    opening: dict[str, Decimal],
    after: list[Trade],
    closing: dict[str, Decimal],
) -> None:
    ledger = Ledger(balances)
    for trade in before:
        ledger.trade(trade)
    ledger.begin_day()
    began = ledger.value(opening)
    for trade in after:
        ledger.trade(trade)
    found = valued(ledger.held(), closing, opening)
    assert found.total_value is not None
    assert found.day_pnl is not None
    assert abs(found.total_value - ledger.value(closing)) < CENT
    assert abs(found.day_pnl - (ledger.value(closing) - began)) < CENT
    assert (found.unvalued, found.opening_unknown, found.stale) == ((), (), False)


@given(funds, st.lists(trades, max_size=4), markets, st.decimals(0, 50, places=2))
def test_what_is_paid_in_is_no_gain(
    balances: dict[str, Decimal], after: list[Trade], market: dict[str, Decimal], deposit: Decimal
) -> None:
    ledger = Ledger(balances)
    for trade in after:
        ledger.trade(trade)
    without = valued(ledger.held(), market, market)
    ledger.balances["BTC"] += deposit
    assert valued(ledger.held(), market, market).day_pnl == without.day_pnl


def test_a_price_that_is_not_live_makes_it_stale() -> None:
    some = held({"USDT": 100, "BTC": 2}, [position(LINEAR, "3")])
    live = valued(some, {SPOT: 100, LINEAR: 110})
    assert (live.stale, live.positions[0].stale) == (False, False)
    old = valued(some, {SPOT: 100, LINEAR: Price(D(110), False)})
    assert (old.stale, old.positions[0].stale, old.total_value) == (True, True, live.total_value)
    assert valued(some, {SPOT: Price(D(100), False), LINEAR: 110}).stale
    assert valued(some, {SPOT: 100, LINEAR: 110}, is_fresh=False).stale


def test_what_has_no_price_is_left_out_and_named() -> None:
    some = held({"USDT": 100, "BTC": 2, "XYZ": 5, "EUR": 0}, [position(LINEAR, "3"), position("XYZ/USDT", "5")])
    found = valued(some, {SPOT: 100, LINEAR: 0})
    assert (found.total_value, found.unvalued) == (D(300), (LINEAR, "XYZ", "XYZ/USDT"))
    first = found.positions[0]
    assert (first.market_price, first.unrealized_pnl, first.stale) == (None, None, True)


def test_an_unknown_opening_price_counts_as_unchanged_and_is_named() -> None:
    found = valued(held({"USDT": 100, "BTC": 2}, [position(LINEAR, "100")]), {SPOT: 120, LINEAR: 130}, {LINEAR: 120})
    assert (found.day_pnl, found.opening_unknown) == (D(10), ("BTC",))


def test_a_venue_that_said_nothing_leaves_the_totals_unknown() -> None:
    found = valued(held(None, [position(SPOT, "2", "90")]), {SPOT: 100})
    assert (found.total_value, found.day_pnl, found.unrealized_pnl) == (None, None, D(20))


def test_a_position_at_the_price_of_now() -> None:
    found = valued(held({}, [position(LINEAR, "-200", "100"), position(SPOT, "2", None)]), {LINEAR: "90", SPOT: "1"})
    spot, linear = found.positions
    assert (spot.average_price, spot.unrealized_pnl, spot.market_price) == (None, None, D(1))
    assert (linear.quantity, linear.unrealized_pnl, linear.unrealized_pnl_pct) == (D(-200), D(20), D(10))
    inverse = valued(held({}, [position(INVERSE, "50", "100")]), {INVERSE: "125", SPOT: "125"}).positions[0]
    assert (inverse.unrealized_pnl, inverse.currency) == (D(10), "BTC")


def test_positions_of_a_symbol_are_taken_together() -> None:
    two = [position(LINEAR, "100", "100", id=1), position(LINEAR, "300", "120", id=2), position(SPOT, "1", "5", id=3)]
    found = by_symbol(valued(held({}, two), {LINEAR: "130", SPOT: "6"}).positions)
    both = found[LINEAR]
    assert (both.quantity, both.average_price, both.unrealized_pnl) == (D(400), D(115), D(60))
    assert both.unrealized_pnl_pct == (D(60) / D(460) * 100).quantize(D("1E-8"))
    assert found[SPOT].position_id == 3
    opposite = [position(INVERSE, "10", id=1), position(INVERSE, "-10", "50", id=2)]
    none = by_symbol(valued(held({}, opposite), {INVERSE: "100", SPOT: "100"}).positions)[INVERSE]
    assert (none.quantity, none.average_price, none.unrealized_pnl) == (D(0), None, D(-10))
    inverse = [position(INVERSE, "10", id=1), position(INVERSE, "10", "50", id=2)]
    average = by_symbol(valued(held({}, inverse), {INVERSE: "100", SPOT: "100"}).positions)[INVERSE].average_price
    assert average is not None
    assert round(average, 6) == round(D(20) / (D("0.1") + D("0.2")), 6)
    unpriced = by_symbol(valued(held({}, opposite), {}).positions)[INVERSE]
    assert (unpriced.unrealized_pnl, unpriced.unrealized_pnl_pct, unpriced.stale) == (None, None, True)


@pytest.mark.parametrize(
    ("bid", "ask", "last", "price"), [(1, 3, 9, 2), (None, 3, 9, 9), (1, None, None, None), (None, None, 9, 9)]
)
def test_the_price_that_things_are_valued_at(
    bid: int | None, ask: int | None, last: int | None, price: int | None
) -> None:
    found = middle(*(None if each is None else D(each) for each in (bid, ask, last)))
    assert found == (None if price is None else D(price))
