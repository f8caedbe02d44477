"""A ticker by the short cut is the ticker that ccxt makes."""

from __future__ import annotations

from typing import Any

import ccxt.pro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sources.lean import OF_THE_DAY, LeanMixin

PRICES = ("bid", "ask", "bidVolume", "askVolume")
TEXTS = st.sampled_from([None, "", "0", "0.00000000", "-0", "28621.74000000", "1e-7", "nan", "much", 7, 0.5])


class Lean(LeanMixin, ccxt.pro.binance):  # type: ignore[misc]  # ccxt is not typed
    pass


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    return Lean(), ccxt.pro.binance()


def message(**fields: Any) -> dict[str, Any]:
    """What a class of ccxt's gives to `safe_ticker`."""
    usual: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "timestamp": 1,
        "datetime": "1970",
        **dict.fromkeys((*PRICES, *OF_THE_DAY)),
        "info": {},
    }
    return usual | fields


@settings(max_examples=200)
@given(
    best=st.fixed_dictionaries({}, optional=dict.fromkeys(PRICES, TEXTS)),
    day=st.dictionaries(st.sampled_from(list(OF_THE_DAY)), st.sampled_from(["", "2", "0"]), max_size=3) | st.just({}),
    whole=st.booleans(),
)
def test_it_is_what_ccxt_makes_of_it(
    pair: tuple[Any, Any], best: dict[str, Any], day: dict[str, Any], whole: bool
) -> None:
    given_to = message(**best, **day) if whole else best | day
    lean, usual = (exchange.safe_ticker(dict(given_to)) for exchange in pair)
    assert repr(lean) == repr(usual), "in the same order, too"


def test_numbers_are_of_the_kind_that_is_wanted() -> None:
    lean = Lean()
    lean.number = str
    assert lean.safe_ticker(message(bid="1.10", ask="1.20", bidVolume="1", askVolume="2"))["bid"] == "1.10"
