"""Arguments of createOrder as the gateway's send_order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from ccxt.base.errors import ArgumentsRequired, InvalidOrder, NotSupported
from hypothesis import given
from hypothesis import strategies as st

from driver.payloads import check_change, send_order
from oms.commands import Request, parse
from tests.driver.stub import order

LIMIT = {"symbol": "BTC/USDT", "side": "buy", "qty": "1", "order_type": "limit", "price": "2"}
MARKET = {"symbol": "BTC/USDT", "side": "buy", "qty": "1", "order_type": "market"}


def made(kind: str = "limit", **params: Any) -> dict[str, Any]:
    return send_order("BTC/USDT", kind, "buy", "1", "2" if kind == "limit" else None, params)


def accepted(payload: dict[str, Any]) -> bool:
    """Whether the gateway understands it."""
    (asked,) = parse({"account_id": 1, "command": "send_order", "payload": payload})
    return isinstance(asked, Request)


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("limit", {}, LIMIT),
        ("LIMIT", {}, LIMIT),
        ("market", {}, MARKET),
        ("limit", {"timeInForce": "IOC"}, {**LIMIT, "time_in_force": "IOC"}),
        ("limit", {"timeInForce": "PO"}, {**LIMIT, "post_only": True}),
        ("limit", {"postOnly": True, "timeInForce": "GTC"}, {**LIMIT, "post_only": True}),
        ("limit", {"postOnly": False}, LIMIT),
        ("market", {"timeInForce": "IOC"}, MARKET),
        ("market", {"timeInForce": "GTC"}, MARKET),
        ("limit", {"timeInForce": "GTD", "goodTillDate": 1770474600123},
         {**LIMIT, "time_in_force": "GTD", "expires_at": "2026-02-07T14:30:00.123Z"}),
        ("limit", {"reduceOnly": True}, {**LIMIT, "reduce_only": True}),
        ("limit", {"reduceOnly": False}, LIMIT),
        ("limit", {"clientOrderId": "mine"}, {**LIMIT, "client_order_id": "mine"}),
        ("market", {"triggerPrice": 3.5}, {**MARKET, "order_type": "stop", "trigger_price": "3.5"}),
        ("market", {"stopPrice": "3.5", "triggerPrice": 3.5}, {**MARKET, "order_type": "stop", "trigger_price": "3.5"}),
        ("market", {"takeProfitPrice": 3.5}, {**MARKET, "order_type": "take_profit", "trigger_price": "3.5"}),
        ("limit", {"takeProfitPrice": 3}, {**LIMIT, "order_type": "take_profit_limit", "trigger_price": "3"}),
        ("limit", {"stopLossPrice": 3}, {**LIMIT, "order_type": "stop_limit", "trigger_price": "3"}),
        ("limit", {"stopLoss": {"triggerPrice": 1.5}, "takeProfit": {"triggerPrice": 4}},
         {**LIMIT, "stop_loss": "1.5", "stop_gain": "4"}),
        ("limit", {"stopLoss": {"stopPrice": 1.5, "type": "market"}}, {**LIMIT, "stop_loss": "1.5"}),
        ("limit", {"stop_loss": "1", "comment": "c", "position_id": 7},
         {**LIMIT, "stop_loss": "1", "comment": "c", "position_id": 7}),
        ("limit", {"selfTradePreventionMode": "NONE", "unset": None},
         {**LIMIT, "params": {"selfTradePreventionMode": "NONE"}}),
    ],
)  # fmt: skip
def test_each_param_is_its_field(kind: str, params: dict[str, Any], expected: dict[str, Any]) -> None:
    payload = send_order("BTC/USDT", kind, "Buy", "1", "2" if kind.lower() == "limit" else None, params)
    assert payload == expected
    assert accepted(payload)


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("stop", {}, InvalidOrder),
        ("limit", {"takeProfitPrice": 5, "stopLossPrice": 4}, InvalidOrder),
        ("limit", {"takeProfitPrice": 5, "triggerPrice": 5}, InvalidOrder),
        ("market", {"trailingPercent": 1}, NotSupported),
        ("market", {"cost": 100}, NotSupported),
        ("market", {"triggerPrice": 1, "stopLossPrice": 2}, InvalidOrder),
        ("limit", {"postOnly": True, "timeInForce": "IOC"}, InvalidOrder),
        ("limit", {"postOnly": "false"}, InvalidOrder),
        ("limit", {"reduceOnly": ["false"]}, InvalidOrder),
        ("limit", {"stopLoss": {"triggerPrice": 1, "price": 2}}, NotSupported),
        ("limit", {"takeProfit": {"triggerPrice": 1, "type": "limit"}}, NotSupported),
        ("limit", {"takeProfit": {}}, ArgumentsRequired),
    ],
)
def test_what_the_gateway_cannot_do_as_ccxt_means_it_is_refused(kind: str, params: dict[str, Any], error: Any) -> None:
    with pytest.raises(error):
        made(kind, **params)


def test_a_limit_order_requires_a_price() -> None:
    with pytest.raises(ArgumentsRequired):
        send_order("BTC/USDT", "limit", "buy", "1", None, {})


STOP = order(order_type="stop_limit", trigger_price="90.5", post_only=True, reduce_only=True)


@pytest.mark.parametrize(
    ("symbol", "kind", "side", "params"),
    [
        ("BTC/USDT", "limit", "buy", {}),
        (None, None, None, {}),
        ("BTC/USDT", "LIMIT", "Buy", {"triggerPrice": 90.50, "stopPrice": "90.5"}),
        ("BTC/USDT", "limit", "buy", {"postOnly": True, "reduceOnly": True, "timeInForce": "PO", "unset": None}),
        ("BTC/USDT", "limit", "buy", {"strategy_id": 3, "request_id": "r", "clientOrderId": "mine-10"}),
    ],
)
def test_an_edit_may_say_what_the_order_has_already(symbol: Any, kind: Any, side: Any, params: dict[str, Any]) -> None:
    check_change(STOP, symbol, kind, side, params)


@pytest.mark.parametrize(
    ("symbol", "kind", "side", "params", "error"),
    [
        ("ETH/USDT", "limit", "buy", {}, InvalidOrder),
        ("BTC/USDT", "market", "buy", {}, InvalidOrder),
        ("BTC/USDT", "limit", "sell", {}, InvalidOrder),
        ("BTC/USDT", "limit", "buy", {"triggerPrice": 91}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"stopPrice": "soon"}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"stopLossPrice": 91}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"takeProfitPrice": 90.5}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"timeInForce": "IOC"}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"postOnly": False}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"clientOrderId": "another"}, NotSupported),
        ("BTC/USDT", "limit", "buy", {"stopLoss": {"triggerPrice": 91}}, NotSupported),
    ],
)
def test_an_edit_that_asks_for_more_than_amount_and_price_is_refused(
    symbol: str, kind: str, side: str, params: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_change(STOP, symbol, kind, side, params)


def test_an_edit_may_say_what_profit_the_order_takes_and_no_other() -> None:
    profit = order(order_type="take_profit", trigger_price="90.5", price=None)
    for name in ("takeProfitPrice", "triggerPrice", "stopPrice"):
        check_change(profit, None, "market", None, {name: 90.5})
    for params in ({"takeProfitPrice": 91}, {"stopLossPrice": 90.5}):
        with pytest.raises(NotSupported):
            check_change(profit, None, None, None, params)


prices = st.decimals("0.00000001", "1000000", places=8).map(lambda number: f"{number:f}")


@given(
    kind=st.sampled_from(["limit", "market"]),
    side=st.sampled_from(["buy", "sell"]),
    amount=prices,
    price=prices,
    params=st.fixed_dictionaries(
        {},
        optional={
            "reduceOnly": st.booleans(),
            "clientOrderId": st.from_regex(r"[A-Za-su-z0-9][A-Za-z0-9-]{0,35}", fullmatch=True),
            "triggerPrice": prices | st.floats(0.01, 1e6).map(lambda price: round(price, 6)),
            "stopLoss": st.fixed_dictionaries({"triggerPrice": prices}),
            "takeProfit": st.fixed_dictionaries({"triggerPrice": prices}),
            "strategy": st.none(),
        },
    ),
)
def test_whatever_is_asked_the_gateway_understands(
    kind: str, side: str, amount: str, price: str, params: dict[str, Any]
) -> None:
    given_params = dict(params)
    payload = send_order("BTC/USDT", kind, side, amount, price if kind == "limit" else None, params)
    assert params == given_params, "the caller's params are left as they were"
    (asked,) = parse({"account_id": 1, "command": "send_order", "payload": payload})
    assert isinstance(asked, Request), asked
    order: Any = asked.payload
    assert (order.side, order.qty) == (side, Decimal(amount))
    assert order.price == (Decimal(price) if kind == "limit" else None)
    assert (order.trigger_price is not None) == ("triggerPrice" in params)
    assert order.reduce_only == params.get("reduceOnly", False)
    assert order.client_order_id == params.get("clientOrderId")
    assert order.stop_loss == (Decimal(params["stopLoss"]["triggerPrice"]) if "stopLoss" in params else None)
