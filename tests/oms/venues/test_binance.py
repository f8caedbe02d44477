"""What Binance says when a replacement fails."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from msgspec.structs import replace

from oms.desk.settling import APART_NS, DELAYS_S
from oms.venues import binance
from oms.venues.requests import Create

REFUSED = {"code": -2010, "msg": "no"}
GONE = {"code": -2011, "msg": "Unknown order sent."}


def answer(cancel: Any, new: Any, *, canceled: bool) -> str:
    results = {"cancelResult": "SUCCESS" if canceled else "FAILURE", "newOrderResult": "FAILURE"}
    return json.dumps({"code": -2021, "data": {**results, "cancelResponse": cancel, "newOrderResponse": new}})


def test_the_part_that_failed_first() -> None:
    assert binance.why_not_replaced(answer({"orderId": 1}, REFUSED, canceled=True)) == REFUSED
    assert binance.why_not_replaced(answer(GONE, None, canceled=False)) == GONE


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"code":-1}', answer({}, None, canceled=True)])
def test_answers_of_another_kind(body: str) -> None:
    assert binance.why_not_replaced(body) is None


CREATE: Final = Create(symbol="A/B", type="limit", side="buy", amount="1", price="2", params={"clientOrderId": "c"})


def test_what_was_not_filled_must_not_be_when_it_is_replaced() -> None:
    only_new = {"clientOrderId": "c", "cancelRestrictions": "ONLY_NEW"}
    assert binance.replacing(CREATE) == replace(CREATE, params=only_new)


@pytest.mark.parametrize(
    ("trigger", "kind", "told"),
    [
        ("triggerPrice", "limit", "limit"),
        ("takeProfitPrice", "limit", "TAKE_PROFIT_LIMIT"),
        ("takeProfitPrice", "market", "TAKE_PROFIT"),
    ],
)
def test_a_trigger_is_said_once_and_to_what_end(trigger: str, kind: str, told: str) -> None:
    replacing = binance.replacing(replace(CREATE, type=kind, params={trigger: "5"}))
    assert (replacing.type, replacing.params) == (told, {"stopPrice": "5", "cancelRestrictions": "ONLY_NEW"})


def test_absence_is_proved_later_than_a_signed_request_is_still_taken() -> None:
    assert binance.OPTIONS["recvWindow"] * 1_000_000 < APART_NS
    assert DELAYS_S[1] * 1_000_000_000 > APART_NS, "the second question already proves it"
