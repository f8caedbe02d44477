"""ccxt's words for an order as payloads of our commands: each is read by the OMS, and means what ccxt says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from oms.commands import parse
from oms.errors import OmsError
from oms.model import OrderType
from oms.passing import calls, commands
from tests.oms.orders_made import SPOT, order

STEPS = replace(SPOT, qty_step=Decimal("0.001"), price_step=Decimal("0.05"))
LIMIT = {
    "symbol": "BTC/USDT",
    "side": "buy",
    "order_type": "limit",
    "qty": Decimal("1.234"),
    "price": Decimal("100.05"),
}
MARKET = {"symbol": "BTC/USDT", "side": "buy", "order_type": "market", "qty": Decimal("1.234")}
ASKED = ("BTC/USDT", "limit", "buy", Decimal("1.2349"), Decimal("100.03"))


def payload(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What is sent, which the OMS understands."""
    call = calls.read(name, args, kwargs)
    made = commands.send_order(call, STEPS)
    (understood,) = parse(commands.body(1, "send_order", made, call.arguments["params"]))
    assert not isinstance(understood, OmsError), understood
    return made


def refusal(name: str, *args: Any, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(OmsError) as refused:
        commands.send_order(calls.read(name, args, kwargs), STEPS)
    assert refused.value.details is not None
    return refused.value.code, refused.value.details["exception"]


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("create_order", ASKED, LIMIT),
        ("create_order", ("BTC/USDT", "market", "sell", 2, 99), {**MARKET, "side": "sell", "qty": 2}),
        ("create_limit_order", ("BTC/USDT", *ASKED[2:]), LIMIT),
        ("create_limit_buy_order", ("BTC/USDT", *ASKED[3:]), LIMIT),
        ("create_limit_sell_order", ("BTC/USDT", *ASKED[3:]), {**LIMIT, "side": "sell"}),
        ("create_market_order", ("BTC/USDT", "buy", ASKED[3]), MARKET),
        ("create_market_buy_order", ("BTC/USDT", ASKED[3]), MARKET),
        ("create_market_sell_order", ("BTC/USDT", ASKED[3]), {**MARKET, "side": "sell"}),
        ("create_post_only_order", ASKED, {**LIMIT, "post_only": True}),
        ("create_reduce_only_order", ASKED, {**LIMIT, "reduce_only": True}),
        ("create_trigger_order", (*ASKED, 90), {**LIMIT, "order_type": "stop_limit", "trigger_price": 90}),
        ("create_stop_order", (*ASKED, 90), {**LIMIT, "order_type": "stop_limit", "trigger_price": 90}),
        ("create_stop_loss_order", (*ASKED, 90), {**LIMIT, "order_type": "stop_limit", "trigger_price": 90}),
        ("create_take_profit_order", (*ASKED, 90), {**LIMIT, "order_type": "take_profit_limit", "trigger_price": 90}),
        (
            "create_stop_limit_order",
            ("BTC/USDT", *ASKED[2:], 90),
            {**LIMIT, "order_type": "stop_limit", "trigger_price": 90},
        ),
        (
            "create_stop_market_order",
            ("BTC/USDT", "buy", ASKED[3], 90),
            {**MARKET, "order_type": "stop", "trigger_price": 90},
        ),
        (
            "create_order_with_take_profit_and_stop_loss",
            (*ASKED, 120, 80),
            {**LIMIT, "stop_gain": 120, "stop_loss": 80},
        ),
    ],
)
def test_every_way_to_create_an_order(name: str, args: tuple[Any, ...], expected: dict[str, Any]) -> None:
    assert payload(name, *args) == expected


@pytest.mark.parametrize(
    ("params", "more"),
    [
        ({"clientOrderId": "a-1"}, {"client_order_id": "a-1"}),
        ({"timeInForce": "IOC"}, {"time_in_force": "IOC"}),
        ({"timeInForce": "PO"}, {"post_only": True}),
        ({"postOnly": True, "timeInForce": "GTC"}, {"post_only": True}),
        ({"timeInForce": "GTD", "goodTillDate": 1_900_000_000_000},
         {"time_in_force": "GTD", "expires_at": "2030-03-17T17:46:40+00:00"}),
        ({"reduceOnly": True}, {"reduce_only": True}),
        ({"triggerPrice": "90.53"}, {"order_type": "stop_limit", "trigger_price": Decimal("90.55")}),
        ({"takeProfitPrice": "90.53"}, {"order_type": "take_profit_limit", "trigger_price": Decimal("90.55")}),
        ({"stopPrice": 90, "stopLossPrice": "90.0"}, {"order_type": "stop_limit", "trigger_price": 90}),
        ({"stopLoss": {"triggerPrice": 80}, "takeProfit": {"triggerPrice": 120, "type": "market"}},
         {"stop_loss": 80, "stop_gain": 120}),
        ({"strategy_id": 3, "request_id": "r", "position_id": 4, "comment": "c"},
         {"strategy_id": 3, "position_id": 4, "comment": "c"}),
        ({"iceberg": 5, "none": None}, {"params": {"iceberg": 5}}),
    ],
)  # fmt: skip
def test_params_of_ccxt_are_fields_of_ours(params: dict[str, Any], more: dict[str, Any]) -> None:
    assert payload("create_order", *ASKED, params) == {**LIMIT, **more}


def test_to_ccxt_a_market_order_is_one_that_is_filled_at_once() -> None:
    assert payload("create_order", "BTC/USDT", "market", "buy", ASKED[3], params={"timeInForce": "IOC"}) == MARKET


