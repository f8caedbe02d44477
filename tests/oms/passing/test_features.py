"""What ccxt's `features` promises is what can be called here."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from oms.errors import OmsError
from oms.model import Instrument
from oms.passing import calls, commands
from oms.passing.features import OURS, features_here
from tests.oms.orders_made import SPOT

BINANCE: dict[str, Any] = features_here(ccxt.binance().features)
ORDER = ("BTC/USDT", "market", "buy", 1, None)
INSTRUMENT: Instrument = SPOT


def understood(params: dict[str, Any]) -> bool:
    """Whether an order with these params is one that the OMS has."""
    try:
        commands.send_order(calls.read("create_order", (*ORDER, params), {}), INSTRUMENT)
    except OmsError:
        return False
    return True


@pytest.mark.parametrize(
    ("feature", "params"),
    [
        ("triggerPrice", {"triggerPrice": 5}),
        ("stopLossPrice", {"stopLossPrice": 5}),
        ("attachedStopLossTakeProfit", {"stopLoss": {"triggerPrice": 5}}),
        ("marketBuyByCost", {"cost": 5}),
        ("trailing", {"trailingPercent": 5}),
    ],
)
def test_an_order_can_be_what_features_says(feature: str, params: dict[str, Any]) -> None:
    assert bool(OURS["createOrder"][feature]) is understood(params)


def test_each_kind_of_market_has_them_and_keeps_what_is_of_the_exchange() -> None:
    for kind in (BINANCE["spot"], BINANCE["swap"]["linear"], BINANCE["future"]["inverse"]):
        assert kind["createOrder"]["stopLossPrice"] is True
        assert kind["fetchMyTrades"] == {**kind["fetchMyTrades"], "symbolRequired": False, "limit": 5_000}
        assert kind["createOrders"]["max"] == 100
    assert BINANCE["spot"]["fetchOHLCV"] == {"limit": 1000, "symbolRequired": True}
    assert BINANCE["spot"]["createOrder"]["timeInForce"]["FOK"] is True
    assert BINANCE["spot"]["createOrder"]["takeProfitPrice"] is True
    assert features_here(ccxt.bitstamp().features)["spot"]["createOrder"]["takeProfitPrice"] is False
    assert understood({"takeProfitPrice": 5})
    assert BINANCE["option"] is None or "createOrder" in BINANCE["option"]


@pytest.mark.parametrize("told", [None, {}, {"spot": None}])
def test_an_exchange_without_features_has_none(told: Any) -> None:
    assert features_here(told) == told
