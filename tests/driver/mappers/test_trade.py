"""Deals of the gateway as ccxt's trades, through ccxt's own `safe_trade`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.mappers.trade import fees, joined, order_type, trade_fields
from driver.sync import OmsCcxtExchange
from tests.driver.stub import deal, order

EXCHANGE = OmsCcxtExchange()
FIELDS = {
    *("info", "id", "timestamp", "datetime", "symbol", "order", "type", "side", "takerOrMaker", "price", "amount"),
    *("cost", "fee", "fees"),
}
amounts = st.decimals("0.00000001", "1000000", places=8)


def test_a_trade_has_every_unified_field() -> None:
    trade: dict[str, Any] = EXCHANGE.safe_trade(trade_fields(deal(7), order()))
    assert set(trade) == FIELDS
    assert (trade["id"], trade["order"], trade["info"]["exchange_trade_id"]) == ("7", "10", "t7")
    assert (trade["timestamp"], trade["datetime"]) == (1770474637250, "2026-02-07T14:30:37.250Z")
    assert (trade["symbol"], trade["type"], trade["side"], trade["takerOrMaker"]) == (
        "BTC/USDT",
        "limit",
        "buy",
        "taker",
    )
    assert (trade["price"], trade["amount"], trade["cost"]) == (49999.5, 0.005, 249.9975)
    assert trade["fee"] == {"currency": "BTC", "cost": 0.000005}
    assert trade["fees"] == [{"currency": "BTC", "cost": 0.000005}]


@pytest.mark.parametrize(("maker", "word"), [(True, "maker"), (False, "taker"), (None, None)])
def test_who_was_first(maker: bool | None, word: str | None) -> None:
    assert trade_fields(deal(maker=maker))["takerOrMaker"] == word


def test_what_is_not_known_is_none() -> None:
    trade: dict[str, Any] = EXCHANGE.safe_trade(trade_fields(deal(fee_currency=None, fee="0")))
    assert (trade["type"], trade["fee"], trade["fees"]) == (None, {"cost": None, "currency": None}, [])
    assert fees([deal(fee_currency=None)]) == []


def test_what_was_paid_in_a_second_currency_is_told() -> None:
    halves = [
        deal(1, more_fees={"USDT": "0.1"}),
        deal(2, exchange_trade_id="t1", more_fees={"USDT": "0.2", "XRP": "1"}),
    ]
    (whole,) = joined(halves)
    paid = [{"currency": "BTC", "cost": 0.00001}, {"currency": "USDT", "cost": 0.3}, {"currency": "XRP", "cost": 1.0}]
    trade: dict[str, Any] = EXCHANGE.safe_trade(trade_fields(whole))
    assert (trade["fees"], trade["fee"]) == (paid, paid[0])
    assert halves[0]["more_fees"] == {"USDT": "0.1"}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        *(("limit", "limit"), ("stop_limit", "limit"), ("market", "market"), ("stop", "market")),
        *(("take_profit", "market"), ("take_profit_limit", "limit")),
    ],
)
def test_a_stop_order_is_of_the_type_that_it_becomes(kind: str, word: str) -> None:
    assert order_type(order(order_type=kind)) == word


@given(price=amounts, qty=amounts, paid=amounts)
def test_a_trade_costs_its_price_times_its_amount(price: Decimal, qty: Decimal, paid: Decimal) -> None:
    trade: dict[str, Any] = EXCHANGE.safe_trade(trade_fields(deal(price=str(price), qty=str(qty), fee=str(paid))))
    assert trade["price"] == float(price)
    assert trade["amount"] == float(qty)
    assert trade["fee"]["cost"] == float(paid)
    assert trade["cost"] == pytest.approx(float(price * qty), rel=1e-9, abs=1e-15)


def test_an_execution_that_turned_a_position_is_one_trade() -> None:
    turned = [deal(1, qty="0.3", fee="0.1", realized_pnl="5"), deal(2, qty="0.7", fee="0.2", exchange_trade_id="t1")]
    others = [deal(3), deal(4, 11, exchange_trade_id="t1")]
    first, *rest = joined([*turned, *others])
    assert first == {**deal(1), "qty": "1", "fee": "0.3", "realized_pnl": "5"}
    assert rest == others
    assert turned[0]["qty"] == "0.3"


def test_a_contract_counts_by_its_size() -> None:
    linear = {"contractSize": 10, "inverse": False, "symbol": "BTC/USDT:USDT"}
    inverse = {"contractSize": 100, "inverse": True, "symbol": "BTC/USD:BTC"}
    row = deal(price="50000", qty="2")
    assert EXCHANGE.safe_trade(trade_fields(row), linear)["cost"] == 1_000_000
    assert EXCHANGE.safe_trade(trade_fields(row), inverse)["cost"] == 0.004
