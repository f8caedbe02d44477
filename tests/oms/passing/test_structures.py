"""Unified structures of what the OMS knows: every field that ccxt's own have, with the same values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import msgspec
import pytest

from oms.model import Instrument, OrderState, OrderType, Position, PositionSide, PositionState
from oms.passing import structures
from tests.oms import full_rows
from tests.oms.full_rows import T
from tests.oms.orders_made import INVERSE, LINEAR, SPOT, order

EXCHANGE = ccxt.Exchange()
T_MS = T // 1_000_000


def held(**changes: Any) -> Position:
    usual = {
        "side": PositionSide.LONG,
        "inverse": False,
        "contract_size": Decimal(1),
        "entry_price": Decimal(100),
        "qty": Decimal(2),
    }
    return full_rows.position(1, **{**usual, **changes})


def test_every_field_of_ccxts_structures_is_there() -> None:
    assert set(EXCHANGE.safe_order({})) - set(structures.order(order())) == set()
    assert set(EXCHANGE.safe_trade({"amount": "1", "price": "1"})) - set(structures.trade(full_rows.deal(1))) == set()
    assert set(EXCHANGE.safe_position({})) - set(structures.position(held())) == set()
    assert set(structures.no_position("A/B")) == set(structures.position(held()))


def test_an_order_is_what_ccxt_makes_of_the_same_one() -> None:
    row = order(
        5, qty=Decimal("1.5"), filled=Decimal("0.5"), average_price=Decimal(90), state=OrderState.PARTIALLY_FILLED
    )  # fmt: skip
    ours = structures.order(row)
    theirs = EXCHANGE.safe_order({
        "id": "5", "clientOrderId": "c5", "symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": "1.5",
        "filled": "0.5", "average": "90", "price": "100", "status": "open", "timeInForce": "GTC",
        "timestamp": ours["timestamp"], "datetime": ours["datetime"],
    })  # fmt: skip
    names = ("id", "clientOrderId", "symbol", "type", "side", "amount", "filled", "remaining", "average", "price",
             "cost", "status", "timeInForce", "timestamp", "datetime", "fees", "trades")  # fmt: skip
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


def test_deals_of_an_order_tell_its_fees_and_its_last_trade() -> None:
    deals = [
        full_rows.deal(1, fee=Decimal(1), fee_currency="BNB", more_fees={}, executed_ns=T + 5_000_000),
        full_rows.deal(2, fee=Decimal(2), fee_currency="BNB", more_fees={}),
    ]
    told = structures.order(order(), deals)
    assert told["fees"] == [{"currency": "BNB", "cost": 3.0}]
    assert told["fee"] == {"currency": "BNB", "cost": 3.0}
    assert told["lastTradeTimestamp"] == T_MS + 5
    deals += [full_rows.deal(3, fee_currency="USDT", fee=Decimal(1), more_fees={"": Decimal(4)})]
    told = structures.order(order(), deals)
    assert told["fee"] is None
    assert [fee["currency"] for fee in told["fees"]] == ["BNB", "USDT", None]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"order_type": OrderType.MARKET, "price": None}, {"type": "market", "timeInForce": "IOC", "price": None}),
        ({"order_type": OrderType.MARKET, "price": None, "average_price": Decimal(7)}, {"price": 7.0}),
        ({"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(9)}, {"type": "limit", "triggerPrice": 9.0}),
        (
            {"order_type": OrderType.STOP, "price": None, "trigger_price": Decimal(9)},
            {"type": "market", "timeInForce": "GTC"},
        ),
        (
            {"order_type": OrderType.TAKE_PROFIT, "price": None, "trigger_price": Decimal(9), "stop_gain": Decimal(8)},
            {"type": "market", "triggerPrice": 9.0, "takeProfitPrice": 9.0, "timeInForce": "GTC"},
        ),
        ({"order_type": OrderType.TAKE_PROFIT_LIMIT, "trigger_price": Decimal(9)}, {"type": "limit"}),
        ({"post_only": True}, {"timeInForce": "PO", "postOnly": True}),
        ({"state": OrderState.UNKNOWN}, {"status": "open"}),
        ({"state": OrderState.FILLED}, {"status": "closed"}),
        ({"state": OrderState.REJECTED}, {"status": "rejected"}),
        ({"stop_loss": Decimal(1), "stop_gain": Decimal(2)}, {"stopLossPrice": 1.0, "takeProfitPrice": 2.0}),
    ],
)
def test_kinds_and_states_of_orders(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert structures.order(order(**changes)).items() >= expected.items()


@pytest.mark.parametrize(("instrument", "cost"), [(None, 200.0), (SPOT, 200.0), (LINEAR, 2.0), (INVERSE, 2.0)])
def test_what_a_contract_costs_is_what_it_stands_for(instrument: Instrument | None, cost: float) -> None:
    row = order(filled=Decimal(2), average_price=Decimal(100))
    assert structures.order(row, (), instrument)["cost"] == cost
    assert structures.trade(full_rows.deal(1, qty=Decimal(2), price=Decimal(100)), None, instrument)["cost"] == cost


def test_a_trade_names_its_order_and_both_are_ours() -> None:
    told = structures.trade(full_rows.deal(3, order_id=8), order(8))
    assert (told["id"], told["order"], told["type"], told["takerOrMaker"]) == ("3", "8", "limit", "maker")
    assert told["info"]["exchange_trade_id"] == "t3"
    assert structures.trade(full_rows.deal(3))["type"] is None


@pytest.mark.parametrize(
    ("changes", "mark", "side", "unrealized"),
    [
        ({}, 110, "long", 20.0),
        ({"qty": Decimal(-2), "side": PositionSide.SHORT}, 110, "short", -20.0),
        ({"contract_size": Decimal("0.5")}, 110, "long", 10.0),
        ({"inverse": True, "contract_size": Decimal(100)}, 200, "long", 1.0),
        ({}, None, "long", None),
        ({"qty": Decimal(0), "entry_price": None, "state": PositionState.CLOSED}, 110, "long", 0.0),
    ],
)
def test_a_position_is_valued_at_its_price(
    changes: dict[str, Any], mark: int | None, side: str | None, unrealized: float | None
) -> None:
    told = structures.position(held(**changes), None if mark is None else Decimal(mark))
    assert (told["side"], told["unrealizedPnl"]) == (side, unrealized)
    assert told["contracts"] == abs(told["info"] and float(told["info"]["qty"]))


def test_an_order_that_was_refused_is_a_rejected_one() -> None:
    payload = {"symbol": "A/B", "side": "buy", "qty": Decimal(1), "order_type": "market"}
    told = structures.order_not_told(payload, {"order_id": 5, "error": {"code": "insufficient_funds"}}, is_refused=True)
    assert (told["id"], told["status"], told["type"], told["filled"]) == ("5", "rejected", "market", 0.0)


def test_an_order_of_which_nobody_knows_has_no_status() -> None:
    payload = {"symbol": "A/B", "side": "buy", "qty": Decimal(1), "order_type": "market"}
    told = structures.order_not_told(payload, {"order_id": None, "error": None}, is_refused=False)
    assert (told["id"], told["status"], told["filled"], told["remaining"]) == (None, None, None, None)


def test_all_of_it_is_json() -> None:
    told = [structures.order(full_rows.order(1)), structures.trade(full_rows.deal(1)), structures.position(held())]
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
