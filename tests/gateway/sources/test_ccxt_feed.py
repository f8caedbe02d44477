"""Each thing an exchange does on its bad days: told as a loss, and a correct stream again."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.key import Key
from gateway.core.watch import Policy
from gateway.sources import quirks
from gateway.sources.ccxt_feed import CcxtFeed, can_unwatch
from gateway.sources.ccxt_source import make_exchange
from gateway.sources.config import ExchangeConfig
from gateway.sources.feed import FeedId, FeedSettings
from gateway.sources.pause import Pause
from tests.gateway.sources.tools import (
    BTC,
    RecordingSink,
    Rig,
    exchange_levels,
    source_on,
    subscriptions,
    synthetic,
)
from tests.waiting import until

STREAMS = {"trades": "btcusdt@trade", "quotes": "btcusdt@bookTicker", "book": "btcusdt@depth@100ms"}
CHANNELS = pytest.mark.parametrize("channel", STREAMS)


async def recovers(rig: Rig, key: Key, reason: str, losses: int = 1) -> None:
    """The loss is told once, before anything new; then the stream is as the exchange is."""
    sink, stream = rig.sink, STREAMS[key.channel]
    await sink.until(lambda: sink.of(key, "lost"))
    at = next(index for index, call in enumerate(sink.calls) if call.name == "lost")
    assert sink.calls[at].data == reason
    await until(lambda: rig.server.streams.topics[stream].subscribe_count == 2)
    rig.server.feed.burst(stream, 5)
    await sink.until(lambda: len([call for call in sink.calls[at:] if call.key == key and call.name != "lost"]) >= 1)
    await until(lambda: rig.state(key) == "live" or key.channel == "quotes")
    assert len(sink.of(key, "lost")) == losses
    await until(lambda: subscriptions(rig.server)[stream] == 1)
    if key.channel == "book":
        await book_is_the_exchange_s(rig, key)


async def book_is_the_exchange_s(rig: Rig, key: Key) -> None:
    def same() -> bool:
        book, levels = rig.server.feed.markets["BTCUSDT"].book, rig.sink.levels(key)
        return all(
            [tuple(level) for level in levels[side]] == exchange_levels(book, side)[: int(key.variant)]
            for side in ("bids", "asks")
        )

    await rig.sink.until(lambda: key in rig.sink.books)
    rig.server.feed.burst(STREAMS["book"], 3)
    await until(same)


async def test_a_subscription_that_was_not_sent_yet_is_known() -> None:
    taps: list[SimpleNamespace] = []
    settings = FeedSettings("x", "kraken", Policy(), Random(1), 10_000, 5_000, 500, Pause(), {})
    feed = CcxtFeed(FeedId("trades", BTC), settings, SimpleNamespace(taps=lambda: taps))
    assert feed.waits_to_ask, "nothing is dialled"
    taps += [SimpleNamespace(sent={None}), SimpleNamespace(sent=set())]
    assert feed.waits_to_ask, "nothing is sent"
    taps[1].sent.add(feed)
    assert not feed.waits_to_ask
    taps[1].sent.clear()
    feed.deliver([], 1)
    assert not feed.waits_to_ask, "who answers has been asked, by whichever message"


async def test_one_that_is_always_refused_takes_its_neighbours_connection_less_and_less_often() -> None:
    dropped: list[int] = []
    client = SimpleNamespace(closed=lambda: True, url="wss://x")
    tap = SimpleNamespace(
        client=client,
        serves=lambda _feed: True,
        serves_others=lambda _feed: True,
        never_asked=lambda _feed: False,
        leave=lambda _feed: None,
    )
    exchange = SimpleNamespace(taps=lambda: [tap], trades={})
    settings = FeedSettings("x", "kraken", Policy(), Random(1), 10_000, 5_000, 500, Pause(), {})
    feed = CcxtFeed(FeedId("trades", BTC), settings, exchange)
    exchange.drop = lambda _client: dropped.append(feed.refusals)
    for refusals in range(40):
        feed.refusals = refusals
        await feed.unsubscribe()
    assert dropped == [2, 4, 8, 16, 32]


@CHANNELS
@pytest.mark.parametrize("fault", ["drop", "expire"])
async def test_disconnects(rig: Rig, channel: str, fault: str) -> None:
    key = await rig.live(channel, poke=STREAMS[channel])
    rig.fault(fault, stream=STREAMS[channel])
    await recovers(rig, key, "upstream")


@CHANNELS
async def test_a_connection_without_a_sign_of_life(rig: Rig, channel: str) -> None:
    key = await rig.live(channel, poke=STREAMS[channel])
    rig.fault("silent", stream=STREAMS[channel])
    await recovers(rig, key, "upstream")


async def test_an_idle_connection_that_answers_is_left_alone(rig: Rig) -> None:
    key = await rig.live("trades", poke=STREAMS["trades"])
    rig.fault("silent", pong=True, seconds=2.5)
    await until(lambda: rig.server.faults.status()["silent"] == 0)
    assert rig.sink.of(key, "lost") == []
    rig.server.feed.burst(STREAMS["trades"], 1)
    await rig.sink.until(lambda: len(rig.sink.published(key)) == 2)


@pytest.mark.parametrize("channel", ["quotes", "book", "trades"])
async def test_silence_beyond_the_budget(channel: str) -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = source_on(server, sink, stale_after_ms={channel: 400})
        await source.start()
        rig = Rig(server, source, sink)
        key = await rig.live(channel, poke=STREAMS[channel])
        rig.fault("silent", stream=STREAMS[channel], pong=True)
        await sink.until(lambda: sink.of(key, "lost"))
        rig.server.feed.burst(STREAMS[channel], 1)
        await recovers(rig, key, "upstream")
        await source.close()


async def test_a_missing_diff_is_a_resync(rig: Rig) -> None:
    key = await rig.live("book", "20", poke=STREAMS["book"])
    rig.fault("skip", stream=STREAMS["book"])
    rig.server.feed.burst(STREAMS["book"], 3)
    await recovers(rig, key, "resync")


async def test_missing_trades_are_told_without_a_new_subscription(rig: Rig) -> None:
    key = await rig.live("trades", poke=STREAMS["trades"])
    rig.fault("skip", stream=STREAMS["trades"], count=2)
    rig.server.feed.burst(STREAMS["trades"], 5)
    await rig.sink.until(lambda: len(rig.sink.published(key)) == 4)
    assert [call.name for call in rig.sink.of(key)] == ["publish", "lost", *["publish"] * 3]
    assert rig.server.streams.topics[STREAMS["trades"]].subscribe_count == 1


async def test_a_delay_loses_nothing(rig: Rig) -> None:
    key = await rig.live("trades", poke=STREAMS["trades"])
    rig.fault("delay", ms=300, seconds=1)
    rig.server.feed.burst(STREAMS["trades"], 50)
    await rig.sink.until(lambda: len(rig.sink.published(key)) == 51)
    assert rig.sink.of(key, "lost") == []


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_a_snapshot_that_is_refused_is_asked_for_again(rig: Rig, status: int) -> None:
    await rig.source.resolve("book", BTC, "10")
    rig.fault("rest", status=status, count=4)
    key = await rig.live("book")
    await rig.sink.until(lambda: rig.sink.published(key), 30)
    assert rig.sink.of(key, "lost") == [], "nothing was served yet"
    await book_is_the_exchange_s(rig, key)


async def test_a_refused_handshake_is_tried_again(rig: Rig) -> None:
    await rig.source.resolve("trades", BTC, "")
    rig.fault("rest", status=503, path="/stream", count=3)
    key = await rig.live("trades", poke=STREAMS["trades"])
    assert rig.source.status()[0].errors == 3
    assert len(rig.sink.published(key)) == 1
    asked = [type(each) for tap in rig.source.exchange.taps() for each in tap.sent]
    assert asked == [CcxtFeed], "what ccxt sends when the dialling has ended is in the feed's name"


async def test_a_book_that_stands_still_while_trades_print() -> None:
    async with synthetic() as server:
        sink = RecordingSink()
        source = source_on(server, sink, book_contradiction_ms=300)
        await source.start()
        rig = Rig(server, source, sink)
        key = await rig.live("book", poke=STREAMS["book"])
        await rig.live("trades", poke=STREAMS["trades"])
        rig.fault("silent", stream=STREAMS["book"], pong=True)

        def trade_until_lost() -> bool:
            server.feed.burst(STREAMS["trades"], 1)
            return bool(sink.of(key, "lost"))

        await until(trade_until_lost)
        await recovers(rig, key, "resync")
        await source.close()


async def test_a_book_deeper_than_what_upstream_was_asked_for_begins_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on exchanges that send the depth they were asked for; the shallow key is told that it begins anew too."""
    monkeypatch.setitem(quirks.BOOK_LIMITS, "binance", (10, 100))
    shallow = await rig.live("book", "10", poke=STREAMS["book"])
    same = await rig.live("book", "5")
    await rig.sink.until(lambda: rig.sink.published(same))
    deep = await rig.live("book", "20")
    await rig.sink.until(lambda: rig.sink.published(deep))
    assert [call.data for call in rig.sink.of(shallow, "lost")] == ["resync"]
    assert len(rig.sink.levels(deep)["bids"]) == 20
    assert subscriptions(rig.server) == {STREAMS["book"]: 1}


def test_who_can_unwatch() -> None:
    """`has` leaves some out, the class tells."""
    kinds: dict[str, Any] = {
        klass: [kind for kind in ("trades", "book", "ticker", "ohlcv") if can_unwatch(make_exchange(config), kind)]
        for klass, config in ((klass, ExchangeConfig(klass=klass)) for klass in ("binance", "okx", "kraken"))
    }
    assert kinds == {
        "binance": ["trades", "book", "ticker", "ohlcv"],
        "okx": ["trades", "book", "ticker", "ohlcv"],
        "kraken": [],
    }
