"""A gateway without a resource is asked for what the exchange behind says; it is asked for the resource only once."""

from __future__ import annotations

import inspect

import pytest
from ccxt.base.errors import NotSupported, OrderNotFound

from driver.fallback import positional
from tests.driver.conftest import Client
from tests.driver.stub import Answer, Stub, items, order, page, refused

BEHIND = {"id": "777", "symbol": "BTC/USDT", "status": "open"}


@pytest.mark.parametrize(
    "missing", [refused("unsupported_action", 404), Answer(405, "Method Not Allowed"), Answer(404, "<html>")]
)
def test_a_missing_route_is_passed_through_and_remembered(client: Client, stub: Stub, missing: Answer) -> None:
    stub.on("GET /oms/orders/*", missing)
    stub.on("POST /ccxt/1/fetch_order", {"result": BEHIND})
    assert client("fetch_order", "777", "BTC/USDT", {"a": 1}) == BEHIND
    assert client("fetch_order", "778", None) == BEHIND
    assert stub.lines == ["GET /oms/orders/777", "POST /ccxt/1/fetch_order", "POST /ccxt/1/fetch_order"]
    assert stub.requests[1].body == {"args": ["777", "BTC/USDT"], "kwargs": {"params": {"a": 1}}}
    assert stub.requests[2].body == {"args": ["778"], "kwargs": {}}


def test_an_order_that_is_missing_is_not_a_route_that_is(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(missing=(10,)))
    with pytest.raises(OrderNotFound):
        client("fetch_order", "10")
    assert stub.lines == ["GET /oms/orders/10"]


def test_another_client_asks_the_gateway_first(client: Client, stub: Stub) -> None:
    """It is remembered by the client, not in options, which programs share between clients."""
    stub.on("GET /oms/orders/*", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/fetch_order", {"result": BEHIND})
    client("fetch_order", "777")
    stub.on("GET /oms/orders/*", items(order(777)))
    other = Client("async" if client.is_async else "sync", {**CONFIG, "options": client.exchange.options})
    assert other("fetch_order", "777")["id"] == "777"
    other.close()
    assert stub.lines[-1] == "GET /oms/orders/777"


CONFIG = {"apiKey": "k"}


def test_each_method_is_remembered_for_itself(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/open", refused("unsupported_action", 404))
    stub.on("GET /oms/orders/history", page())
    stub.on("POST /ccxt/1/fetch_open_orders", {"result": []})
    assert client("fetch_open_orders") == []
    assert client("fetch_closed_orders") == []
    assert stub.lines[-1] == "GET /oms/orders/history"


def test_where_neither_is_there_it_is_not_supported(client: Client, stub: Stub) -> None:
    with pytest.raises(NotSupported):
        client("fetch_order", "10")
    assert stub.lines == ["GET /oms/orders/10", "POST /ccxt/1/fetch_order"]


def test_an_order_is_created_behind_a_missing_route_with_an_id_of_its_own(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/create_order", Answer(502, "<html>"), Answer(200, {"result": BEHIND}))
    assert client("create_order", "BTC/USDT", "limit", "buy", 0.01, 50000, {"postOnly": True}) == BEHIND
    first, second = (request.body for request in stub.asked("POST /ccxt/1/create_order"))
    assert first == second
    assert first["args"] == ["BTC/USDT", "limit", "buy", 0.01, 50000]
    assert set(first["kwargs"]["params"]) == {"postOnly", "request_id"}


def test_arguments_that_were_left_out_are_not_sent() -> None:
    def method(
        self: object, symbol: str, since: int | None = None, limit: int | None = None, params: object = {}
    ) -> None:
        """As ccxt has them."""

    signature = inspect.signature(method)
    assert positional(signature, (None, "A"), {}) == ([None, "A"], {})
    assert positional(signature, (None, "A"), {"limit": 5}) == ([None, "A", None, 5], {})
    assert positional(signature, (None, "A", 1, None, {"x": 1}), {}) == ([None, "A", 1], {"x": 1})
