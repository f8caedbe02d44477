"""The hook: every result to whoever subscribed for it, at once, and no way to lose a connection silently."""

from __future__ import annotations

import asyncio
import functools
from time import time_ns
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from ccxt.base.errors import NetworkError, NotSupported

from gateway.sources.ccxt_tap import SUBSCRIBING, Tap
from gateway.sources.replay import Market, offline
from tests.gateway.sources.tools import Listener, Rig, quiet, subscribe, subscriptions
from tests.waiting import until

TRADE = "btcusdt@trade"


@pytest.fixture
async def client() -> Any:
    exchange = offline("binance", [Market("BTCUSDT", "BTC/USDT")])
    yield exchange.client("ws://x/stream")
    await exchange.close()


# Routing


async def test_results_go_to_whoever_subscribed_whether_or_not_somebody_awaits(client: Any) -> None:
    one, other = Listener(), Listener()
    waiting = subscribe(client, one, "trade::a")
    subscribe(client, other, "trade::b")
    for number in range(3):
        client.resolve(number, "trade::a")
    assert [result for result, _ in one.results] == [0, 1, 2]
    assert waiting.result() == 0, "the call that subscribed returns"
    assert other.results == []
    assert "trade::a" in client.futures, "ccxt still finds somebody waiting"
    client.resolve(9, "trade::unknown")


async def test_a_result_that_is_not_for_the_receiver_is_ccxt_s(client: Any) -> None:
    listener = Listener(takes=False)
    waiting = subscribe(client, listener, "authenticated")
    client.resolve(True, "authenticated")
    assert waiting.result() is True
    assert "authenticated" not in client.futures


async def test_a_rejection_is_heard_once_and_leaves_nothing_behind(client: Any) -> None:
    started, starting = Listener(), Listener()
    subscribe(client, started, "a")
    client.resolve(1, "a")
    waiting = subscribe(client, starting, "b")
    client.reject(NetworkError("gone"))
    assert [str(error) for error in (*started.errors, *starting.errors)] == ["gone", "gone"]
    assert isinstance(waiting.exception(), NetworkError)
    assert client.futures == {}
    assert client.rejections == {}


async def test_a_rejection_by_something_else_than_an_exception(client: Any) -> None:
    listener = Listener()
    subscribe(client, listener, "a")
    client.resolve(1, "a")
    client.reject({"code": 1}, "a")
    assert "code" in str(listener.errors[0])


async def test_leaving(client: Any) -> None:
    one, other = Listener(), Listener()
    subscribe(client, one, "a")
    tap: Tap = client.tap
    assert tap.serves(one)
    assert not tap.serves_others(one)
    subscribe(client, other, "b")
    assert tap.serves_others(one)
    client.resolve(1, "a")
    tap.leave(one)
    client.resolve(2, "a")
    assert len(one.results) == 1
    assert set(client.futures) == {"b"}


async def test_what_was_subscribed_can_be_forgotten(client: Any) -> None:
    listener = Listener()
    client.subscriptions.update({"a": True, "b": True})
    token = SUBSCRIBING.set(listener)
    client.tap.asked(["a", None])
    SUBSCRIBING.reset(token)
    client.tap.asked(["b"])
    client.tap.forget_subscription(listener)
    assert client.subscriptions == {"b": True}


# Liveness


