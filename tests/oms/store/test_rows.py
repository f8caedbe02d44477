"""Values on their way to and from columns: nothing is lost but what a column does not have."""

from __future__ import annotations

from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from oms.store import rows

AMOUNTS = st.decimals(-(10**17), 10**17, places=18)


@given(AMOUNTS)
def test_an_amount_is_the_same_without_the_zeros_of_its_column(amount: Decimal) -> None:
    short = rows.plain(amount)
    assert short is not None
    assert short == amount
    assert not amount or short.as_tuple().digits[-1] != 0 or short.as_tuple().exponent == 0


def test_a_round_amount_has_no_exponent() -> None:
    assert str(rows.plain(Decimal("1000.000000000000000000"))) == "1000"
    assert str(rows.plain(Decimal("-0.000000000000000000"))) == "0"
    assert rows.plain(None) is None


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_a_time_is_cut_to_microseconds(at_ns: int) -> None:
    assert rows.ns_of(rows.time_of(at_ns)) == at_ns // 1000 * 1000


@given(st.text())
def test_text_is_kept_but_for_characters_of_code_0(text: str) -> None:
    (row,) = orjson.loads(rows.encode([{"x": text}]))
    assert row["x"] == text.replace("\x00", "\ufffd")
