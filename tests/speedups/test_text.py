"""Canonical number text against Decimal, and strings against the standard library's JSON reader."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.book import Book
from _speedups.text import number

FINITE = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"), st.integers(-(10**18), 10**18), st.integers(-30, 30)
)


def model(value: float) -> str:
    """Python's repr is the shortest decimal that reads back; write it out without exponent and trailing zeros."""
    text = format(Decimal(repr(value)), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@given(FINITE | DECIMALS)
def test_number_is_the_shortest_text_without_exponent(value: float) -> None:
    text = number(value)
    assert text == model(value)
    assert float(text) == value


@given(st.integers(0, 10**15), st.integers(0, 22))
def test_number_of_a_short_decimal_is_that_decimal(digits: int, decimals: int) -> None:
    assert Decimal(number(digits / 10**decimals)) == Decimal(digits).scaleb(-decimals)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (61837.0, "61837"),
        (0.00001, "0.00001"),
        (1e-8, "0.00000001"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e15, "1000000000000000"),
        (999999999999999.9, "999999999999999.9"),
        (1e22, "10000000000000000000000"),
        (1.5e300, "15" + "0" * 299),
        (5e-324, "0." + "0" * 323 + "5"),
        (-12.5, "-12.5"),
        (-0.0, "0"),
    ],
)
def test_number_examples(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="has no JSON text"):
        number(value)


@given(st.text())
def test_strings_are_escaped(name: str) -> None:
    assert json.loads(Book(1).snapshot(name, name))["symbol"] == name


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        Book(1).snapshot("\ud800", "sim")
