"""A gateway without a resource is asked for what the exchange behind says; it is asked for the resource only once."""

from __future__ import annotations

import inspect

import pytest
from ccxt.base.errors import InsufficientFunds, NotSupported, OrderNotFound, RequestTimeout

from driver.fallback import positional
from tests.driver.conftest import Client
from tests.driver.stub import Answer, Stub, items, order, page, refused, result, results

SEND = ("BTC/USDT", "limit", "buy", 0.01, 50000)
BEHIND = {"id": "777", "symbol": "BTC/USDT", "status": "open"}


@pytest.mark.parametrize("status", [404, 405])
def test_a_missing_route_is_passed_through_and_remembered(client: Client, stub: Stub, status: int) -> None:
    stub.on("GET /oms/orders/*", refused("unsupported_action", status))
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
    params = first["kwargs"]["params"]
    (tried,) = (request.body for request in stub.asked("POST /oms/commands"))
    assert params == {
        "postOnly": True, "request_id": tried["request_id"], "clientOrderId": tried["payload"]["client_order_id"],
    }  # fmt: skip


@pytest.mark.parametrize("elsewhere", [Answer(404, "<html>"), Answer(405, "Method Not Allowed")])
def test_a_read_that_something_in_front_knows_nothing_of_is_passed_through_once(
    client: Client, stub: Stub, elsewhere: Answer
) -> None:
    stub.on("GET /oms/orders/*", elsewhere, items(order(777)))
    stub.on("POST /ccxt/1/fetch_order", {"result": BEHIND})
    assert client("fetch_order", "777") == BEHIND
    assert client("fetch_order", "777")["clientOrderId"] == "mine-777"


@pytest.mark.parametrize("elsewhere", [Answer(404, "<html>"), Answer(405, "Method Not Allowed")])
def test_a_command_that_something_in_front_knows_nothing_of_is_sent_again(
    client: Client, stub: Stub, elsewhere: Answer
) -> None:
    """As it is while a gateway is started anew behind a proxy."""
    stub.on("POST /oms/commands", elsewhere, elsewhere, results(result(order=order())))
    assert client("create_order", *SEND)["id"] == "10"
    assert not stub.asked("POST /ccxt/1/create_order")
    stub.on("POST /oms/commands", elsewhere)
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine"):
        client("create_order", *SEND, {"clientOrderId": "mine"})
    assert not stub.asked("POST /ccxt/1/create_order")
    assert len({request.body["request_id"] for request in stub.asked("POST /oms/commands")}) == 2


@pytest.mark.parametrize("missing", [refused("unsupported_action", 404), Answer(404, "<html>")])
def test_what_may_have_been_done_is_not_done_in_another_way(client: Client, stub: Stub, missing: Answer) -> None:
    stub.on("POST /oms/commands", Answer(200, results(result()), cut=10), missing)
    with pytest.raises(RequestTimeout, match="look for clientOrderId x-"):
        client("create_order", *SEND)
    assert not stub.asked("POST /ccxt/1/create_order")


@pytest.mark.parametrize("missing", [refused("unsupported_action", 404), Answer(404, "<html>")])
def test_a_missing_read_after_a_command_does_not_repeat_it(client: Client, stub: Stub, missing: Answer) -> None:
    stub.on("POST /oms/commands", results(result(order=order(order_type="market", price=None))))
    stub.on("GET /oms/orders/10", missing)
    made = client("create_order", "BTC/USDT", "market", "buy", 0.01)
    assert (made["id"], made["status"]) == ("10", "open")
    assert not stub.asked("POST /ccxt/1/create_order")


