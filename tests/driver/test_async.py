"""The client that is awaited."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from typing import Any

import ccxt.async_support
import pytest
from ccxt.base.errors import ExchangeError, NetworkError

from driver.async_ import OmsCcxtExchange
from tests.driver.stub import Answer, Stub, items, order, page, result, results


def test_methods_are_coroutines_with_the_signatures_of_ccxt() -> None:
    for name in ("create_order", "fetch_order", "fetch_ohlcv", "fetch_my_trades", "cancel_order", "edit_order"):
        kinds = (OmsCcxtExchange, ccxt.async_support.binance)
        ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in kinds)
        assert ours[: len(theirs)] == theirs, name
        assert inspect.iscoroutinefunction(getattr(OmsCcxtExchange, name))


async def test_an_answer_that_broke_off_is_no_refusal(config: dict[str, Any], stub: Stub) -> None:
    config["options"]["retries"] = 1
    stub.on("GET /oms/orders/10", Answer(200, items(order()), cut=20))
    async with OmsCcxtExchange(config) as exchange:
        with pytest.raises(NetworkError) as raised:
            await exchange.fetch_order("10")
    assert not isinstance(raised.value, ExchangeError)


async def test_an_address_that_is_none_is_refused_at_once(config: dict[str, Any]) -> None:
    config["options"]["base_url"] = "nowhere"
    async with OmsCcxtExchange(config) as exchange:
        with pytest.raises(ExchangeError):
            await exchange.fetch_order("10")


async def test_nobody_listens(config: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config["options"]["base_url"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with OmsCcxtExchange(config) as exchange:
            with pytest.raises(NetworkError):
                await exchange.fetch_order("10")


@pytest.mark.timed
async def test_a_silent_gateway_is_given_up_after_the_timeout(config: dict[str, Any]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config["options"]["base_url"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with OmsCcxtExchange({**config, "timeout": 200}) as exchange:
            began = time.monotonic()
            with pytest.raises(NetworkError):
                await exchange.fetch_order("10")
            assert time.monotonic() - began < 2, "what took all the time there is is not tried again"


async def test_many_are_asked_at_once_and_markets_are_loaded_once(config: dict[str, Any], stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    stub.on("GET /oms/orders/open", page(order()))
    async with OmsCcxtExchange(config) as exchange, asyncio.TaskGroup() as group:
        orders = [group.create_task(exchange.create_order("BTC/USDT", "limit", "buy", 1, 2)) for _ in range(5)]
        listed = group.create_task(exchange.fetch_open_orders("BTC/USDT"))
    assert {order.result()["id"] for order in orders} == {listed.result()[0]["id"]} == {"10"}
    assert len(stub.asked("POST /ccxt/1/fetch_markets")) == 1
    assert len({request.body["request_id"] for request in stub.asked("POST /oms/commands")}) == 5


async def test_a_cancelled_call_is_cancelled(config: dict[str, Any], stub: Stub) -> None:
    stub.on("GET /oms/orders/10", Answer(503, "later"))
    config["options"]["retries"] = {"delay_ms": 60_000, "delay_ms_max": 60_000, "within_ms": 10**9}
    async with OmsCcxtExchange(config) as exchange:
        call = asyncio.create_task(exchange.fetch_order("10"))
        done, _ = await asyncio.wait({call}, timeout=0.2)
        assert not done
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
