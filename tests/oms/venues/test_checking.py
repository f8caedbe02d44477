"""What is known of an order before it is committed, of any exchange of ccxt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest

from oms.errors import OmsError
from oms.model import OrderType, TimeInForce
from oms.venues import checking
from tests.oms import orders_made

PROFIT: dict[str, Any] = {"order_type": OrderType.TAKE_PROFIT, "price": None, "trigger_price": Decimal(110)}
STOP: dict[str, Any] = {"order_type": OrderType.STOP, "price": None, "trigger_price": Decimal(90)}


def exchange(klass: str) -> Any:
    made = getattr(ccxt.pro, klass)()
    made.set_markets(
        [made.safe_market_structure({"id": "BTCUSDT", "symbol": "BTC/USDT", "type": "spot", "spot": True})]
    )
    return made


@pytest.mark.parametrize(
    ("klass", "changes", "refused"),
    [
        ("binance", {}, None),
        ("binance", {"time_in_force": TimeInForce.FOK}, None),
        ("binance", {"time_in_force": TimeInForce.GTD}, "time_in_force"),
        ("coinbase", {"time_in_force": TimeInForce.GTD}, "time_in_force"),  # which has it: it is not sent with a date
        ("hyperliquid", {"time_in_force": TimeInForce.FOK}, "time_in_force"),
        ("hyperliquid", {"post_only": True}, None),
        ("binance", STOP, None),
        ("binance", PROFIT, None),
        ("bitstamp", PROFIT, "order_type"),
        ("kraken", STOP, "order_type"),  # ccxt would send a market order with a parameter that nobody reads
    ],
)
async def test_what_ccxt_says_of_the_exchange_counts(klass: str, changes: dict[str, Any], refused: str | None) -> None:
    made, order = exchange(klass), orders_made.order(**changes)
    if refused is None:
        checking.kind(made, order)
        return
    with pytest.raises(OmsError) as raised:
        checking.kind(made, order)
    assert (raised.value.code, raised.value.details) == ("unsupported_action", {"field": refused})


async def test_of_an_exchange_that_ccxt_says_nothing_of_only_triggers_are_doubted() -> None:
    unknown = exchange("binance")
    unknown.features = None
    checking.kind(unknown, orders_made.order(time_in_force=TimeInForce.IOC))
    checking.kind(unknown, orders_made.order(**STOP))
    checking.kind(unknown, orders_made.order(**PROFIT))
    unknown.has = {**unknown.has, "createTriggerOrder": None}
    with pytest.raises(OmsError):
        checking.kind(unknown, orders_made.order(**STOP))


@pytest.mark.parametrize("allowed", [frozenset(), frozenset({"other", "another"})])
def test_a_param_that_is_not_allowed_is_named_with_those_that_are(allowed: frozenset[str]) -> None:
    with pytest.raises(OmsError) as raised:
        checking.params(orders_made.order(params={"mine": 1}), allowed)
    assert (raised.value.code, raised.value.details) == ("validation_error", {"field": "params.mine"})
    assert all(name in raised.value.message for name in allowed)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_a_param_is_one_value(value: object) -> None:
    with pytest.raises(OmsError) as raised:
        checking.params(orders_made.order(params={"mine": value}), {"mine"})
    assert raised.value.details == {"field": "params.mine"}
    for plain in ("x", 1, 1.5, True):
        checking.params(orders_made.order(params={"mine": plain}), {"mine"})
