"""Requests that fail on the way: what is in doubt, what is not, that nothing is sent twice and nothing secret told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from loadtest.exchange.server import ExchangeServer
from oms.venues.base import Ambiguous, Refused
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client, ccxt_options
from tests.oms.venues.tools import BTC, CREDENTIALS, Between, Ears, client_ids, config, hurried, order, placed


@pytest.fixture
async def through(exchange: ExchangeServer, between: Between, ears: Ears) -> AsyncIterator[CcxtVenue]:
    """A venue whose requests go through `between`, with ccxt told to try again."""
    options = ccxt_options(between.base_url)
    options["urls"]["api"]["ws"] = ccxt_options(exchange.base_url)["urls"]["api"]["ws"]
    options["options"] |= {"maxRetriesOnFailure": 3, "order": {"maxRetriesOnFailure": 3}}
    made = CcxtVenue(config(exchange.base_url, options=options))
    await made.start(ears)
    yield made
    await made.close()


@pytest.mark.parametrize("fault", ["lose", "half", 500, 502, 503, 504])
async def test_an_order_whose_answer_was_lost_is_in_doubt_and_there(
    exchange: ExchangeServer, between: Between, through: CcxtVenue, ears: Ears, fault: str | int
) -> None:
    between.fault = fault
    with pytest.raises(Ambiguous):
        await through.place(order(), "c1")
    assert between.received["POST", "order"] == 1
    assert client_ids(exchange) == ["c1"]
    found = await through.find(order())
    assert found is not None
    assert found.status == "open"
    await ears.until(lambda: bool(ears.orders))
    assert ears.orders[0].client_order_id == "c1"


async def test_an_order_that_never_arrived_is_in_doubt_and_not_there(
    exchange: ExchangeServer, between: Between, through: CcxtVenue
) -> None:
    between.fault = "refuse"
    with pytest.raises(Ambiguous):
        await through.place(order(), "c1")
    assert between.received["POST", "order"] == 1
    assert client_ids(exchange) == []
    assert await through.find(order()) is None


async def test_an_answer_that_comes_too_late(exchange: ExchangeServer, between: Between, through: CcxtVenue) -> None:
    between.fault = "delay"
    with hurried(through, 200), pytest.raises(Ambiguous):
        await through.place(order(), "c1")
    assert await through.find(order()) is not None


async def test_an_order_that_is_carried_out_after_all(admin: Client, venue: CcxtVenue, ears: Ears) -> None:
    """Not found once proves nothing."""
    await admin.fault("late", ms=1_000, accepted=False)
    with hurried(venue, 200), pytest.raises(Ambiguous):
        await venue.place(order(), "c1")
    assert await venue.find(order()) is None
    await ears.until(lambda: bool(ears.orders))
    assert await venue.find(order()) is not None


@pytest.mark.parametrize(("code", "outcome"), [(-1007, Ambiguous), (-1006, Ambiguous), (-1021, Refused)])
async def test_the_exchanges_own_words_for_doubt(
    admin: Client, venue: CcxtVenue, code: int, outcome: type[Exception]
) -> None:
    await admin.fault("fail", status=400, code=code)
    with pytest.raises(outcome):
        await venue.place(order(), "c1")


@pytest.mark.parametrize("fault", ["lose", "refuse", 502])
async def test_a_cancel_is_sent_once(between: Between, through: CcxtVenue, fault: str | int) -> None:
    """On a connection that was used before: there aiohttp would send it again."""
    asked = await placed(through, order())
    between.fault = fault
    with pytest.raises(Ambiguous):
        await through.cancel(asked)
    assert between.received["DELETE", "order"] == 1


async def test_without_our_setting_aiohttp_sends_a_cancel_twice(between: Between, through: CcxtVenue) -> None:
    """What the test above is about: when this fails, it proves nothing any more."""
    asked = await placed(through, order())
    exchange = through._exchange
    exchange.open()
    exchange.session._retry_connection = True
    exchange.open = lambda *_: None
    between.fault = "refuse"
    await through.cancel(asked)
    assert between.received["DELETE", "order"] == 2


@pytest.mark.parametrize("fault", ["lose", 502])
async def test_a_replacement_in_doubt(between: Between, through: CcxtVenue, fault: str | int) -> None:
    asked = await placed(through, order())
    between.fault = fault
    with pytest.raises(Ambiguous):
        await through.replace(asked, Decimal(20_001), Decimal(2), "c1.1")
    assert between.received["POST", "cancelReplace"] == 1
    new = await through.lookup(BTC, client_order_id="c1.1")
    assert new is not None
    assert new.qty == Decimal(2)


@pytest.mark.parametrize(("status", "outcome"), [(500, Ambiguous), (503, Ambiguous), (418, Refused), (429, Refused)])
async def test_statuses_before_accepting(
    exchange: ExchangeServer, admin: Client, venue: CcxtVenue, status: int, outcome: type[Exception]
) -> None:
    await admin.fault("rest", status=status, path="/api/v3/order")
    with pytest.raises(outcome):
        await venue.place(order(), "c1")
    assert client_ids(exchange) == []
    await admin.fault("rest", status=status, path="/api/v3/order")
    with pytest.raises((Refused, Ambiguous)):
        await venue.find(order())  # never None


async def test_nobody_there_is_a_refusal(exchange: ExchangeServer, venue: CcxtVenue, ears: Ears) -> None:
    await exchange.close()
    with pytest.raises(Refused) as raised:
        await venue.place(order(), "c1")
    assert raised.value.code == "exchange_unavailable"
    with pytest.raises(Ambiguous):
        await venue.open_orders(None)


async def test_what_waits_too_long_for_its_turn_is_not_sent(exchange: ExchangeServer, ears: Ears) -> None:
    venue = CcxtVenue(config(exchange.base_url, options={"enableRateLimit": True}))
    await venue.start(ears)
    venue._exchange.throttler = lambda _cost: asyncio.get_running_loop().create_future()
    with hurried(venue, 100), pytest.raises(Refused) as raised:
        await venue.place(order(), "c1")
    assert raised.value.code == "rate_limited"
    assert client_ids(exchange) == []
    await venue.close()


async def test_nothing_secret_is_told(
    exchange: ExchangeServer, between: Between, through: CcxtVenue, caplog: pytest.LogCaptureFixture
) -> None:
    told = [repr(through), repr(config(exchange.base_url)), str(config(exchange.base_url))]
    with caplog.at_level(logging.DEBUG):
        asked = await placed(through, order())
        for fault in ("lose", "half", 502):
            between.fault = fault
            with pytest.raises(Ambiguous) as raised:
                await through.cancel(asked)
            told += [repr(raised.value), str(raised.value.__cause__), str(raised.value.__suppress_context__)]
        await exchange.close()
        with pytest.raises(Ambiguous) as raised:
            await through.balances()
        told.append(repr(raised.value))
    said = caplog.text + "".join(told)
    for secret in (*CREDENTIALS.values(), "signature"):
        assert secret not in said
