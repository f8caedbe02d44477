"""ccxt's dicts as values: no digit lost, nothing guessed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.model import ZERO, OrderType, Side
from oms.venues import convert
from oms.venues.base import VenuePosition, VenueTrade
from oms.venues.convert import UnclearError
from tests.oms import orders_made

ORDER: dict[str, Any] = {
    "id": "7",
    "clientOrderId": "mine",
    "symbol": "BTC/USDT",
    "type": "limit",
    "side": "buy",
    "price": "50000.10000000",
    "amount": "0.30000000",
    "filled": "0.10000000",
    "average": "50000.00000001",
    "status": "open",
    "timestamp": 1_000,
    "lastTradeTimestamp": 3_000,
    "lastUpdateTimestamp": None,
    "info": {"orderId": 7},
}
TRADE: dict[str, Any] = {
    "id": "11",
    "order": "7",
    "symbol": "BTC/USDT",
    "side": "sell",
    "amount": "0.1",
    "price": "50000",
    "takerOrMaker": "maker",
    "timestamp": 2_000,
    "fee": {"cost": "0.0001", "currency": "BNB"},
}


def test_an_order_is_told_exactly() -> None:
    order = convert.order(ORDER)
    assert (order.exchange_order_id, order.client_order_id, order.symbol) == ("7", "mine", "BTC/USDT")
    assert (order.side, order.order_type, order.status) == (Side.BUY, OrderType.LIMIT, "open")
    assert (order.qty, order.filled, order.price) == (Decimal("0.3"), Decimal("0.1"), Decimal("50000.1"))
    assert order.average_price == Decimal("50000.00000001")
    assert (order.created_ns, order.time_ns) == (1_000_000_000, 3_000_000_000)
    assert order.raw == {"orderId": 7}


@given(st.decimals(min_value="0.000000000000000001", max_value=10**17, places=18))
def test_no_digit_is_lost(exact: Decimal) -> None:
    assert convert.number(f"{exact:f}") == exact


@pytest.mark.parametrize("nothing", [None, "", "NaN"])
def test_what_is_no_number(nothing: str | None) -> None:
    assert convert.number(nothing) is None


def test_what_an_answer_leaves_out_is_what_was_asked_for() -> None:
    asked = orders_made.order(symbol="ETH/USDT", qty=Decimal(3), price=Decimal(9), side=Side.SELL)
    order = convert.order({"id": "8", "info": {}}, asked, "name")
    assert (order.exchange_order_id, order.client_order_id, order.symbol) == ("8", "name", "ETH/USDT")
    assert (order.side, order.qty, order.price, order.status) == (Side.SELL, Decimal(3), Decimal(9), "open")
    assert order.time_ns == 0


def test_a_cancel_is_answered_under_the_name_of_the_order() -> None:
    told = {**ORDER, "clientOrderId": "of-the-cancel", "info": {"origClientOrderId": "mine"}}
    assert convert.order(told).client_order_id == "mine"


@pytest.mark.parametrize("missing", ["id", "symbol", "side", "amount"])
def test_an_order_that_could_be_any_is_unclear(missing: str) -> None:
    with pytest.raises(UnclearError):
        convert.order({**ORDER, missing: None})


@pytest.mark.parametrize(
    ("said", "filled", "meant"),
    [
        ("open", "0", "open"),
        ("canceling", "0", "open"),
        ("canceled", "0.1", "canceled"),
        ("expired", "0", "expired"),
        ("rejected", "0", "rejected"),
        ("closed", "1", "filled"),
        ("closed", "0.9", "canceled"),
        (None, "0", "open"),
    ],
)
def test_statuses(said: str | None, filled: str, meant: str) -> None:
    assert convert.status(said, Decimal(filled), Decimal(1)) == meant


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"type": "limit"}, OrderType.LIMIT),
        ({"type": "limit_maker"}, OrderType.LIMIT),
        ({"type": "market"}, OrderType.MARKET),
        ({"type": "market", "triggerPrice": "5"}, OrderType.STOP),
        ({"type": "limit", "triggerPrice": "5"}, OrderType.STOP_LIMIT),
        ({"type": "limit", "triggerPrice": "0.0"}, OrderType.LIMIT),
        ({"type": "stop_loss"}, OrderType.STOP),
        ({"type": "stop_loss_limit"}, OrderType.STOP_LIMIT),
        ({"type": "stop_market"}, OrderType.STOP),
        ({"type": "stop", "price": "7"}, OrderType.STOP_LIMIT),
        ({"type": "take_profit"}, OrderType.TAKE_PROFIT),
        ({"type": "take_profit_limit"}, OrderType.TAKE_PROFIT_LIMIT),
        ({"type": "market", "triggerPrice": "5", "info": {"type": "TAKE_PROFIT"}}, OrderType.TAKE_PROFIT),
        ({"type": "limit", "triggerPrice": "5", "info": {"o": "TAKE_PROFIT_LIMIT"}}, OrderType.TAKE_PROFIT_LIMIT),
        ({"type": "limit", "triggerPrice": "5", "info": {"type": "STOP_LOSS_LIMIT"}}, OrderType.STOP_LIMIT),
        ({"type": "limit", "triggerPrice": "5", "info": {"type": 7}}, OrderType.STOP_LIMIT),
        ({"type": "limit", "triggerPrice": "5", "info": []}, OrderType.STOP_LIMIT),
        ({}, OrderType.LIMIT),
    ],
)
def test_order_types(told: dict[str, Any], kind: OrderType) -> None:
    assert convert.order_type(told) is kind


def test_a_stop_has_the_trigger_it_was_told_with_or_asked_for_with() -> None:
    stop = {**ORDER, "type": "stop_loss_limit"}
    asked = orders_made.order(order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(9))
    assert convert.order({**stop, "triggerPrice": "5.5"}, asked).trigger_price == Decimal("5.5")
    assert convert.order(stop, asked).trigger_price == Decimal(9)
    assert convert.order(stop).trigger_price is None
    assert convert.order({**ORDER, "triggerPrice": "0.0"}).trigger_price is None


def test_a_market_order_has_no_price() -> None:
    assert convert.order({**ORDER, "type": "market"}).price is None


def test_nothing_filled_has_no_average_price() -> None:
    assert convert.order({**ORDER, "filled": "0.0", "average": "0.0"}).average_price is None


def test_a_trade() -> None:
    assert convert.trade(TRADE) == VenueTrade(
        exchange_trade_id="11",
        exchange_order_id="7",
        client_order_id=None,
        symbol="BTC/USDT",
        side=Side.SELL,
        qty=Decimal("0.1"),
        price=Decimal(50_000),
        fee=Decimal("0.0001"),
        fee_currency="BNB",
        maker=True,
        time_ns=2_000_000_000,
    )


def test_a_trade_without_what_it_need_not_have() -> None:
    trade = convert.trade({**TRADE, "id": None, "fee": None, "takerOrMaker": None})
    assert (trade.exchange_trade_id, trade.fee, trade.fee_currency, trade.maker) == (None, ZERO, None, None)


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"x": "TRADE", "c": "mine"}, "mine"),
        ({"c": "something else"}, None),
        ({"orderLinkId": "mine"}, "mine"),
        ({"clOrdId": ""}, None),
        (None, None),
    ],
)
def test_a_trade_of_an_order_by_its_client_id(info: object, name: str | None) -> None:
    assert convert.trade({**TRADE, "info": info}).client_order_id == name


def test_fees_in_parts_are_one_fee() -> None:
    fees = [{"cost": "1", "currency": "BNB"}, {"cost": "0.5", "currency": "BNB"}]
    assert convert.trade({**TRADE, "fees": fees}).fee == Decimal("1.5")


def test_fees_in_other_currencies_are_kept_beside_that_in_base() -> None:
    fees = [{"cost": "1", "currency": "BNB"}, {"cost": "0.5", "currency": "BTC"}, {"cost": "0.25", "currency": "BNB"},
            {"cost": "0", "currency": "USDT"}, {"cost": "2", "currency": None}]  # fmt: skip
    trade = convert.trade({**TRADE, "symbol": "BTC/USDT", "fees": fees})
    assert (trade.fee, trade.fee_currency) == (Decimal("0.5"), "BTC")
    assert trade.more_fees == {"BNB": Decimal("1.25"), "": Decimal(2)}
    without = convert.trade({**TRADE, "symbol": "ETH/USDT", "fees": fees})
    assert (without.fee, without.fee_currency, [*without.more_fees]) == (Decimal("1.25"), "BNB", ["BTC", ""])


def test_a_rebate_is_a_fee_below_zero() -> None:
    assert convert.trade({**TRADE, "fee": {"cost": "-0.2", "currency": "USDT"}}).fee == Decimal("-0.2")


@pytest.mark.parametrize("missing", ["order", "symbol", "side", "amount", "price"])
def test_a_trade_that_could_be_any_is_unclear(missing: str) -> None:
    with pytest.raises(UnclearError):
        convert.trade({**TRADE, missing: None})


@pytest.mark.parametrize(("side", "qty"), [("long", "2"), ("short", "-2")])
def test_positions_are_signed(side: str, qty: str) -> None:
    told = {"symbol": "BTC/USDT:USDT", "side": side, "contracts": "2", "entryPrice": "10"}
    assert convert.position(told) == VenuePosition(symbol="BTC/USDT:USDT", qty=Decimal(qty), entry_price=Decimal(10))


def test_a_flat_position_needs_no_side() -> None:
    assert convert.position({"symbol": "X", "side": None, "contracts": "0", "entryPrice": "0"}).entry_price is None


def test_a_position_without_a_side_is_unclear() -> None:
    with pytest.raises(UnclearError):
        convert.position({"symbol": "X", "side": None, "contracts": "1"})


def test_balances() -> None:
    assert convert.balances({"total": {"BTC": "1.5", "USDT": None}}) == {"BTC": Decimal("1.5")}


def test_an_instrument() -> None:
    market = {
        "symbol": "BTC/USD:BTC",
        "base": "BTC",
        "quote": "USD",
        "contractSize": "100",
        "inverse": True,
        "spot": False,
        "precision": {"price": "0.1", "amount": "1"},
        "limits": {"amount": {"min": "1"}, "cost": {"min": None, "max": "9"}, "market": {"max": "5"}, "price": {}},
    }
    instrument = convert.instrument(market, convert.TICK_SIZE)
    assert (instrument.contract_size, instrument.inverse, instrument.spot) == (Decimal(100), True, False)
    assert (instrument.price_step, instrument.qty_step) == (Decimal("0.1"), Decimal(1))
    assert (instrument.qty_min, instrument.qty_max, instrument.market_qty_max) == (Decimal(1), ZERO, Decimal(5))
    assert (instrument.notional_min, instrument.notional_max) == (ZERO, Decimal(9))
    assert (instrument.price_min, instrument.price_max) == (ZERO, ZERO)


@pytest.mark.parametrize(
    ("precision", "mode", "step"),
    [("0.05", convert.TICK_SIZE, "0.05"), (3, convert.DECIMAL_PLACES, "0.001"), (5, 3, "0"), (None, 4, "0")],
)
def test_steps(precision: object, mode: int, step: str) -> None:
    assert convert.step(precision, mode) == Decimal(step)


def test_trades_without_an_id_that_are_alike_are_counted() -> None:
    def nths(*changes: dict[str, Any]) -> list[int]:
        return [each.nth for each in convert.counted(convert.trade({**TRADE, "id": None} | each) for each in changes)]

    assert nths({}, {}, {}) == [0, 1, 2]
    assert nths({}, {"price": "50001"}, {"timestamp": 2_001}, {"order": "8"}, {"amount": "0.2"}, {}) == [
        0,
        0,
        0,
        0,
        0,
        1,
    ]
    assert nths({"id": "1"}, {"id": "1"}) == [0, 0]