@pytest.mark.parametrize(
    ("args", "params", "expected"),
    [
        (ASKED[:4], {}, ("validation_error", "ArgumentsRequired")),
        (ASKED, {"takeProfitPrice": 5, "triggerPrice": 5}, ("validation_error", "InvalidOrder")),
        (ASKED, {"takeProfitPrice": "soon"}, ("validation_error", "InvalidOrder")),
        (ASKED, {"trailingPercent": 5}, ("unsupported_action", "NotSupported")),
        (ASKED, {"triggerPrice": 5, "stopPrice": 6}, ("validation_error", "InvalidOrder")),
        (ASKED, {"postOnly": True, "timeInForce": "FOK"}, ("validation_error", "InvalidOrder")),
        (ASKED, {"postOnly": "false"}, ("validation_error", "InvalidOrder")),
        (ASKED, {"reduceOnly": {}}, ("validation_error", "InvalidOrder")),
        (ASKED, {"timeInForce": "GTD", "goodTillDate": "soon"}, ("validation_error", "InvalidOrder")),
        (ASKED, {"stopLoss": {}}, ("validation_error", "ArgumentsRequired")),
        (ASKED, {"stopLoss": {"triggerPrice": 5, "price": 4}}, ("unsupported_action", "NotSupported")),
        (("BTC/USDT", "market", "buy", Decimal("0.0001")), {}, ("validation_error", "InvalidOrder")),
    ],
)
def test_what_cannot_be_done_as_ccxt_means_it_is_refused(
    args: tuple[Any, ...], params: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refusal("create_order", *args, params=params) == expected


def test_a_trigger_order_needs_its_trigger() -> None:
    for name in ("create_trigger_order", "create_stop_loss_order", "create_take_profit_order"):
        assert refusal(name, *ASKED) == ("validation_error", "ArgumentsRequired")


def test_a_change_names_what_is_new_in_steps_of_the_market() -> None:
    call = calls.read("edit_order", ("7", None, None, None, Decimal("1.2349"), Decimal("100.03")), {})
    assert commands.change_order(order(7), call, STEPS) == {
        "order_id": 7, "new_qty": Decimal("1.234"), "new_price": Decimal("100.05"),
    }  # fmt: skip
    assert commands.change_order(order(7), calls.read("edit_order", ("7",), {"price": 5}), SPOT) == {
        "order_id": 7, "new_price": 5,
    }  # fmt: skip


def test_a_change_may_say_what_the_order_has_already() -> None:
    stop = order(7, order_type=OrderType.STOP_LIMIT, trigger_price=Decimal("90.5"), post_only=True)
    params = {"triggerPrice": "90.50", "postOnly": True, "timeInForce": "PO", "reduceOnly": False, "unset": None}
    named = {"clientOrderId": "c7", "strategy_id": 3, "request_id": "r"}
    call = calls.read("edit_order", ("7",), {"price": 5, "params": {**params, **named}})
    assert commands.change_order(stop, call, SPOT) == {"order_id": 7, "new_price": 5}
    profit = order(7, order_type=OrderType.TAKE_PROFIT_LIMIT, trigger_price=Decimal("90.5"))
    for kind, name in ((stop, "stopLossPrice"), (profit, "triggerPrice"), (profit, "takeProfitPrice")):
        call = calls.read("edit_order", ("7",), {"price": 5, "params": {name: "90.50"}})
        assert commands.change_order(kind, call, SPOT) == {"order_id": 7, "new_price": 5}
    for kind, name in ((stop, "takeProfitPrice"), (profit, "stopLossPrice")):
        call = calls.read("edit_order", ("7",), {"price": 5, "params": {name: "90.50"}})
        with pytest.raises(OmsError, match=name):
            commands.change_order(kind, call, SPOT)


@pytest.mark.parametrize(
    ("given", "exception"),
    [
        ({}, "ArgumentsRequired"),
        ({"price": 5, "params": {"stopPrice": 1}}, "NotSupported"),
        ({"price": 5, "params": {"takeProfitPrice": 1}}, "NotSupported"),
        ({"price": 5, "params": {"timeInForce": "IOC"}}, "NotSupported"),
        ({"price": 5, "params": {"postOnly": True}}, "NotSupported"),
        ({"price": 5, "params": {"clientOrderId": "another"}}, "NotSupported"),
        ({"price": 5, "params": {"stopLoss": {"triggerPrice": 1}}}, "NotSupported"),
    ],
)
def test_a_change_of_nothing_or_of_something_else_is_refused(given: dict[str, Any], exception: str) -> None:
    with pytest.raises(OmsError) as refused:
        commands.change_order(order(7), calls.read("edit_order", ("7",), given), SPOT)
    assert refused.value.details is not None
    assert refused.value.details["exception"] == exception


@pytest.mark.parametrize(
    ("params", "more"),
    [
        ({}, {}),
        ({"amount": "0.0019", "price": None}, {"qty": Decimal("0.001")}),
        ({"price": Decimal("100.03")}, {"order_type": "limit", "price": Decimal("100.05")}),
    ],
)
def test_a_position_is_closed_in_steps_of_the_market(params: dict[str, Any], more: dict[str, Any]) -> None:
    call = calls.read("close_position", ("BTC/USDT",), {"params": params})
    assert commands.close_position(4, call, STEPS) == {"position_id": 4, **more}


def test_a_command_has_its_request_id_of_the_params() -> None:
    asked = commands.body(3, "cancel_order", {"order_id": 1}, {"request_id": "r"})
    assert asked == {"account_id": 3, "command": "cancel_order", "payload": {"order_id": 1}, "request_id": "r"}
