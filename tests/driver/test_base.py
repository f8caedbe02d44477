"""What every client says of itself, sends with each request, and shows in a log."""

from __future__ import annotations

import logging
import time
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.async_support
import pytest
from ccxt.base.errors import AuthenticationError, BadRequest, ExchangeError, NetworkError, NotSupported

from driver.base import Base, Secret
from tests.driver.conftest import Client
from tests.driver.stub import KEY, Answer, Stub, items, order, stub_gateway

# Methods of ccxt's own that mixins replace on purpose, beside the unified ones.
REPLACED = {
    "describe",
    "sign",
    "fetch",
    "set_headers",
    "handle_errors",
    "set_sandbox_mode",
    "set_markets",
    "set_markets_from_exchange",
    "parse_order",
    "parse_trade",
    "parse_position",
}


def test_it_is_one_of_ccxts_exchanges(client: Client) -> None:
    kind = ccxt.async_support.Exchange if client.is_async else ccxt.Exchange
    assert isinstance(client.exchange, kind)
    assert (client.exchange.id, str(client.exchange)) == ("tickwire", "Tickwire")
    assert client.exchange.describe()["has"]["createOrder"] is True
    assert client.exchange.requiredCredentials["apiKey"] is True
    assert client.exchange.requiredCredentials["secret"] is False


def test_nothing_of_ccxt_is_hidden_by_a_name_of_ours() -> None:
    """A snake_case method gains a camelCase twin, which could be an attribute of ccxt."""
    helper: Any = ccxt.Exchange
    unified = {helper.un_camel_case(helper, name) for name in helper.describe(helper)["has"]}
    ours = [name for kind in Base.__mro__[:-1] for name in vars(kind) if not name.startswith("_")]
    for name in ours:
        twin = name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:])
        known = name in unified or name in REPLACED or name.startswith(("fetch_", "create_", "cancel_", "edit_"))
        known = known or name in {"close_position", "set_leverage", "set_margin"}
        assert known or not (hasattr(helper, name) or hasattr(helper, twin)), name


def test_the_key_goes_in_a_header_and_nowhere_else(
    client: Client, stub: Stub, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client.exchange.verbose = True
    stub.on("GET /oms/orders/10", items(order()))
    with caplog.at_level(logging.DEBUG):
        client("fetch_order", "10")
        client("load_markets")
    for request in stub.requests:
        assert request.headers["x-api-key"] == KEY
        assert KEY not in f"{request.path}{request.query}{request.body}"
    printed = capsys.readouterr().out
    assert "x-api-key': '***'" in printed
    assert KEY not in printed + caplog.text
    assert KEY not in str(client.exchange.last_request_headers)


def test_headers_of_the_user_are_sent_and_not_shown(
    client: Client, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    client.exchange.apiKey = None
    client.exchange.headers = {"Authorization": "Bearer s3cret", "X-Trace": "seen"}
    client.exchange.verbose = True
    stub.on("GET /oms/orders/10", items(order()))
    client("fetch_order", "10")
    sent = stub.requests[0].headers
    assert (sent["authorization"], sent["x-trace"]) == ("Bearer s3cret", "seen")
    assert "x-api-key" not in sent
    printed = capsys.readouterr().out
    assert "s3cret" not in printed
    assert "seen" in printed


def test_without_a_key_what_is_public_is_asked_and_what_is_private_is_not(client: Client, stub: Stub) -> None:
    client.exchange.apiKey = ""
    client("load_markets")
    assert "x-api-key" not in stub.requests[0].headers
    before = len(stub.requests)
    for method, arguments in (("fetch_balance", ()), ("fetch_order", ("10",)), ("cancel_order", ("10",))):
        with pytest.raises(AuthenticationError):
            client(method, *arguments)
    assert len(stub.requests) == before


def test_a_proxy_is_used_as_ccxt_users_set_it(client: Client, stub: Stub) -> None:
    client.exchange.options["base_url"] = "http://gateway.invalid"
    client.exchange.httpProxy = stub.url
    stub.on("GET /oms/orders/10", items(order()))
    assert client("fetch_order", "10")["id"] == "10"
    assert stub.requests[0].headers["host"] == "gateway.invalid"


def test_requests_are_spaced_as_ccxt_users_set_it(client: Client, stub: Stub) -> None:
    slow = Client("async" if client.is_async else "sync", {
        "apiKey": KEY, "rateLimit": 100, "options": client.exchange.options,
    })  # fmt: skip
    stub.on("GET /oms/orders/10", items(order()))
    began = time.monotonic()
    for _ in range(4):
        slow("fetch_order", "10")
    assert time.monotonic() - began >= 0.25, "the first of them goes at once"
    slow.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(client: Client, stub: Stub, status: int) -> None:
    with stub_gateway() as other:
        stub.on("GET /oms/orders/10", Answer(status, "{}", location=f"{other.url}/oms/orders/10"))
        stub.on("POST /oms/commands", Answer(status, "{}", location=f"{other.url}/oms/commands"))
        for method, arguments in (("fetch_order", ("10",)), ("cancel_order", ("10",))):
            with pytest.raises(ExchangeError) as raised:
                client(method, *arguments)
            assert not isinstance(raised.value, NetworkError)
        assert len(stub.requests) == 2
        assert other.requests == []


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://127.0.0.1:8765"),
        ({"hostname": "gateway:9000"}, "http://gateway:9000"),
        ({"urls": {"api": {"rest": "https://{hostname}/t/"}}, "hostname": "h"}, "https://h/t"),
        ({"urls": {"api": "https://whole"}}, "https://whole"),
        ({"urls": {"api": {"public": "https://p", "rest": None}}}, "https://p"),
        ({"options": {"base_url": "http://o:1/"}, "hostname": "h"}, "http://o:1"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_where_the_gateway_is(kind: str, changes: dict[str, Any], url: str) -> None:
    client = Client(kind, changes)
    assert client.exchange.rest_url() == url
    client.close()


def test_a_sandbox_is_an_account_of_the_gateway(client: Client) -> None:
    with pytest.raises(NotSupported):
        client.exchange.set_sandbox_mode(True)


def test_two_kinds_of_name(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    assert client("fetchOrder", "10") == client("fetch_order", "10")
    assert client.exchange.fetchOHLCV.__name__ == "fetch_ohlcv"


def test_what_is_sent_is_what_was_given_or_nothing_is(client: Client, stub: Stub) -> None:
    class Scalar:
        def item(self) -> int:
            return 7

    stub.on("POST /ccxt/1/fetch_trades", {"result": []})
    client("fetch_trades", "BTC/USDT", Scalar(), 5, {"price": Decimal("0.10")})
    assert stub.requests[-1].body == {"args": ["BTC/USDT", 7, 5], "kwargs": {"params": {"price": "0.10"}}}
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(BadRequest):
            client("fetch_trades", "BTC/USDT", None, None, {"x": value})
    assert len(stub.requests) == 1


def test_a_secret_is_a_text_that_is_not_shown() -> None:
    secret = Secret("abc")
    assert (repr(secret), repr({"k": secret}), secret + "", len(secret)) == ("'***'", "{'k': '***'}", "abc", 3)
