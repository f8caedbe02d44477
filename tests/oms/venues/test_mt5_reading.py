"""MetaTrader 5's named tuples in our words: the fields that count, binary numbers as decimals, what is unclear."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from oms.errors import OmsError
from oms.model import Side
from oms.venues.base import Ending, Holding
from oms.venues.mt5_reading import ending, login_of, money, number, statement
from oms.venues.mt5_remote import plain
from tests.oms.venues.terminal import LOGIN, account, deal, position

D = Decimal


def test_an_account_is_told_with_its_figures_and_positions() -> None:
    said = statement(plain(account(balance=1000.5, margin_level=math.inf)), [plain(position(7, type=1, sl=1.09))])
    assert said.figures == {
        "balance": D("1000.50"), "equity": D("1000.00"), "profit": D("0.00"), "margin": D("0.00"),
        "margin_free": D("1000.00"), "margin_level": None, "credit": D("0.00"),
    }  # fmt: skip
    assert said.currency == "USD"
    assert said.holdings == {
        7: Holding(
            ticket=7, symbol="EURUSD", side=Side.SELL, volume=D("1.0"), price=D("1.085"), sl=D("1.09"), tp=D("0.0"),
            mark=D("1.0851"), profit=D("10.00"),
        )
    }  # fmt: skip
    assert login_of(plain(account())) == LOGIN


@pytest.mark.parametrize(("value", "digits", "exact"), [(0.1 + 0.2, 2, "0.30"), (10010.449999999999, 2, "10010.45")])
def test_an_amount_has_the_digits_of_its_currency(value: float, digits: int, exact: str) -> None:
    assert str(money(value, digits)) == exact


def test_a_price_keeps_its_shortest_digits() -> None:
    assert str(number(1.0865)) == "1.0865"
    assert number(math.nan) is None


def test_a_position_ended_at_its_last_closing_deal_with_all_that_it_made() -> None:
    deals = [
        deal(1, 0, price=1.085),
        deal(3, 1, price=1.0865, profit=100.1),
        deal(2, 1, price=1.0860, profit=50.2),
    ]  # fmt: skip
    assert ending([plain(each) for each in deals]) == Ending(price=D("1.0865"), profit=D("150.30"))
    assert ending([plain(deal(1, 0))]) is None, "nothing has closed it yet"
    assert ending([]) is None


@pytest.mark.parametrize("broken", [(), (("balance", "much"),), plain(account(balance=True))])
def test_what_is_no_account_is_an_error_of_the_exchange(broken: Any) -> None:
    with pytest.raises(OmsError) as refused:
        statement(broken, [(("ticket", 1),)])
    assert refused.value.code == "exchange_error"


def test_what_is_no_deal_is_too() -> None:
    with pytest.raises(OmsError):
        ending([(("entry", 1),)])
