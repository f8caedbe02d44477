"""The private stream of a venue on a real connection: all of it heard, every end noticed."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from loadtest.exchange import reports
from loadtest.exchange.server import ExchangeServer
from oms.venues.base import VenueOrder
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client
from tests.oms.venues.tools import BTC, Ears, at_exchange, config, fill, order, placed


async def test_events_in_order(exchange: ExchangeServer, venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    fill(exchange, asked, "0.4")
    fill(exchange, asked, "0.6")
    await ears.until(lambda: len(ears.orders) == 3)
    assert ears.stream == [True]
    assert [each.status for each in ears.orders] == ["open", "open", "filled"]
    assert [each.filled for each in ears.orders] == [Decimal(0), Decimal("0.4"), Decimal(1)]
    assert [trade.qty for trade in ears.trades] == [Decimal("0.4"), Decimal("0.6")]
    assert {trade.exchange_order_id for trade in ears.trades} == {asked.exchange_order_id}


async def test_bursts_are_heard_to_the_last_event(exchange: ExchangeServer, venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order(qty=Decimal(30)))
    for burst in range(1, 4):
        for _ in range(500):
            fill(exchange, asked, "0.01")
        await ears.until(lambda burst=burst: len(ears.trades) == 500 * burst)  # type: ignore[misc]  # a default
    assert [int(trade.exchange_trade_id or 0) for trade in ears.trades] == [
        each.trade_id for each in at_exchange(exchange, asked).fills
    ]
    assert ears.stream == [True]


async def test_a_stream_that_was_cut_is_opened_again(
    exchange: ExchangeServer, admin: Client, venue: CcxtVenue, ears: Ears
) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    await admin.fault("drop")
    fill(exchange, asked, "0.4")
    await ears.until(lambda: ears.stream == [True, False, True])
    assert ears.trades == []
    missed = await venue.trades(BTC, asked.created_ns)
    assert [trade.qty for trade in missed] == [Decimal("0.4")]
    fill(exchange, asked, "0.6")
    await ears.until(lambda: len(ears.trades) == 1)
    assert ears.trades[0].qty == Decimal("0.6")


async def test_a_stream_that_is_ended_politely(admin: Client, venue: CcxtVenue, ears: Ears) -> None:
    await admin.fault("expire")
    await ears.until(lambda: ears.stream == [True, False, True])


async def test_a_stream_that_falls_silent(exchange: ExchangeServer, admin: Client, ears: Ears) -> None:
    venue = CcxtVenue(config(exchange.base_url, ping_ms=300))
    await venue.start(ears)
    await admin.fault("silent")
    await ears.until(lambda: ears.stream == [True, False, True])
    await placed(venue, order())
    await ears.until(lambda: bool(ears.orders))
    await venue.close()


@pytest.mark.timed
async def test_a_quiet_stream_is_no_dead_one(exchange: ExchangeServer, ears: Ears) -> None:
    venue = CcxtVenue(config(exchange.base_url, ping_ms=200))
    await venue.start(ears)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.7):
            await asyncio.Event().wait()
    assert ears.stream == [True]
    await venue.close()


async def test_refused_handshakes_are_tried_again(
    exchange: ExchangeServer, admin: Client, venue: CcxtVenue, ears: Ears
) -> None:
    await admin.fault("rest", status=503, path="/ws-api", count=2)
    await admin.fault("drop")
    await ears.until(lambda: ears.stream == [True, False, True])


async def test_repeated_and_reordered_events_are_passed_on(
    exchange: ExchangeServer, admin: Client, venue: CcxtVenue, ears: Ears
) -> None:
    """Whether one is new is the desk's to know."""
    asked = await placed(venue, order(qty=Decimal(1)))
    await admin.fault("repeat")
    fill(exchange, asked, "0.1")
    await ears.until(lambda: len(ears.orders) == 3)
    assert ears.trades[0] == ears.trades[1]
    await admin.fault("reorder", count=2)
    fill(exchange, asked, "0.2")
    fill(exchange, asked, "0.3")
    await ears.until(lambda: len(ears.orders) == 5)
    assert [trade.qty for trade in ears.trades[2:]] == [Decimal("0.3"), Decimal("0.2")]
    assert [each.filled for each in ears.orders[3:]] == [Decimal("0.6"), Decimal("0.3")]


async def test_a_fill_after_a_cancel(admin: Client, venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    await admin.fault("fill_canceled", qty="0.4")
    await venue.cancel(asked)
    await ears.until(lambda: len(ears.trades) == 1)
    found = await venue.find(asked)
    assert found is not None
    assert found.filled == Decimal("0.4")


async def test_a_fill_that_nobody_was_told(admin: Client, venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    await ears.until(lambda: len(ears.orders) == 1)
    await admin.fault("fill_unseen", symbol="BTCUSDT", client_order_id="c1", qty="0.4")
    await ears.until(lambda: ears.stream == [True, False, True])
    assert ears.trades == []
    assert [trade.qty for trade in await venue.trades(BTC, asked.created_ns)] == [Decimal("0.4")]


async def test_a_user_stream_that_ends_on_a_connection_that_stays(
    exchange: ExchangeServer, venue: CcxtVenue, ears: Ears
) -> None:
    account = exchange.accounts.named("default")
    exchange.trading._emit(account, {"e": "eventStreamTerminated", "E": exchange.feed.trading_ms()})
    await ears.until(lambda: ears.stream == [True, False, True])


async def test_what_is_unclear_is_passed_over(exchange: ExchangeServer, venue: CcxtVenue, ears: Ears) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    at = at_exchange(exchange, asked)
    exchange.trading._emit(at.account, {**reports.execution(at, "NEW", 98, exchange.feed.trading_ms()), "S": None})
    fill(exchange, asked, "0.4")
    await ears.until(lambda: len(ears.trades) == 1)
    assert ears.stream == [True]


async def test_what_ccxt_does_not_understand_makes_the_stream_begin_again(
    exchange: ExchangeServer, venue: CcxtVenue, ears: Ears
) -> None:
    asked = await placed(venue, order(qty=Decimal(1)))
    at = at_exchange(exchange, asked)
    exchange.trading._emit(at.account, {**reports.execution(at, "NEW", 98, exchange.feed.trading_ms()), "q": "many"})
    await ears.until(lambda: ears.stream == [True, False, True])
    fill(exchange, asked, "0.4")
    await ears.until(lambda: len(ears.trades) == 1)


async def test_a_listener_that_fails_makes_the_stream_begin_again(
    exchange: ExchangeServer, venue: CcxtVenue, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(told: VenueOrder) -> None:
        monkeypatch.undo()
        raise RuntimeError("the desk's fault")

    monkeypatch.setattr(ears, "on_order", broken)
    await placed(venue, order())
    await ears.until(lambda: ears.stream == [True, False, True])
