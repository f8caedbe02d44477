"""Orders of the gateway as ccxt's orders, through ccxt's own `safe_order`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.mappers.order import order_fields
from driver.sync import OmsCcxtExchange
from oms.model import OrderState
from oms.render import status_of
from tests.driver.stub import deal, filled, order

EXCHANGE = OmsCcxtExchange()
FIELDS = {
    *("info", "id", "clientOrderId", "timestamp", "datetime", "lastTradeTimestamp", "lastUpdateTimestamp", "symbol"),
    *("type", "timeInForce", "postOnly", "reduceOnly", "side", "price", "triggerPrice", "stopPrice", "stopLossPrice"),
    *("takeProfitPrice", "amount", "filled", "remaining", "average", "cost", "status", "fee", "fees", "trades"),
}


def unified(row: dict[str, Any], *deals: dict[str, Any]) -> dict[str, Any]:
    structure: dict[str, Any] = EXCHANGE.safe_order(order_fields(row, deals))
    return structure


def test_an_open_order_has_every_unified_field() -> None:
    made = unified(order())
    assert set(made) == FIELDS
    assert (made["id"], made["clientOrderId"], made["info"]["exchange_order_id"]) == ("10", "mine-10", "910")
    assert (made["timestamp"], made["datetime"]) == (1770474610123, "2026-02-07T14:30:10.123Z")
    assert (made["lastTradeTimestamp"], made["lastUpdateTimestamp"]) == (None, 1770474660456)
    assert (made["price"], made["amount"], made["filled"], made["remaining"]) == (50000.0, 0.01, 0.0, 0.01)
    assert (made["average"], made["cost"], made["fee"], made["fees"], made["trades"]) == (None, 0.0, None, [], [])
    assert (made["timeInForce"], made["postOnly"], made["reduceOnly"], made["status"]) == ("GTC", False, False, "open")


def test_a_filled_order_has_its_fees_and_the_time_of_its_last_trade() -> None:
    made = unified(filled(), deal(1), deal(2))
    assert (made["status"], made["filled"], made["remaining"], made["average"]) == ("closed", 0.01, 0.0, 49999.5)
    assert made["cost"] == pytest.approx(499.995)
    assert made["lastTradeTimestamp"] == 1770474632250
    assert made["fee"] == {"currency": "BTC", "cost": 0.00001}
    assert made["fees"] == [made["fee"]]


def test_fees_in_two_currencies_are_two() -> None:
    made = unified(filled(), deal(1), deal(2, fee_currency="BNB", fee="0.1"), deal(3, fee_currency=None))
    assert {paid["currency"]: paid["cost"] for paid in made["fees"]} == {"BTC": 0.000005, "BNB": 0.1}
    assert made["fee"] is None
    beside = unified(filled(), deal(1, more_fees={"BNB": "0.1"}), deal(2, more_fees={"BNB": "0.2"}))
    assert {paid["currency"]: paid["cost"] for paid in beside["fees"]} == {"BTC": 0.00001, "BNB": 0.3}


def test_a_market_order_has_the_price_it_was_filled_at() -> None:
    made = unified(filled(order_type="market", price=None), deal(1))
    assert (made["type"], made["price"], made["average"], made["timeInForce"]) == ("market", 49999.5, 49999.5, "IOC")


def test_an_order_that_may_only_rest_says_so_as_ccxt_does() -> None:
    made = unified(order(post_only=True))
    assert (made["timeInForce"], made["postOnly"]) == ("PO", True)


@pytest.mark.parametrize(("kind", "word"), [("stop", "market"), ("stop_limit", "limit")])
def test_a_stop_order_has_a_trigger(kind: str, word: str) -> None:
    made = unified(order(order_type=kind, trigger_price="49000", price=None if kind == "stop" else "50000"))
    assert (made["type"], made["triggerPrice"], made["stopPrice"]) == (word, 49000.0, 49000.0)
    assert made["timeInForce"] == "GTC"


@pytest.mark.parametrize(("kind", "word"), [("take_profit", "market"), ("take_profit_limit", "limit")])
def test_an_order_that_takes_a_profit_says_at_what_price_it_does(kind: str, word: str) -> None:
    made = unified(order(order_type=kind, trigger_price="51000", stop_gain="60000"))
    assert (made["type"], made["triggerPrice"], made["takeProfitPrice"]) == (word, 51000.0, 51000.0)


def test_stops_of_its_position_are_there() -> None:
    made = unified(order(stop_loss="45000", stop_gain="60000"))
    assert (made["stopLossPrice"], made["takeProfitPrice"]) == (45000.0, 60000.0)


@pytest.mark.parametrize("state", list(OrderState))
def test_the_status_is_ccxts_word_for_the_state(state: OrderState) -> None:
    made = unified(order(state=state, status=status_of(state)))
    assert made["status"] in {"open", "closed", "canceled", "expired", "rejected"}
    assert made["info"]["state"] == state


def test_what_a_program_does_with_the_structure_does_not_reach_into_the_row() -> None:
    row = order()
    unified(row)["info"]["id"] = 99
    assert row["id"] == 10


@given(
    price=st.decimals("0.01", "100000", places=2),
    average=st.decimals("0.01", "100000", places=2),
    parts=st.tuples(st.integers(0, 10**8), st.integers(1, 10**8)),
)
def test_amounts_add_up(price: Decimal, average: Decimal, parts: tuple[int, int]) -> None:
    done, rest = (Decimal(part) / 10**6 for part in parts)
    row = order(
        price=str(price), qty=str(done + rest), filled=str(done), remaining=str(rest), average_price=str(average)
    )
    made = unified(row)
    assert made["amount"] == pytest.approx(made["filled"] + made["remaining"])
    assert made["filled"] == float(done)
    assert made["average"] == (float(average) if done else None)
    assert made["cost"] == pytest.approx(float(done * average))
