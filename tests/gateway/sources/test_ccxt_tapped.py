"""ccxt's classes with taps: whatever they started ends, however many come and go, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
import pytest
from ccxt.base.errors import NetworkError

from gateway.sources.ccxt_tapped import tapped
from gateway.sources.replay import Market, offline
from tests.gateway.sources.tools import BTC, Listener, Rig, subscribe, subscriptions
from tests.waiting import until

TRADE = "btcusdt@trade"


async def test_a_refused_snapshot_is_asked_for_once() -> None:
    """bitstamp is one of those that use ccxt's `load_order_book`."""
    exchange = offline("bitstamp", [Market("btcusd", "BTC/USD")])
    asked: list[str] = []

    async def refuse(url: str, *_: Any, **__: Any) -> None:
        asked.append(url)
        raise NetworkError("no")

    exchange.fetch = refuse
    client, listener = exchange.client("ws://x"), Listener()
    exchange.orderbooks["BTC/USD"] = exchange.order_book()
    subscribe(client, listener, "orderbook:BTC/USD")
    await exchange.load_order_book(client, "orderbook:BTC/USD", "BTC/USD")
    assert 1 <= len(asked) <= 4, "ccxt's own retries of one request"
    assert listener.errors
    client.tap.leave(listener)
    await exchange.close()


# A storm: many come and go faster than the exchange may be asked


async def test_nothing_is_left_of_those_who_left_before_the_exchange_could_be_asked(rig: Rig) -> None:
    """Each round asks for 60 books and as many of everything else, and takes all of it back."""
    source, server, exchange = rig.source, rig.server, rig.source.exchange
    wanted = await rig.live("trades", poke=TRADE)
    symbols = sorted(exchange.markets)
    for pause_s in (0, 0.05, 0.5, 0.2):
        keys = [
            await source.resolve(channel, symbol, variant)
            for symbol in symbols
            for channel, variant in (("book", "10"), ("quotes", ""), ("bars", "1m"), ("bars", "1h"))
        ]
        for key in keys:
            source.acquire(key)
        await asyncio.sleep(pause_s)
        for key in keys:
            source.release(key)
    book = await source.resolve("book", BTC, "10")
    source.acquire(book)
    await rig.sink.until(lambda: rig.sink.published(book), 5)
    await until(lambda: subscriptions(server) == {TRADE: 1, "btcusdt@depth@100ms": 1})
    await until(lambda: len(server.streams.connections) <= 2)
    assert {tap.client.url for tap in exchange.taps() if tap.in_use} == set(exchange.clients)
    await until(lambda: not exchange.spawned)
    assert not exchange.snapshots
    assert len(exchange.throttler.queue) == 0
    assert rig.sink.of(wanted, "lost") == []


async def test_no_snapshot_is_under_way_after_the_end(rig: Rig) -> None:
    """Whatever ends a loop with such a task cancels it, and ccxt 4.5.64 would say so with a traceback."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await rig.source.resolve("book", BTC, "10")
    for symbol in rig.source.exchange.markets:
        rig.source.acquire(await rig.source.resolve("book", symbol, "10"))
    exchange = rig.source.exchange
    await until(lambda: len(exchange.snapshots) > 5)
    tasks = list(exchange.snapshots)
    await rig.source.close()
    assert all(task.done() for task in tasks)
    await until(lambda: not rig.server.streams.connections)
    assert complaints == []


async def test_a_client_dropped_while_it_dials_does_not_connect(rig: Rig) -> None:
    exchange = rig.source.exchange
    await rig.source.resolve("trades", BTC, "")
    opening = asyncio.create_task(exchange.watch_trades(BTC))
    await until(lambda: exchange.clients)
    client = next(iter(exchange.clients.values()))
    exchange.drop(client)
    await asyncio.wait([opening])
    await until(lambda: not exchange.closing)
    assert client.closed()
    assert not rig.server.streams.connections
    assert not exchange.clients


async def test_a_task_of_ccxt_s_own_that_fails_is_logged_and_heard_by_who_awaits() -> None:
    exchange = offline("binance", [Market("BTCUSDT", "BTC/USDT")])

    async def answer(value: int) -> int:
        if value == 0:
            raise NetworkError("no")
        return value

    assert await exchange.spawn(answer, 2) == 2
    with pytest.raises(NetworkError):
        await exchange.spawn(answer, 0)
    assert not exchange.spawned
    await exchange.close()


def test_every_class_can_be_tapped() -> None:
    for name in ccxt.pro.exchanges[:20]:
        klass = tapped(getattr(ccxt.pro, name))
        assert klass({}).id == getattr(ccxt.pro, name)({}).id
