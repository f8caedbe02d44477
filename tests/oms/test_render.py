"""What everybody is told of an order, a deal and a position."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest

from oms.model import Deal, Order, OrderState, Position, Side
from oms.render import deal_data, moment, number, order_data, position_data, status_of
from tests.oms.orders_made import T0_NS, order


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E-8", "0.00000001"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("1.500000000000000000", "1.5"),
        ("-0.0", "0"),
        ("0E-18", "0"),
        ("-20.10", "-20.1"),
        ("123456789012345678.123456789012345678901234567891", "123456789012345678.123456789012345678901234567891"),
    ],
)
def test_a_number_is_plain_and_keeps_every_digit(value: str, text: str) -> None:
    assert number(Decimal(value)) == text


def test_a_time_is_utc_to_the_millisecond() -> None:
    assert moment(1_770_474_600_123_999_999) == "2026-02-07T14:30:00.123Z"


@pytest.mark.parametrize("state", OrderState)
def test_a_status_is_one_of_the_words_of_ccxt(state: OrderState) -> None:
    expected = {"FILLED": "closed", "CANCELED": "canceled", "EXPIRED": "expired", "REJECTED": "rejected"}
    assert status_of(state) == expected.get(state, "open")


def columns(kind: type[Order] | type[Deal] | type[Position]) -> set[str]:
    """The names of the table: times end in `_at`, or say whose time it is."""
    names = (field.name for field in msgspec.structs.fields(kind))
    return {"exchange_time" if name == "exchange_time_ns" else name.removesuffix("_ns") for name in names}


def told(data: Mapping[str, object]) -> set[str]:
    return {name.removesuffix("_at") for name in data}


def test_every_field_is_told_and_can_be_encoded() -> None:
    resting = order(price=Decimal("1E-7"), filled=Decimal("0.4"), closed_ns=T0_NS, flags=("late_fill",))
    data = order_data(resting)
    assert told(data) == columns(Order) | {"remaining", "status"}
    assert (data["price"], data["remaining"], data["closed_at"]) == ("0.0000001", "0.6", "2026-02-07T14:30:00.000Z")
    deal = Deal(
        id=1,
        account_id=1,
        order_id=2,
        position_id=3,
        symbol="BTC/USDT",
        side=Side.BUY,
        qty=Decimal(1),
        price=Decimal(100),
        exchange_trade_id="t",
        more_fees={"BNB": Decimal("0.0100")},
        executed_ns=T0_NS,
        created_ns=T0_NS,
    )
    assert told(deal_data(deal)) == columns(Deal)
    assert deal_data(deal)["more_fees"] == {"BNB": "0.01"}
    position = Position(
        id=3,
        account_id=1,
        symbol="BTC/USDT",
        strategy_id=0,
        qty=Decimal(-1),
        entry_price=Decimal(100),
        fees={"BTC": Decimal("0.00100")},
        opened_ns=T0_NS,
        updated_ns=T0_NS,
    )
    assert told(position_data(position)) == columns(Position)
    assert position_data(position)["fees"] == {"BTC": "0.001"}
    for resource in (data, deal_data(deal), position_data(position)):
        assert msgspec.json.decode(msgspec.json.encode(resource)) == resource
