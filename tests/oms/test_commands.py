"""Bodies of commands: one spelling, exact money, and refusals that name the field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import commands
from oms.commands import CancelOrder, PositionChange, Request, SendOrder
from oms.errors import OmsError
from oms.model import OrderType
from oms.store import rows

LIMIT = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "1", "price": "2"}
# Moments beyond the calendar once they are in UTC, and beyond nanoseconds in 64 bits.
FAR = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2300-01-01T00:00:00Z", "1969-12-31T23:59:59Z")


def body(command: str = "send_order", payload: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"account_id": 1, "command": command, "payload": LIMIT if payload is None else payload, **more}


def one(said: object, **more: Any) -> Request:
    (request,) = commands.parse(said, **more)
    assert isinstance(request, Request), request
    return request


def refusal(said: object) -> OmsError:
    (error,) = commands.parse(said)
    assert isinstance(error, OmsError), error
    return error


def test_aliases_and_spellings_of_numbers_are_the_same_command() -> None:
    spellings = [
        b'{"symbol":"BTC/USDT","side":"buy","order_type":"limit","qty":"1.50","price":2}',
        b'{"price":2.0,"symbol":"BTC/USDT","side":"buy","type":"limit","amount":1.5,"post_only":false}',
        b'{"price":"2.000","symbol":"BTC/USDT","side":"buy","type":"limit","amount":15e-1,"strategy_id":0}',
    ]
    requests = [
        one(commands.decode(b'{"account_id":1,"command":"send_order","payload":' + text + b"}")) for text in spellings
    ]
    assert len({request.hash for request in requests}) == 1
    assert requests[0].plain == {
        "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "1.5", "price": "2",
    }  # fmt: skip
    assert isinstance(requests[1].payload, SendOrder)
    assert requests[1].payload.order_type is OrderType.LIMIT


def test_the_hash_is_of_account_command_and_payload_and_not_of_the_request_id() -> None:
    plain = one(body())
    assert one(body(request_id="a")).hash == plain.hash
    assert one(body() | {"account_id": 2}).hash != plain.hash
    assert one(body(payload=LIMIT | {"qty": "1.01"})).hash != plain.hash


def test_numbers_of_json_keep_their_digits() -> None:
    text = b'{"account_id":1,"command":"send_order","payload":{"symbol":"X","side":"buy","type":"market","qty":%s}}'
    request = one(commands.decode(text % b"0.100000000000000005"))
    assert isinstance(request.payload, SendOrder)
    assert request.payload.qty == Decimal("0.100000000000000005")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**17))
def test_money_is_exact_whatever_its_spelling(value: Decimal) -> None:
    for said in (value, str(value), format(value, "f"), format(value, "e")):
        assert commands.money("qty", said) == value
    assert commands.money("qty", format(value, "f")) == commands.money("qty", format(value, "e"))


@pytest.mark.parametrize("text", ["0", "7", "0.5", "10", "1.05", f"{'9' * 18}.{'9' * 18}"])
def test_a_number_in_its_one_spelling_stays_as_it_is(text: str) -> None:
    assert str(commands.money("qty", text)) == text


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-inf", "1e400", "1e18", 10**18, "0.0000000000000000001", "1e-9999", "1_0", " 1", "1\n", "",
     "x", "0x1", "१", True, [], {}, float("nan"), float("inf"), "9" * 65],
)  # fmt: skip
def test_what_is_no_bounded_decimal_is_refused_by_name(value: object) -> None:
    error = refusal(body(payload=LIMIT | {"qty": value}))
    assert error.code == "validation_error"
    assert error.details == {"field": "qty"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"qty": "0"}, "qty"),
        ({"qty": "-1"}, "qty"),
        ({"qty": None}, "payload.qty"),
        ({"price": None}, "price"),
        ({"price": "0"}, "price"),
        ({"trigger_price": "1"}, "trigger_price"),
        ({"order_type": "market"}, "price"),
        ({"order_type": "stop", "price": None}, "trigger_price"),
        ({"order_type": "stop_limit"}, "trigger_price"),
        ({"order_type": "take_profit", "trigger_price": "1"}, "price"),
        ({"order_type": "take_profit_limit"}, "trigger_price"),
        ({"order_type": "take_profit_limit", "trigger_price": "1", "post_only": True}, "post_only"),
        ({"order_type": "odd"}, "payload.order_type"),
        ({"type": "limit"}, "order_type"),
        ({"side": "both"}, "payload.side"),
        ({"time_in_force": "GTD"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
        ({"time_in_force": "GTD", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"post_only": True, "time_in_force": "IOC"}, "post_only"),
        ({"client_order_id": "with space"}, "payload.client_order_id"),
        ({"client_order_id": "x" * 37}, "payload.client_order_id"),
        ({"client_order_id": "line\n"}, "payload.client_order_id"),
        ({"client_order_id": "tw-1"}, "client_order_id"),
        ({"reason": "external"}, "reason"),
        ({"comment": "x" * 257}, "payload.comment"),
        *(({"time_in_force": "GTD", "expires_at": moment}, "expires_at") for moment in FAR),
        ({"params": {"a": "x" * 5000}}, "params"),
        ({"params": {"a": [2**64]}}, "params"),
        ({"params": {"a": -(2**63) - 1}}, "params"),
        ({"params": {"a": [[[[[[[[[1]]]]]]]]]}}, "params"),
        ({"quantity": 1}, "payload.quantity"),
        ({"strategy_id": -1}, "payload.strategy_id"),
        ({"stop_loss": "0"}, "stop_loss"),
    ],
)
def test_what_no_state_of_the_world_makes_right_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    error = refusal(body(payload=LIMIT | more))
    assert (error.code, error.details) == ("validation_error", {"field": field})


@pytest.mark.parametrize(
    "said",
    [None, 1, "x", {}, body() | {"account_id": "1"}, body(odd=1), body(request_id=""), body(request_id="a\x00"),
     body() | {"payload": []}],
)  # fmt: skip
def test_a_body_that_is_no_command_is_refused(said: object) -> None:
    assert refusal(said).code == "validation_error"


def test_an_unknown_command_is_told_what_there_is() -> None:
    error = refusal(body("sell_everything"))
    assert error.code == "unsupported_action"
    assert error.details is not None
    assert "send_order" in error.details["commands"]


def test_an_array_is_taken_one_by_one_and_bounded() -> None:
    good, bad = commands.parse([body(), {}], request_id="key")
    assert isinstance(good, Request)
    assert isinstance(bad, OmsError)
    assert good.request_id == "key:0"
    assert one(body(), request_id="key").request_id == "key"
    assert one(body(request_id="own"), request_id="key").request_id == "own"
    for wrong in ([], [body()] * 101):
        with pytest.raises(OmsError, match="1 to 100"):
            commands.parse(wrong)


def test_orders_to_cancel_are_named_in_one_of_three_ways() -> None:
    said: dict[str, Any]
    for said in ({"order_id": 3}, {"order_ids": [3, 3]}, {"order_ids_csv": "3"}):
        payload = one(body("cancel_order", said)).payload
        assert isinstance(payload, CancelOrder)
        assert payload.ids == (3,)
    for said in ({}, {"order_id": 3, "order_ids_csv": "4"}, {"order_ids_csv": "3,,4"}, {"order_ids_csv": "3\n"}):
        assert refusal(body("cancel_order", said)).code == "validation_error"


def test_null_clears_a_stop_and_silence_keeps_it() -> None:
    request = one(body("position_change", {"position_id": 1, "stop_loss": None}))
    assert isinstance(request.payload, PositionChange)
    assert request.payload.stop_loss is None
    assert request.plain == {"position_id": 1, "stop_loss": None}
    assert refusal(body("position_change", {"position_id": 1})).code == "validation_error"


def test_merging_sets_stops_only_when_told_to() -> None:
    pair = {"source_position_id": 1, "target_position_id": 2}
    one(body("merge_positions", pair))
    one(body("merge_positions", pair | {"stop_mode": "set", "stop_loss": "5"}))
    for said in ({"stop_mode": "set"}, {"stop_loss": "5"}, {"target_position_id": 1}):
        assert refusal(body("merge_positions", pair | said)).code == "validation_error"


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 5000, b'{"a":' + b"9" * 5000 + b"}", b"\xff"])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(OmsError) as caught:
        commands.decode(text)
    assert caught.value.code == "validation_error"


def test_params_reach_the_exchange_as_any_reader_of_json_would_have_them() -> None:
    start = b'{"account_id":1,"command":"send_order","payload":{"symbol":"X","side":"buy","type":"market","qty":1,'
    text = start + b'"params":%s}}'
    request = one(commands.decode(text % b'{"a":0.5,"b":[1,"x",null]}'))
    assert isinstance(request.payload, SendOrder)
    assert request.payload.params == {"a": 0.5, "b": [1, "x", None]}
    widest = [2**64 - 1, -(2**63), True]
    request = one(body(payload=LIMIT | {"params": {"a": widest}}))
    assert rows.encode([{"params": request.plain["params"]}]) == '[{"params":{"a":[18446744073709551615,' + (
        "-9223372036854775808,true]}}]"
    )
    assert refusal(commands.decode(text % b'{"a":1e999}')).details == {"field": "params"}


@pytest.mark.parametrize(
    ("body", "field"),
    [(3, "body"), (None, "body"), ("x", "body"), ({}, "account_id"),
     ({"account_id": 1, "command": "send_order", "payload": 3}, "payload")],
)  # fmt: skip
def test_what_is_no_object_is_refused_by_the_name_of_what_should_be_one(body: object, field: str) -> None:
    assert refusal(body).details == {"field": field}


@pytest.mark.parametrize(
    "value",
    [
        "1e999999999", "1e-999999999", "9" * 60_000, '"' + "9" * 60_000 + '"', "0." + "0" * 60_000 + "1", "-1e400",
        '"1e999999999"', '"sNaN"', '"Infinity"', "[" * 20_000 + "]" * 20_000, '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_amounts_and_depths_without_end_are_refused(value: str) -> None:
    for field in ("qty", "price", "stop_loss", "strategy_id", "params"):
        order = {"symbol": '"A"', "side": '"buy"', "order_type": '"limit"', "qty": "1", "price": "1", field: value}
        payload = ",".join(f'"{name}":{text}' for name, text in order.items())
        body = f'{{"account_id":1,"command":"send_order","payload":{{{payload}}}}}'.encode()
        try:
            (made,) = commands.parse(commands.decode(body))
        except OmsError as error:
            made = error
        assert isinstance(made, OmsError), field
        assert made.code == "validation_error"
        assert len(made.message) < 1_000
