"""`has`, before and after the exchange behind has told what it can."""

from __future__ import annotations

import pytest

from driver.description import NEVER, OMS_HAS, description, has_of, is_of_socket

FREQTRADE = ("fetchOrder", "cancelOrder", "createOrder", "fetchBalance", "fetchOHLCV", "fetchOrderBook")


@pytest.mark.parametrize("name", FREQTRADE)
def test_what_a_bot_looks_for_before_anything_is_loaded_is_true(name: str) -> None:
    assert description()["has"][name] is True


def test_the_gateway_does_some_things_for_any_exchange_and_some_for_none() -> None:
    has = has_of({"createOrder": False, "withdraw": True, "fetchOHLCV": "emulated", "fetchTickers": None}, {})
    assert (has["createOrder"], has["withdraw"], has["fetchOHLCV"], has["fetchTickers"]) == (
        True,
        False,
        "emulated",
        None,
    )
    assert not set(OMS_HAS) & set(NEVER)


def test_what_needs_a_socket_is_the_clients_own() -> None:
    behind = {"watchTicker": True, "unWatchTicker": True, "createOrderWs": True, "ws": True, "fetchTicker": True}
    told = {name: value for name, value in has_of(behind, {}, ["watchOHLCV"]).items() if name not in {*OMS_HAS, *NEVER}}
    assert told == {**dict.fromkeys(behind), "watchOHLCV": None, "fetchTicker": True}
    assert has_of(behind, {"watchTicker": True})["watchTicker"] is True
    assert [name for name in behind if is_of_socket(name)] == ["watchTicker", "unWatchTicker", "createOrderWs", "ws"]


@pytest.mark.parametrize("kept", [True, False])
def test_orders_that_take_a_profit_are_sent_over_the_socket_where_the_exchange_keeps_them(kept: bool) -> None:
    has = has_of({"createTakeProfitOrder": kept}, dict.fromkeys(["createTakeProfitOrderWs"], True))
    assert has["createTakeProfitOrderWs"] is has["createTakeProfitOrder"] is kept
    assert "createTakeProfitOrderWs" not in has_of({"createTakeProfitOrder": kept}, {})


def test_each_client_has_a_description_of_its_own() -> None:
    first = description()
    first["timeframes"]["7m"] = "7m"
    first["has"]["createOrder"] = False
    assert "7m" not in description()["timeframes"]
    assert description()["has"]["createOrder"] is True
