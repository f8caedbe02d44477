"""What a client holds while it watches: one connection, streams counted by who needs them, REST where there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
from ccxt.base.errors import AuthenticationError, BadRequest, NetworkError, UnsubscribeError

from driver.cursors import Newest
from driver.feeds import QuoteFeed
from driver.hub import Hub, Settings, Want, Watch
from driver.stream import Key, Stream
from tests.driver.pro_client import WAIT_S
from tests.driver.stream_server import StreamServer, stream_server, until_idle
from tests.waiting import until


class Host:
    """What an exchange is to a hub."""

    verbose = False

    def __init__(self, server: StreamServer, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.hub = Hub(self)
        self.traced: list[tuple[str, Any]] = []
        self.polls = 0
        self.poll_error: Exception | None = None
        self.tickers: dict[str, Any] = {}
        self.given = Settings(timeout_ms=300, silence_ms=60_000, poll_after_ms=50, poll_ms=10, redeliver=False)
        self._http = http

    async def dial(self) -> Any:
        return await self._http.ws_connect(f"{self.server.url}/v1/stream")

    def trace(self, way: str, text: str | bytes) -> None:
        self.traced.append((way, text))

    def credential(self) -> str:
        return "key"

    def settings(self) -> Settings:
        return self.given

    async def poll(self, streams: Sequence[Stream]) -> None:
        self.polls += 1
        if self.poll_error is not None:
            raise self.poll_error

    def watch(self, *symbols: str) -> Watch:
        def want(symbol: str) -> Want:
            hooks = (lambda gap: None, lambda code, message: BadRequest(code))
            return Want(Key("quotes", f"sim:{symbol}"), lambda: QuoteFeed(symbol, self.tickers, {}, *hooks))

        return self.hub.watch(symbols, lambda: Newest(self.hub.wakes), lambda: [want(symbol) for symbol in symbols])


def quote(symbol: str, sequence: int) -> dict[str, Any]:
    data = {"symbol": symbol, **dict.fromkeys(("bid", "ask", "last", "bid_size", "ask_size", "volume"), sequence)}
    return {
        "type": "quote", "channel": "quotes", "kind": "update", "epoch": f"quotes-sim:{symbol}", "sequence": sequence,
        "timestamp": "t", "t_ex": 1, "t_in": 2, "t_out": 3, "data": data,
    }  # fmt: skip


@pytest.fixture(name="host")
async def _host() -> AsyncIterator[Host]:
    async with stream_server() as server, aiohttp.ClientSession() as http:
        host = Host(server, http)
        too_long = AssertionError(f"nothing came within {WAIT_S} s")
        timer = asyncio.get_running_loop().call_later(WAIT_S, lambda: host.hub.fail(too_long))
        yield host
        timer.cancel()
        await host.hub.close()


async def test_streams_are_shared_and_left_with_the_last_who_needs_them(host: Host) -> None:
    host.watch("A", "B")
    host.watch("B")
    (request,) = await host.server.until_asked("subscribe")
    assert request["symbols"] == ["sim:A", "sim:B"]
    assert [stream.key.name for stream in host.hub.unwatch(("A", "B"))] == ["sim:A"]
    (request,) = await host.server.until_asked("unsubscribe")
    assert request["symbols"] == ["sim:A"]
    assert host.hub.unwatch(("A", "B")) == []
    assert host.server.dials == 1


async def test_who_waits_is_told_of_the_end(host: Host) -> None:
    watch = host.watch("A")
    waiting = asyncio.create_task(watch.cursor.next())
    await until_idle(waiting)
    host.hub.unwatch(("A",))
    with pytest.raises(UnsubscribeError):
        await waiting


async def test_updates_go_to_who_watches(host: Host) -> None:
    both, one = host.watch("A", "B"), host.watch("B")
    await host.server.until_asked("subscribe")
    for message in (quote("A", 1), quote("B", 1), quote("B", 2)):
        await host.server.say(message)
    await until(lambda: host.tickers.get("B", {}).get("bid") == 2)
    assert list(await both.cursor.next()) == ["A", "B"]
    assert (await one.cursor.next())["B"]["bid"] == 2


async def test_after_a_drop_everything_is_resumed_in_one_request(host: Host) -> None:
    host.watch("A", "B")
    await host.server.until_asked("subscribe")
    await host.server.say(quote("A", 1))
    await until(lambda: "A" in host.tickers)
    await host.server.drop()
    assert host.tickers["A"]["info"]["stale"] is True
    _, again = await host.server.until_asked("subscribe", 2)
    assert again["resume"]["sim:A"] == {"epoch": "quotes-sim:A", "sequence": 1}
    await until(lambda: host.tickers["A"]["info"]["stale"] is False)


async def test_rest_is_asked_while_there_is_no_socket_and_no_longer(host: Host) -> None:
    host.server.status = 404
    waiting = asyncio.create_task(host.watch("A").cursor.next())
    await until(lambda: host.polls >= 3)
    assert host.hub.is_refused
    assert host.hub.is_polling
    await until_idle(waiting)
    host.server.status = 101
    assert host.hub._link is not None
    await host.hub._link.close()  # it would try again within seconds
    host.hub.start()
    await host.server.until_asked("subscribe")
    assert not host.hub.is_polling
    polls = host.polls
    await host.server.say(quote("A", 1))
    await waiting
    assert host.polls == polls


async def test_a_gateway_that_is_away_for_long_is_a_network_error(host: Host) -> None:
    host.server.status = 503
    host.poll_error = NetworkError("no REST either")
    with pytest.raises(NetworkError, match="no connection"):
        await host.watch("A").cursor.next()
    with pytest.raises(NetworkError, match="no connection"):
        await host.hub.commands.execute({})
    waiting = asyncio.create_task(host.watch("A").cursor.next())
    host.server.status = 101
    try:
        await host.server.until_asked("subscribe")
        await host.server.say(quote("A", 1))
        await waiting
    except NetworkError:  # told in the moment before it was back
        assert await host.watch("A").cursor.next()


async def test_a_wrong_key_is_told_to_everybody_and_tried_again_when_asked_again(host: Host) -> None:
    host.server.status = 401
    watch = host.watch("A")
    command = asyncio.create_task(host.hub.commands.execute({}))
    with pytest.raises(AuthenticationError):
        await watch.cursor.next()
    with pytest.raises(AuthenticationError):
        await command
    assert host.server.dials == 1
    host.server.status = 101
    host.watch("A")
    await host.server.until_asked("subscribe")


async def test_commands_are_as_many_as_the_gateway_says(host: Host) -> None:
    host.server.answers["command"] = lambda asked: None
    tasks = [asyncio.create_task(host.hub.commands.execute({"request_id": str(number)})) for number in range(3)]
    host.hub.start()
    await until(lambda: host.hub.commands.running_max == 2)
    await host.server.until_asked("command", 2)
    await host.server.say({"type": "command_result", "id": "c1", "data": {}})
    await host.server.until_asked("command", 3)
    for task in tasks:
        task.cancel()


async def test_the_gateway_may_say_when_to_come_back_and_ask_for_the_key(host: Host) -> None:
    host.verbose = True
    host.watch("A")
    await host.server.until_asked("subscribe")
    await host.server.say({"type": "reauthenticate", "deadline_ms": 60_000})
    (request,) = await host.server.until_asked("auth")
    assert request["token"] == "key"
    await host.server.say({"type": "server_shutdown", "deadline_ms": 1, "reconnect_after_ms": 250})
    await until(lambda: host.hub._link is not None and host.hub._link.wait_ms == 250)
    ways = [(way, json.loads(text)["type" if way == "in" else "action"]) for way, text in host.traced]
    assert ("in", "server_shutdown") in ways
    assert ("out", "subscribe") in ways


async def test_closing_cancels_who_waits_and_watching_again_works(host: Host) -> None:
    waiting = asyncio.create_task(host.watch("A").cursor.next())
    await host.server.until_asked("subscribe")
    await host.hub.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not host.server.sockets)
    watch = host.watch("A")
    await host.server.until_asked("subscribe", 2)
    await host.server.say(quote("A", 1))
    assert (await watch.cursor.next())["A"]["bid"] == 1
