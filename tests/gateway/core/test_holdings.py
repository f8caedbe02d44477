"""Holdings: two readings put together, and which prices are needed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.core.holdings import Holdings as Wanted
from gateway.core.holdings import added, carried, currency_of, held_at_start, openings_of, symbols_of, turned
from oms.valuing import Traded
from tests.gateway.core.holdings_made import INVERSE, LINEAR, SPOT, held, holdings, position

D = Decimal


def traded(symbol: str, qty: str) -> Traded:
    return Traded(symbol=symbol, qty=D(qty), worth=D(0), inverse=False, contract_size=D(1))


def test_what_deals_changed_was_not_there_when_the_day_began() -> None:
    read = holdings({"USDT": 100, "BTC": 2}, paid={"USDT": D(-50), "BTC": D(1)}, realized={"USDT": D(7)})
    wanted: Wanted = read
    assert carried(wanted, None).started == {"USDT": D(143), "BTC": D(1)}


def test_a_venue_that_does_not_say_what_there_is_leaves_what_it_said_last() -> None:
    former = held({"USDT": 100}, paid={"USDT": D(1)})
    after = carried(holdings(None, [position(SPOT, "1")], paid={"USDT": D(-30)}), former)
    assert (after.balances, after.started) == ({"USDT": D(100)}, {"USDT": D(99)})
    assert (len(after.positions), after.paid) == (1, {"USDT": D(-30)})
    assert carried(holdings(None), None).balances is None


def test_a_new_day_begins_with_what_there_is() -> None:
    after = turned(held({"USDT": 100}, paid={"USDT": D(1)}, contracts=(traded(LINEAR, "1"),)))
    assert (after.started, after.paid, after.contracts) == ({"USDT": D(100)}, {}, ())


def test_contracts_at_the_start_are_those_of_now_without_what_was_traded() -> None:
    some = held({}, [position(LINEAR, "3"), position(SPOT, "9")], contracts=(traded(LINEAR, "5"), traded(INVERSE, "1")))
    assert held_at_start(some) == {LINEAR: D(-2), INVERSE: D(-1)}


def test_prices_that_are_needed() -> None:
    some = held({"BTC": 1, "DUST": 1}, [position(LINEAR, "3")], contracts=(traded(LINEAR, "3"),), paid={"EUR": D(1)})
    assert symbols_of(some) == {LINEAR, "BTC/USDT", "USDT/EUR"}
    assert openings_of(some) == {"BTC/USDT", "USDT/EUR"}, "nothing of the contract was held"


@pytest.mark.parametrize(
    ("symbol", "currency"), [(SPOT, "USDT"), (LINEAR, "USDT"), (INVERSE, "BTC"), ("BTC/USD:BTC-260327", "BTC")]
)
def test_the_currency_that_gains_are_counted_in(symbol: str, currency: str) -> None:
    assert currency_of(symbol) == currency


def test_sums_by_name() -> None:
    assert added({"a": D(1)}, {"a": D(2), "b": D(3)}, sign=-1) == {"a": D(-1), "b": D(-3)}