async def test_an_idle_connection_is_asked_and_then_given_up(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pings, listener = [], Listener()

    async def ping() -> None:
        pings.append(1)

    monkeypatch.setattr(client.connection, "ping", ping)
    subscribe(client, listener, "a")
    client.resolve(1, "a")
    tap: Tap = client.tap
    second = 1_000_000_000
    for after_s, asked, lost in ((5, 0, 0), (11, 1, 0), (20, 1, 0), (32, 1, 1)):
        await tap.check(tap.seen_ns + after_s * second, 30_000)
        assert (len(pings), len(listener.errors)) == (asked, lost), after_s


async def test_any_message_is_a_sign_of_life(client: Any) -> None:
    tap: Tap = client.tap
    tap.seen_ns = 0
    client.handle_message(WSMessage(WSMsgType.PONG, b"", None))
    assert time_ns() - tap.seen_ns < 1e9


# On a real connection


async def test_burst_after_burst_does_not_stop_the_connection(rig: Rig) -> None:
    """ccxt 4.5.64 with aiohttp 3.14.4 and later would stand still for good after the fifth."""
    key = await rig.live("trades", poke=TRADE)

    def arrived(count: int) -> bool:
        return len(rig.sink.of(key)) == count

    for count in range(1, 11):
        rig.server.feed.burst(TRADE, 600)
        await rig.sink.until(functools.partial(arrived, 1 + 600 * count), 10)
    assert rig.sink.of(key, "lost") == []


async def test_frames_read_together_have_the_same_time(rig: Rig) -> None:
    key = await rig.live("trades", poke=TRADE)
    before_ns = time_ns()
    rig.server.feed.burst(TRADE, 300)
    await rig.sink.until(lambda: len(rig.sink.of(key)) == 301)
    times = [call.t_in for call in rig.sink.of(key)[1:]]
    assert before_ns < times[0] <= times[-1] < time_ns()
    assert times == sorted(times)
    assert len(set(times)) < 50
    assert rig.sink.settled == len(rig.sink.calls), "what came together may leave together"


async def test_a_handler_that_fails_is_an_error_of_the_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await rig.live("trades", poke=TRADE)

    def fails(*_: Any) -> None:
        monkeypatch.undo()
        raise KeyError("unheard of")

    monkeypatch.setattr(rig.source.exchange, "handle_trade", fails)
    rig.server.feed.burst(TRADE, 2)
    await rig.sink.until(lambda: rig.sink.of(key, "lost"))
    await until(lambda: rig.server.streams.topics[TRADE].subscribe_count == 2)
    await until(lambda: subscriptions(rig.server) == {TRADE: 1})
    rig.server.feed.burst(TRADE, 1)
    await rig.sink.until(lambda: rig.sink.calls[-1].name == "publish")


async def test_a_kind_of_message_that_ccxt_does_not_know_is_no_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await rig.live("trades", poke=TRADE)

    def unknown(*_: Any) -> None:
        monkeypatch.undo()
        raise NotSupported("what is this")

    monkeypatch.setattr(rig.source.exchange, "handle_trade", unknown)
    rig.server.feed.burst(TRADE, 3)
    last = rig.server.feed.markets["BTCUSDT"].trades[-1].id
    await rig.sink.until(lambda: rig.sink.calls[-1].data["trade_id"] == str(last))
    assert [call.name for call in rig.sink.of(key)] == ["publish", "lost", "publish", "publish"], "its trade is missed"
    assert subscriptions(rig.server) == {TRADE: 1}


async def test_a_message_is_not_sent_for_who_has_left(client: Any) -> None:
    turns: list[asyncio.Future[None]] = []

    async def throttle(_cost: Any) -> None:
        turns.append(asyncio.get_running_loop().create_future())
        await turns[-1]

    tap: Tap = client.tap
    tap._throttle = throttle
    listeners = {name: Listener() for name in ("first", "left", "stays")}

    async def ask(name: str) -> None:
        await client.throttle(1)
        await client.send(name)

    tasks = []
    for name, listener in listeners.items():
        subscribe(client, listener, name)
        token = SUBSCRIBING.set(listener)
        tasks.append(asyncio.create_task(ask(name)))
        SUBSCRIBING.reset(token)
    await quiet(lambda: tap.never_asked(listeners["stays"]))
    assert not tap.never_asked(listeners["first"]), "its turn has come"
    assert tap.sent == set(), "but ccxt keeps it waiting"
    tap.leave(listeners["left"])
    turns[0].set_result(None)
    await quiet(lambda: len(turns) == 2)
    turns[1].set_result(None)
    await asyncio.wait(tasks)
    assert client.connection.sent == ["first", "stays"]
    assert len(turns) == 2, "who left takes nobody's turn"
    assert tap.sent == {listeners["first"], listeners["stays"]}
    tap.leave(listeners["first"])
    assert tap.sent == {listeners["stays"]}, "a subscription that follows is a new one"