def test_a_command_asks_the_gateway_first_the_next_time_too(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", refused("unsupported_action", 404), results(result(order=order())))
    stub.on("POST /ccxt/1/create_order", {"result": BEHIND})
    assert client("create_order", *SEND) == BEHIND
    assert client("create_order", *SEND)["id"] == "10"


def test_what_is_passed_through_is_of_the_strategy_of_the_options(client: Client, stub: Stub) -> None:
    client.exchange.options["strategy_id"] = 7
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    stub.on("GET /oms/orders/open", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/cancel_all_orders", {"result": []})
    stub.on("POST /ccxt/1/fetch_open_orders", {"result": []})
    client("cancel_all_orders")
    client("cancel_all_orders", None, {"strategy_id": 8})
    client("fetch_open_orders")
    client("fetch_open_orders", "BTC/USDT", None, None, {"strategy_id": 8})
    passed = [request.body["kwargs"] for request in stub.asked("POST /ccxt/1/*")]
    assert [each["params"]["strategy_id"] for each in passed if "params" in each] == [7, 8, 7, 8]


def test_several_orders_behind_a_missing_route_keep_their_names(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/create_orders", {"result": [BEHIND, BEHIND]})
    one = {"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 0.01, "price": 50000}
    client("create_orders", [{**one, "params": {"request_id": "own"}}, one], {"request_id": "r"})
    (tried,) = (request.body for request in stub.asked("POST /oms/commands"))
    (passed,) = (request.body for request in stub.asked("POST /ccxt/1/create_orders"))
    names = [each["params"]["clientOrderId"] for each in passed["args"][0]]
    assert names == [each["payload"]["client_order_id"] for each in tried]
    assert [each["request_id"] for each in tried] == ["own", "r:1"]
    assert passed["kwargs"]["params"]["request_id"] == "r"


def test_a_passed_command_that_may_have_been_done_is_in_doubt(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/create_order", Answer(200, {"result": BEHIND}, cut=5), refused("permission_denied", 403))
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine"):
        client("create_order", *SEND, {"clientOrderId": "mine"})
    said = refused("insufficient_funds", 422, details={"command_id": 3, "order_id": 4})
    stub.on("POST /ccxt/1/create_order", Answer(200, {"result": BEHIND}, cut=5), said)
    with pytest.raises(InsufficientFunds):
        client("create_order", *SEND)


def test_arguments_that_were_left_out_are_not_sent() -> None:
    def method(
        self: object, symbol: str, since: int | None = None, limit: int | None = None, params: object = {}
    ) -> None:
        """As ccxt has them."""

    signature = inspect.signature(method)
    assert positional(signature, (None, "A"), {}) == ([None, "A"], {})
    assert positional(signature, (None, "A"), {"limit": 5}) == ([None, "A", None, 5], {})
    assert positional(signature, (None, "A", 1, None, {"x": 1}), {}) == ([None, "A", 1], {"x": 1})


def test_more_orders_than_one_call_takes_are_several_calls_with_request_ids_of_their_own(
    client: Client, stub: Stub
) -> None:
    orders = [{"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 0.01, "price": 1}] * 301
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    taken = [{"result": [BEHIND] * 100}, refused("insufficient_funds", 422), Answer(200, {"result": []}, cut=5)]
    stub.on("POST /ccxt/1/create_orders", *taken)
    client.exchange.options["retries"] = 1
    made = client("create_orders", orders, {"request_id": "r"})
    calls = [request.body for request in stub.asked("POST /ccxt/1/create_orders")]
    assert [len(call["args"][0]) for call in calls] == [100, 100, 100]
    assert [call["kwargs"]["params"]["request_id"] for call in calls] == ["r", "r:100", "r:200"]
    statuses = [each["status"] for each in made]
    assert statuses == ["open"] * 100 + ["rejected"] * 100 + [None] * 100 + ["rejected"]
    assert made[100]["info"]["error"]["code"] == "insufficient_funds"
    assert (made[300]["info"]["error"]["message"], made[300]["amount"]) == ("not sent", 0.01)
    assert made[250]["clientOrderId"] == calls[2]["args"][0][50]["params"]["clientOrderId"]


def test_what_refuses_the_first_of_several_calls_is_raised(client: Client, stub: Stub) -> None:
    orders = [{"symbol": "BTC/USDT", "type": "market", "side": "buy", "amount": 1}] * 101
    stub.on("POST /oms/commands", refused("unsupported_action", 404))
    stub.on("POST /ccxt/1/create_orders", refused("insufficient_funds", 422))
    with pytest.raises(InsufficientFunds):
        client("create_orders", orders)
    assert len(stub.asked("POST /ccxt/1/create_orders")) == 1
