"""Times and numbers of the wire."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ccxt.base.errors import BadRequest, InvalidOrder
from hypothesis import given
from hypothesis import strategies as st

from driver.mappers.values import TIME_MS_MAX, above_zero, iso8601, milliseconds, plain, text_or_none, whole


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_there_and_back_is_the_same(time_ms: int) -> None:
    assert milliseconds(iso8601(time_ms)) == time_ms


def test_times_of_the_wire() -> None:
    assert milliseconds("2026-02-07T14:30:00.123Z") == 1770474600123
    assert iso8601(1770474600123.9) == "2026-02-07T14:30:00.123Z"
    assert milliseconds(None) is None
    assert iso8601(None) is None


def test_a_number_of_milliseconds_is_whole_and_of_this_calendar() -> None:
    assert [whole("since", value) for value in (0, 1.9, "12", TIME_MS_MAX)] == [0, 1, 12, TIME_MS_MAX]
    for value in (None, "x", float("nan"), float("inf"), -1, 10**17):
        with pytest.raises(BadRequest, match="since"):
            whole("since", value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8))
def test_a_number_is_digits_and_a_point(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()
    assert text != "-0"
    assert "." not in text or text[-1] not in "0."


def test_nothing_is_no_text() -> None:
    assert (text_or_none(None), text_or_none(1.5), text_or_none("2")) == (None, "1.5", "2")


@given(st.floats() | st.decimals() | st.integers() | st.text(max_size=20) | st.none() | st.booleans())
def test_an_amount_is_a_number_above_zero_or_an_invalid_order(value: object) -> None:
    try:
        number = above_zero("amount", value)
    except InvalidOrder:
        return
    assert 0 < number < 10**18
    assert number == Decimal(str(value))
