"""Decimal text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.decimals import parse, show


@given(st.integers(-(10**20), 10**20))
def test_what_is_shown_is_parsed_back(units: int) -> None:
    if units >= 0:
        assert parse(show(units)) == units
    else:
        assert show(units) == "-" + show(-units)


@pytest.mark.parametrize(
    ("text", "units"), [("61837.63000000", 6183763000000), ("1", 100000000), ("0.5", 50000000), ("0.00000001", 1)]
)
def test_parse(text: str, units: int) -> None:
    assert parse(text) == units


def test_more_decimals_than_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="decimals"):
        parse("0.123456789")
