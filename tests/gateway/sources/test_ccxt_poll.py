"""What is not streamed is fetched, and comes out of the same channels."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from gateway.core.key import Key
from gateway.sources.ccxt_poll import fetch
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.feed import FeedId
from loadtest.exchange.server import ExchangeServer
from tests.gateway.sources.tools import (
    BTC,
    USUAL_VARIANTS,
    RecordingSink,
    Rig,
    exchange_levels,
    source_on,
    subscriptions,
    synthetic,
)

WATCHES = ("watchTrades", "watchOrderBook", "watchTicker", "watchBidsAsks", "watchOHLCV")


def polling(server: ExchangeServer, sink: RecordingSink, **config: Any) -> CcxtSource:
    """binance as if it had nothing to watch."""
    source = source_on(server, sink, poll_interval_ms=50, **config)
    source.exchange.has.update(dict.fromkeys(WATCHES, False))
    return source


async def acquired(source: CcxtSource, channel: str, variant: str = "") -> Key:
    key = await source.resolve(channel, BTC, variant or USUAL_VARIANTS.get(channel, ""))
    source.acquire(key)
    return key


@pytest.mark.parametrize(("channel", "variant"), [("quotes", ""), ("book", "20"), ("bars", "15m")])
async def test_states_are_polled(channel: str, variant: str) -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = polling(server, sink)
        key = await acquired(source, channel, variant)
        await sink.until(lambda: sink.published(key))
        server.feed.burst("btcusdt@trade", 3)
        before = len(sink.calls)
        await sink.until(lambda: len(sink.calls) > before)
        if channel == "book":
            book = server.feed.markets["BTCUSDT"].book
            await sink.until(
                lambda: [tuple(level) for level in sink.levels(key)["asks"]] == exchange_levels(book, "asks")[:20]
            )
        assert sink.of(key, "lost") == []
        assert subscriptions(server) == {}
        assert source.status()[0].state == "live"
        source.release(key)
        assert source.status() == []
        await source.close()


async def test_polled_trades_come_once_and_in_order() -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = polling(server, sink)
        key = await acquired(source, "trades")
        await sink.until(lambda: sink.published(key))
        for _ in range(5):
            before = len(sink.calls)
            server.feed.burst("btcusdt@trade", 20)
            await sink.until(functools.partial(sink.has, before + 20))
        ids = [int(trade["trade_id"]) for trade in sink.published(key)]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert sink.of(key, "lost") == []
        await source.close()


async def test_more_trades_than_one_answer_holds_are_a_loss() -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = polling(server, sink)
        key = await acquired(source, "trades")
        await sink.until(lambda: sink.published(key))
        server.feed.burst("btcusdt@trade", 900)
        await sink.until(lambda: sink.of(key, "lost"))
        await sink.until(lambda: sink.calls[-1].name == "publish")
        assert source.status()[0].restarts == 0
        await source.close()


async def test_trades_that_are_fetched_have_the_ids_of_the_stream() -> None:
    """Else what is fetched never joins what is streamed: the first bar would be skipped."""
    async with synthetic() as server:
        source = polling(server, RecordingSink())
        server.feed.burst("btcusdt@trade", 3)
        fetched = await fetch(source.exchange, "binance", FeedId("trades", BTC))
        assert [int(trade["id"]) for trade in fetched] == [trade.id for trade in server.feed.markets["BTCUSDT"].trades]
        await source.close()


async def test_a_failing_poll_is_told_and_tried_again() -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = polling(server, sink)
        rig = Rig(server, source, sink)
        key = await acquired(source, "quotes")
        await sink.until(lambda: sink.published(key))
        rig.fault("rest", status=503, count=1)
        await sink.until(lambda: sink.of(key, "lost"))
        at = len(sink.calls)
        await sink.until(lambda: len(sink.calls) > at)
        assert sink.calls[at].name == "publish"
        assert source.status()[0].restarts == 1
        await source.close()


async def test_a_channel_with_neither_watch_nor_fetch_is_refused() -> None:
    async with synthetic() as server:
        source = polling(server, RecordingSink())
        source.exchange.has["fetchOrderBook"] = False
        with pytest.raises(Exception, match="offers no book"):
            await source.resolve("book", BTC, "10")
        await source.close()
