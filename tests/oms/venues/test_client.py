"""How an exchange is built: where it may go, what options cannot change, and what it tells of its requests."""

from __future__ import annotations

import asyncio
import decimal
import logging
from decimal import Decimal
from typing import Any

import pytest
from ccxt.base.errors import ExchangeNotAvailable, NetworkError

from oms.errors import OmsError
from oms.model import Environment
from oms.venues import client
from oms.venues.errors import Sending
from tests.oms.venues.tools import CREDENTIALS, config

URL = "http://127.0.0.1:9"


def build(**changes: Any) -> Any:
    return client.build(config(URL, **changes))


@pytest.mark.parametrize("klass", ["nowhere", "Exchange", "coinspot"])
def test_what_cannot_be_traded_on(klass: str) -> None:
    with pytest.raises(OmsError) as raised:
        build(klass=klass)
    assert raised.value.code == "unsupported_engine"


def test_a_simulated_account_reaches_nothing_else() -> None:
    def urls(value: Any) -> list[str]:
        return [url for each in value.values() for url in (urls(each) if isinstance(each, dict) else [each])]

    assert all("127.0.0.1:9" in url for url in urls(build().urls["api"]))


def test_a_sandbox() -> None:
    exchange = build(environment=Environment.SANDBOX, options={"urls": {}})
    assert "testnet" in exchange.urls["api"]["private"]


def test_a_live_account_goes_where_ccxt_says() -> None:
    exchange = build(environment=Environment.LIVE, options={"urls": {}})
    assert exchange.urls["api"]["private"] == "https://api.binance.com/api/v3"


def test_what_options_cannot_change() -> None:
    exchange = build(options={"verbose": True, "number": float, "apiKey": "other", "rateLimit": 7})
    assert (exchange.verbose, exchange.number, exchange.rateLimit) == (False, str, 7)
    assert (exchange.apiKey, exchange.secret) == (CREDENTIALS["apiKey"], CREDENTIALS["secret"])


def test_requests_are_throttled_unless_that_is_switched_off() -> None:
    assert build(options={"enableRateLimit": True}).enableRateLimit
    assert not build().enableRateLimit


def test_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        build().logger.debug("headers with the key")
    assert caplog.text == ""


def test_rounding_leaves_our_decimals_alone() -> None:
    exchange, ours = build(), decimal.getcontext()
    before = ours.copy()
    assert exchange.decimal_to_precision("1.25", 1, "0.1", 4) == "1.3"
    assert (ours.rounding, ours.traps, ours.prec) == (before.rounding, before.traps, before.prec)
    assert decimal.getcontext() is ours


def test_updates_are_told_as_they_are_kept() -> None:
    told: list[Any] = []
    cache = client.HeardCache(told.append)
    first, again = {"symbol": "A", "id": "1", "filled": "0"}, {"symbol": "A", "id": "1", "filled": "1"}
    cache.append(first)
    assert told == [first]
    cache.append(again)
    cache.append(again)
    assert told[1:] == [again, again]
    assert list(cache) == [again]


def test_an_update_may_be_told_without_being_kept() -> None:
    told: list[Any] = []
    cache = client.HeardCache(told.append)
    cache.tell({"symbol": "A", "id": "1"})
    assert (told, list(cache)) == ([{"symbol": "A", "id": "1"}], [])


@pytest.mark.parametrize("params", [{}, {"maxRetriesOnFailure": 5}])
async def test_a_request_is_tried_once(monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]) -> None:
    exchange = build(options={"options": {"maxRetriesOnFailure": 3, "order": {"maxRetriesOnFailure": 2}}})
    tries: list[str] = []

    async def fetch(url: str, *_: Any) -> Any:
        tries.append(url)
        raise NetworkError("no")

    monkeypatch.setattr(exchange, "fetch", fetch)
    with pytest.raises(NetworkError):
        await exchange.private_post_order(params)
    assert len(tries) == 1
    await exchange.close()


async def test_how_far_a_request_came(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = build()
    sending = Sending()
    token = client.SENDING.set(sending)
    with pytest.raises(Exception):  # noqa: B017, PT011  # which one is not the point: nobody listens there
        await exchange.fetch(f"{URL}/x")
    assert (sending.sent, sending.status, sending.taken) == (True, None, False)
    exchange.on_rest_response(503, "", "", "GET", {}, "body", {}, "")
    assert (sending.status, sending.body) == (503, "body")
    client.SENDING.reset(token)
    await exchange.close()


async def test_closed_it_sends_nothing_more_and_opens_no_session() -> None:
    exchange = build()
    exchange.open()
    throttled = asyncio.Event()

    async def throttle(_cost: Any = None) -> None:
        await throttled.wait()

    exchange.throttle = throttle
    exchange.enableRateLimit = True
    sending = Sending()
    token = client.SENDING.set(sending)
    late = asyncio.create_task(exchange.private_post_order({"symbol": "BTCUSDT"}))
    client.SENDING.reset(token)
    await asyncio.sleep(0)
    await exchange.close()
    throttled.set()
    with pytest.raises(ExchangeNotAvailable):
        await late
    with pytest.raises(ExchangeNotAvailable):
        exchange.client("ws://127.0.0.1:9")
    assert not sending.sent
    assert exchange.session is None


def test_numbers_stay_as_they_were_sent() -> None:
    assert Decimal(build().parse_number("0.123456789012345678")) == Decimal("0.123456789012345678")
