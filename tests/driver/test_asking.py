"""How the gateway is asked: what is tried again, and that a command is done once whatever becomes of its answers."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base.errors import (
    ArgumentsRequired,
    AuthenticationError,
    BadResponse,
    ExchangeNotAvailable,
    InsufficientFunds,
    NetworkError,
    RateLimitExceeded,
    RequestTimeout,
)

from driver.errors import refusal_of
from tests.driver.conftest import Client
from tests.driver.stub import Answer, Recorded, Stub, items, order, refused, result, results

SEND = ("BTC/USDT", "limit", "buy", 0.01, 50000)


def names(stub: Stub) -> set[str]:
    return {request.body["request_id"] for request in stub.asked("POST /oms/commands")}


def test_a_read_is_tried_again_until_it_is_answered(client: Client, stub: Stub) -> None:
    cut = Answer(200, items(order()), cut=20)
    stub.on("GET /oms/orders/10", refused("engine_unavailable", 503), Answer(502, "<html>"), cut, items(order()))
    assert client("fetch_order", "10")["id"] == "10"
    assert len(stub.requests) == 4


def test_a_read_is_not_tried_for_ever(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", refused("exchange_unavailable", 503))
    with pytest.raises(ExchangeNotAvailable):
        client("fetch_order", "10")
    assert len(stub.requests) == 4


def test_what_is_refused_for_good_is_asked_once(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", refused("invalid_api_key", 401))
    with pytest.raises(AuthenticationError):
        client("fetch_order", "10")
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "lost",
    [
        Answer(200, results(result()), cut=10),
        Answer(504, "<html>gateway timeout"),
        Answer(200, "<html>welcome"),
        refused("engine_unavailable", 503),
        refused("rate_limited", 429, retry_after_ms=5),
    ],
    ids=["cut", "504", "no json", "engine", "rate"],
)
def test_a_command_is_sent_again_with_its_own_request_id(client: Client, stub: Stub, lost: Answer) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", lost, lost, results(result(order=order(), replayed=True)))
    assert client("create_order", *SEND)["id"] == "10"
    sent = stub.asked("POST /oms/commands")
    assert len(sent) == 3
    assert all(request.body == sent[0].body for request in sent)
    assert len(names(stub)) == 1


def test_two_commands_have_two_request_ids(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", results(result(order=order())))
    client("create_order", *SEND)
    client("create_order", *SEND)
    assert len(names(stub)) == 2


def test_a_request_id_of_the_caller_is_used(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    client("create_order", *SEND, {"request_id": "mine"})
    assert names(stub) == {"mine"}


def test_a_command_that_still_runs_is_asked_about(client: Client, stub: Stub) -> None:
    running = Answer(202, results(result(order_id=None, running=True)))
    stub.on("POST /oms/commands", running, running, results(result(order=order())))
    assert client("create_order", *SEND)["id"] == "10"
    assert len(names(stub)) == 1


def test_a_command_that_runs_for_too_long_is_a_timeout_that_names_the_order(
    client: Client, stub: Stub, config: dict[str, Any]
) -> None:
    client.exchange.options["command_timeout_ms"] = 20
    stub.on("POST /oms/commands", Answer(202, results(result(order_id=None, running=True))))
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine-1"):
        client("create_order", *SEND, {"clientOrderId": "mine-1"})
    assert len(names(stub)) == 1


def test_a_command_nobody_answers_is_a_timeout_that_names_the_order(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", Answer(200, results(result()), cut=10))
    with pytest.raises(RequestTimeout, match="look for clientOrderId x-"):
        client("create_order", *SEND)
    sent = stub.asked("POST /oms/commands")
    assert len(sent) == 10
    assert len(names(stub)) == 1
    assert sent[0].body["payload"]["client_order_id"].startswith("x-")


def test_a_refusal_that_may_pass_stays_what_it_is(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", refused("rate_limited", 429))
    with pytest.raises(RateLimitExceeded):
        client("create_order", *SEND)


LOST = Answer(200, results(result(order=order())), cut=10)
TOO_MANY = result(ok=False, command_id=None, order_id=None, error={"code": "rate_limited", "message": ""})


@pytest.mark.parametrize(
    "then",
    [
        Answer(403, "<html>Forbidden"),
        refused("invalid_api_key", 401),
        refused("token_expired", 401),
        refused("permission_denied", 403),
        Answer(413, "too large"),
        Answer(302, "", location="http://127.0.0.1:1/"),
        Answer(404, "<html>"),
        refused("unsupported_action", 404),
        refused("internal_error", 500),
        refused("rate_limited", 429),
        Answer(429, results(TOO_MANY)),
    ],
    ids=["403", "key", "token", "permission", "413", "302", "404", "route", "internal", "rate", "rate of it"],
)
def test_a_refusal_of_another_try_is_none_of_the_command(client: Client, stub: Stub, then: Answer) -> None:
    stub.on("POST /oms/commands", LOST, then)
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine-1"):
        client("create_order", *SEND, {"clientOrderId": "mine-1"})
    assert len(names(stub)) == 1


def test_what_the_command_itself_was_refused_with_is_told_after_any_try(client: Client, stub: Stub) -> None:
    error = {"code": "insufficient_funds", "message": "none left"}
    stub.on("POST /oms/commands", LOST, Answer(403, "<html>"), Answer(422, results(result(ok=False, error=error))))
    with pytest.raises(InsufficientFunds):
        client("create_order", *SEND)


def test_a_fault_of_the_gateway_does_not_say_whether_a_command_was_done(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", refused("internal_error", 500))
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine-1"):
        client("create_order", *SEND, {"clientOrderId": "mine-1"})
    stub.on("POST /oms/commands", refused("internal_error", 500), results(result(order=order())))
    assert client("create_order", *SEND)["id"] == "10"
    error = {"code": "internal_error", "message": "ours"}
    stub.on("POST /oms/commands", Answer(500, results(result(ok=False, order_id=None, error=error))))
    with pytest.raises(RequestTimeout, match="ours; look for clientOrderId mine-1"):
        client("create_order", *SEND, {"clientOrderId": "mine-1"})


def test_a_gateway_that_is_away_is_said_to_be_and_by_what_an_order_is_found(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", refused("engine_unavailable", 503))
    with pytest.raises(ExchangeNotAvailable, match="look for clientOrderId mine-1"):
        client("create_order", *SEND, {"clientOrderId": "mine-1"})


def test_what_is_kept_of_a_command_is_not_asked_for_again(client: Client, stub: Stub) -> None:
    error = {"code": "exchange_unavailable", "message": "it never arrived"}
    stub.on("POST /oms/commands", Answer(503, results(result(ok=False, error=error))))
    with pytest.raises(ExchangeNotAvailable, match="it never arrived"):
        client("create_order", *SEND)
    assert len(stub.asked("POST /oms/commands")) == 1
    not_kept = result(ok=False, command_id=None, order_id=None, error=error)
    stub.on("POST /oms/commands", Answer(503, results(not_kept)), results(result(order=order())))
    assert client("create_order", *SEND)["id"] == "10"


def test_a_refused_command_is_sent_once(client: Client, stub: Stub) -> None:
    error = {"code": "insufficient_funds", "message": "none left"}
    stub.on("POST /oms/commands", Answer(422, results(result(ok=False, order_id=11, error=error))))
    with pytest.raises(InsufficientFunds, match="none left") as raised:
        client("create_order", *SEND)
    said = refusal_of(raised.value)
    assert said is not None
    assert said.order_id == 11
    assert len(stub.asked("POST /oms/commands")) == 1


def test_answers_of_another_shape_are_no_results(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", {"results": []})
    with pytest.raises(NetworkError, match="something else than results"):
        client("create_order", *SEND)
    stub.on("POST /ccxt/1/fetch_status", {"no": "result"})
    with pytest.raises(BadResponse):
        client("fetch_status")


def test_the_account_is_required(client: Client, stub: Stub) -> None:
    del client.exchange.options["account_id"]
    with pytest.raises(ArgumentsRequired, match="account_id"):
        client("fetch_balance")
    client.exchange.accountId = "1"
    stub.on("POST /ccxt/core/1/fetch_balance", {"result": {}})
    assert client("fetch_balance") == {}


@pytest.mark.parametrize("name", ["demo", "a/../b?c", "1.5", -1, "1" * 19])
def test_an_account_is_named_by_its_number(client: Client, stub: Stub, name: object) -> None:
    client.exchange.options["account_id"] = name
    for method in ("fetch_status", "fetch_open_orders", "fetch_balance"):
        with pytest.raises(ArgumentsRequired, match="the number of the account"):
            client(method)
    assert not stub.requests


def test_options_say_how_often(client: Client, stub: Stub) -> None:
    client.exchange.options["retries"] = 1
    stub.on("GET /oms/orders/10", refused("exchange_unavailable", 503))
    with pytest.raises(ExchangeNotAvailable):
        client("fetch_order", "10")
    assert len(stub.requests) == 1


def test_what_is_not_a_read_is_passed_through_once(client: Client, stub: Stub) -> None:
    stub.on("POST /ccxt/1/set_leverage", refused("exchange_unavailable", 503))
    with pytest.raises(ExchangeNotAvailable):
        client("set_leverage", 5, "BTC/USDT:USDT")
    assert stub.requests == [
        Recorded("POST", "/ccxt/1/set_leverage", {}, stub.requests[0].headers, stub.requests[0].body)
    ]
    assert stub.requests[0].body == {"args": [5, "BTC/USDT:USDT"], "kwargs": {}}
