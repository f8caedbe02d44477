"""The client that waits: it is called and answers."""

from __future__ import annotations

import inspect
import socket
import time
from typing import Any

import ccxt
import pytest
from ccxt.base.errors import BadRequest, ExchangeError, NetworkError

from driver.sync import OmsCcxtExchange
from tests.driver.stub import Answer, Stub, items, order


def test_methods_have_the_signatures_of_ccxt(config: dict[str, Any]) -> None:
    for name in ("create_order", "fetch_order", "fetch_ohlcv", "fetch_my_trades", "cancel_order", "edit_order"):
        kinds = (OmsCcxtExchange, ccxt.binance)
        ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in kinds)
        assert ours[: len(theirs)] == theirs, name
        assert not inspect.iscoroutinefunction(getattr(OmsCcxtExchange, name))


def test_an_answer_that_broke_off_is_no_refusal(config: dict[str, Any], stub: Stub) -> None:
    config["options"]["retries"] = 1
    exchange = OmsCcxtExchange(config)
    stub.on("GET /oms/orders/10", Answer(200, items(order()), cut=20))
    with pytest.raises(NetworkError) as raised:
        exchange.fetch_order("10")
    assert not isinstance(raised.value, ExchangeError)


def test_an_address_that_is_none_is_refused_at_once(config: dict[str, Any]) -> None:
    config["options"]["base_url"] = "nowhere"
    exchange = OmsCcxtExchange(config)
    with pytest.raises(ExchangeError):
        exchange.fetch_order("10")


def test_nobody_listens(config: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config["options"]["base_url"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        exchange = OmsCcxtExchange(config)
        with pytest.raises(NetworkError):
            exchange.fetch_order("10")


@pytest.mark.timed
def test_a_silent_gateway_is_given_up_after_the_timeout(config: dict[str, Any]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config["options"]["base_url"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exchange = OmsCcxtExchange({**config, "timeout": 200})
        began = time.monotonic()
        with pytest.raises(NetworkError):
            exchange.fetch_order("10")
        assert time.monotonic() - began < 2, "what took all the time there is is not tried again"


def test_what_a_plan_raises_is_raised(config: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="timeout"):
        OmsCcxtExchange(config).cancel_all_orders_after("soon")
