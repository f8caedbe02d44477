"""Positions of the gateway as ccxt's positions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.mappers.position import position_fields, unrealized
from tests.driver.stub import position

FIELDS = {
    *(
        "info",
        "id",
        "symbol",
        "timestamp",
        "datetime",
        "lastUpdateTimestamp",
        "initialMargin",
        "initialMarginPercentage",
    ),
    *("maintenanceMargin", "maintenanceMarginPercentage", "entryPrice", "notional", "leverage", "unrealizedPnl"),
    *("realizedPnl", "contracts", "contractSize", "marginRatio", "liquidationPrice", "markPrice", "lastPrice"),
    *("collateral", "marginMode", "side", "percentage", "hedged", "stopLossPrice", "takeProfitPrice"),
    "positionMargin",
}
prices = st.decimals("1", "100000", places=2)
sizes = st.decimals("0.001", "1000", places=3)


def test_a_position_has_every_unified_field() -> None:
    made = position_fields(position(), 51000)
    assert set(made) == FIELDS
    assert (made["id"], made["side"], made["contracts"], made["contractSize"]) == ("3", "long", "0.5", "1")
    assert (made["entryPrice"], made["markPrice"], made["unrealizedPnl"], made["realizedPnl"]) == (
        "50000", "51000", "500", "1.5",
    )  # fmt: skip
    assert (made["notional"], made["stopLossPrice"], made["hedged"]) == ("25500", "45000", False)
    assert (made["timestamp"], made["lastUpdateTimestamp"]) == (1770472800000, 1770473400000)


@pytest.mark.parametrize(("qty", "side"), [("0.5", "long"), ("-0.5", "short"), ("0", "short")])
def test_what_is_held_is_contracts_on_a_side(qty: str, side: str) -> None:
    made = position_fields(position(qty=qty, side=side))
    assert made["side"] == side
    assert made["contracts"] == qty.removeprefix("-")


@pytest.mark.parametrize(("qty", "side"), [("0.5", "long"), ("-0.5", "short"), ("0", None)])
def test_an_event_from_before_sides_were_told_has_that_of_its_quantity(qty: str, side: str | None) -> None:
    old = position(qty=qty)
    del old["side"]
    assert position_fields(old)["side"] == side


def test_without_a_price_there_is_no_value() -> None:
    made = position_fields(position())
    assert (made["markPrice"], made["unrealizedPnl"], made["notional"]) == (None, None, "25000")
    assert position_fields(position(entry_price=None), 5)["unrealizedPnl"] is None


def test_what_is_flat_is_worth_nothing() -> None:
    made = position_fields(position(qty="0", state="closed", closed_at="2026-02-07T15:00:00.000Z"))
    assert (made["contracts"], made["unrealizedPnl"], made["side"]) == ("0", "0", "long")


def test_an_inverse_contract_is_worth_its_size_over_the_price() -> None:
    made = position_fields(
        position(qty="-10", side="short", contract_size="100", inverse=True, entry_price="50000"), "40000"
    )
    assert (made["notional"], made["unrealizedPnl"]) == ("0.025", "0.005"), "a short gains when the price falls"


@pytest.mark.parametrize(("net_key", "hedged"), [(None, True), ("1:BTC", False)])
def test_where_positions_do_not_net_they_are_hedged(net_key: str | None, hedged: bool) -> None:
    assert position_fields(position(net_key=net_key))["hedged"] is hedged


@given(entry=prices, mark=prices, size=sizes, inverse=st.booleans())
def test_long_and_short_of_the_same_cancel_out(entry: Decimal, mark: Decimal, size: Decimal, inverse: bool) -> None:
    gained, lost = (unrealized(size * sign, entry, mark, inverse=inverse) for sign in (1, -1))
    assert gained is not None
    assert lost is not None
    assert abs(Decimal(gained) + Decimal(lost)) < Decimal("1e-20")
    assert (Decimal(gained) > 0) == (mark > entry)
