"""What ccxt is asked to create, for every kind of order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oms.model import OrderType, Side, TimeInForce
from oms.venues import requests
from oms.venues.requests import Create
from tests.oms import orders_made


def create(*, contract: bool = False, **changes: Any) -> Create:
    order = orders_made.order(**changes)
    return requests.create(order, "name", contract=contract, qty=order.qty, price=order.price)


def test_a_limit_order() -> None:
    request = create(side=Side.SELL, qty=Decimal("1E-7"), price=Decimal("1E+5"), params={"icebergQty": "1"})
    params = {"icebergQty": "1", "clientOrderId": "name", "timeInForce": "GTC"}
    assert request == Create(
        symbol="BTC/USDT", type="limit", side="sell", amount="0.0000001", price="100000", params=params
    )


def test_a_market_order() -> None:
    request = create(order_type=OrderType.MARKET, price=None)
    assert (request.type, request.price, request.params) == ("market", None, {"clientOrderId": "name"})


def test_a_post_only_order_has_no_other_time_in_force() -> None:
    assert create(post_only=True).params == {"clientOrderId": "name", "postOnly": True}


@pytest.mark.parametrize("kind", [TimeInForce.IOC, TimeInForce.FOK])
def test_times_in_force(kind: TimeInForce) -> None:
    assert create(time_in_force=kind).params["timeInForce"] == kind.value


@pytest.mark.parametrize(
    ("order_type", "kind", "trigger"),
    [
        (OrderType.STOP, "market", "triggerPrice"),
        (OrderType.STOP_LIMIT, "limit", "triggerPrice"),
        (OrderType.TAKE_PROFIT, "market", "takeProfitPrice"),
        (OrderType.TAKE_PROFIT_LIMIT, "limit", "takeProfitPrice"),
    ],
)
def test_an_order_that_waits_says_from_which_side(order_type: OrderType, kind: str, trigger: str) -> None:
    price = Decimal(1) if kind == "limit" else None
    request = create(order_type=order_type, price=price, trigger_price=Decimal("5.50"))
    assert (request.type, request.params[trigger]) == (kind, "5.50")
    assert len(request.params.keys() & {"triggerPrice", "takeProfitPrice"}) == 1


def test_only_contracts_are_reduced_by_the_venue() -> None:
    assert create(contract=True, reduce_only=True).params["reduceOnly"] is True
    assert "reduceOnly" not in create(reduce_only=True).params


def test_what_a_request_is_but_its_params() -> None:
    assert create(qty=Decimal("1.50")).arguments == ("BTC/USDT", "limit", "buy", "1.50", "100")
