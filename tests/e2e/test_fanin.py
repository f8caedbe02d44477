"""Point 2 of what the main job must show: however many subscribe to a key, it is read once and encoded once."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator

import pytest

from tests.e2e.client import client_of
from tests.e2e.processes import config_of, exchange_of, gateway_of
from tests.e2e.raw import RawClient, payload

SUBSCRIBERS = 1_000
BURST = 200
LINGER_S = 0.3
BTC, TRADES, DEPTH = "BTC/USDT", "btcusdt@trade", "btcusdt@depth@100ms"


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Both ends of every socket are in this process."""
    needed = 2 * SUBSCRIBERS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} file descriptors, and only {hard} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
async def test_a_thousand_subscribers_share_one_upstream_subscription() -> None:
    async with (
        exchange_of("--synthetic", "--symbols", "2", "--rate", "0") as exchange,
        gateway_of(config_of(exchange, limits={"linger_s": LINGER_S})) as gateway,
    ):
        clients = await asyncio.gather(*(RawClient.connect(gateway.url) for _ in range(SUBSCRIBERS)))
        for client in clients:
            client.send(action="subscribe", channel="trades", symbols=[BTC], id="same")
        await asyncio.gather(*(client.until(2) for client in clients))
        acks = {client.frames[1] for client in clients}
        assert len(acks) == 1, "one answer for the same question at the same moment"
        assert payload(acks.pop())["type"] == "subscribed"

        await exchange.until_subscribed(TRADES)
        await exchange.post("burst", stream=TRADES, count=BURST)
        await asyncio.gather(*(client.until(2 + BURST) for client in clients))
        frames = clients[0].frames[2:]
        assert [payload(frame)["sequence"] for frame in frames] == list(range(1, BURST + 1))
        assert all(client.frames[2:] == frames for client in clients), "not the same bytes for all"

        # Nobody asked twice, not even for a moment.
        streams = await exchange.streams()
        assert {name: (each["subscribes"], each["subscribers"]) for name, each in streams.items()} == {TRADES: (1, 1)}
        assert gateway.counters()["gaps"] == 0

        for client in clients[::2]:
            client.send(action="unsubscribe", channel="trades", id="bye")
        await asyncio.gather(*(client.until(3 + BURST) for client in clients[::2]))
        assert await exchange.subscribers() == {TRADES: 1}, "half of them still listen"
        for client in clients:
            client.cut()
        await exchange.until(lambda status: status["subscriptions"] == 0 and status["connections"] == 0)
        assert {name: each["subscribes"] for name, each in (await exchange.streams()).items()} == {TRADES: 1}
        assert gateway.app.hub.subscribers() == {}
        assert gateway.app.sources["sim"].status() == []


async def test_every_way_to_ask_shares_the_watch_of_its_key() -> None:
    async with (
        exchange_of("--synthetic", "--symbols", "2", "--rate", "50") as exchange,
        gateway_of(config_of(exchange, limits={"linger_s": LINGER_S})) as gateway,
        client_of(gateway.url) as first,
        client_of(gateway.url, compression="deflate") as second,
    ):
        fast = await first.join("book", BTC)
        slow = await second.join("book", f"sim:{BTC}", throttle_ms=100, compression="gzip")
        trades = await first.join("trades", BTC)
        bars = await second.join("bars", BTC, timeframe="1s")
        for client, stream in ((first, fast), (second, slow), (first, trades), (second, bars)):
            await client.reach(stream, 4)
        streams = await exchange.streams()
        assert {name: each["subscribes"] for name, each in streams.items()} == {TRADES: 1, DEPTH: 1}
        assert len(gateway.app.sources["sim"].status()) == 3  # bars are made of trades: three keys, two streams


async def test_a_subscriber_who_comes_back_within_the_linger_finds_the_same_watch() -> None:
    async with (
        exchange_of("--synthetic", "--symbols", "2", "--rate", "50") as exchange,
        gateway_of(config_of(exchange, limits={"linger_s": 30.0})) as gateway,
    ):
        async with client_of(gateway.url) as client:
            stream = await client.join("trades", BTC)
            await client.until(lambda: stream.count > 2)
        async with client_of(gateway.url) as client:
            again = await client.join("trades", BTC)
            assert again.epoch == stream.epoch
            await client.until(lambda: again.count > 2)
        assert (await exchange.streams())[TRADES]["subscribes"] == 1
