"""The command line's client, against another library's server: resume, reconnect, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.net import client
from gateway.net.client import ClientError, Lost, Message, StreamClient


@contextlib.asynccontextmanager
async def gateway(handler: Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that reads the subscribe request and hands it on; gives its address."""

    async def accept(connection: ServerConnection) -> None:
        await handler(connection, json.loads(await connection.recv()))

    async with serve(accept, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def at_once(_low: float, _high: float) -> float:
    return 0.0


def watching(url: str, **options: Any) -> StreamClient:
    return StreamClient(url, "quotes", "BTC/USDT", options, jitter=at_once)


async def take(stream: StreamClient, count: int) -> list[Message | Lost]:
    taken: list[Message | Lost] = []
    async with contextlib.aclosing(stream.events()) as events:
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


def update(sequence: int, epoch: str = "e1") -> str:
    return json.dumps({"type": "quote", "epoch": epoch, "sequence": sequence, "data": {"symbol": "BTC/USDT"}})


async def test_subscribes_with_its_options_and_yields_every_message() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(connection: ServerConnection, request: dict[str, Any]) -> None:
        asked.append(request)
        for sequence in range(3):
            await connection.send(update(sequence))
        await connection.wait_closed()

    async with gateway(handler) as url:
        messages = await take(watching(url, throttle_ms=100), 3)
    assert asked == [{"action": "subscribe", "channel": "quotes", "symbols": ["BTC/USDT"], "throttle_ms": 100}]
    assert [event.body["sequence"] for event in messages if isinstance(event, Message)] == [0, 1, 2]


async def test_joins_fragments() -> None:
    async def handler(connection: ServerConnection, _request: dict[str, Any]) -> None:
        text = update(7)
        await connection.send([text[:10], text[10:20], text[20:]])
        await connection.wait_closed()

    async with gateway(handler) as url:
        (message,) = await take(watching(url), 1)
    assert isinstance(message, Message)
    assert message.raw == update(7).encode()


async def test_comes_back_and_resumes_where_it_stopped() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(connection: ServerConnection, request: dict[str, Any]) -> None:
        asked.append(request)
        await connection.send(update(len(asked) * 10))
        if len(asked) == 1:
            await connection.send(json.dumps({"type": "gap", "epoch": "e1", "from": 11, "to": 14}))
            await connection.close(4008, "slow consumer")
        await connection.wait_closed()

    async with gateway(handler) as url:
        events = await take(watching(url), 4)
    assert events[2] == Lost("closed with 4008 (slow consumer)", 0.0)
    assert asked[1]["resume"] == {"BTC/USDT": {"epoch": "e1", "sequence": 14}}


async def test_a_new_epoch_in_the_acknowledgement_is_where_it_resumes() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(connection: ServerConnection, request: dict[str, Any]) -> None:
        asked.append(request)
        streams = {"BTC/USDT": {"epoch": "e2", "sequence": 5, "recovered": False}}
        await connection.send(json.dumps({"type": "subscribed", "data": {"streams": streams}}))
        await connection.close()

    async with gateway(handler) as url:
        await take(watching(url), 4)
    assert asked[1]["resume"] == {"BTC/USDT": {"epoch": "e2", "sequence": 5}}


async def test_after_a_lost_continuity_it_resumes_at_the_start_of_the_new_epoch() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(connection: ServerConnection, request: dict[str, Any]) -> None:
        asked.append(request)
        await connection.send(update(7))
        lost = {"type": "gap", "epoch": "e1", "from": 8, "to": 8, "reason": "upstream", "new_epoch": "e2"}
        await connection.send(json.dumps(lost))
        await connection.close()

    async with gateway(handler) as url:
        await take(watching(url), 4)
    assert asked[1]["resume"] == {"BTC/USDT": {"epoch": "e2", "sequence": 0}}


async def test_a_shutdown_says_when_to_come_back() -> None:
    async def handler(connection: ServerConnection, _request: dict[str, Any]) -> None:
        await connection.send(json.dumps({"type": "server_shutdown", "reconnect_after_ms": 250}))
        await connection.close(1001)

    async with gateway(handler) as url:
        _, lost = await take(watching(url), 2)
    assert lost == Lost("closed with 1001", 0.25)


async def test_waits_longer_after_each_failure_up_to_a_ceiling() -> None:
    ceilings: list[float] = []

    def note(_low: float, high: float) -> float:
        ceilings.append(high)
        return 0.0

    async def handler(connection: ServerConnection, _request: dict[str, Any]) -> None:
        await connection.close()

    async with gateway(handler) as url:
        await take(StreamClient(url, "quotes", "BTC/USDT", jitter=note), 10)
    assert ceilings[:3] == [0.5, 1.0, 2.0]
    assert ceilings[-1] == client.RETRY_MAX_S


@pytest.mark.parametrize("code", [1008, 4403, 4013])
async def test_does_not_come_back_where_it_is_not_wanted(code: int) -> None:
    async def handler(connection: ServerConnection, _request: dict[str, Any]) -> None:
        await connection.close(code)

    async with gateway(handler) as url:
        with pytest.raises(ClientError, match=str(code)):
            await take(watching(url), 1)


async def test_more_than_may_wait_arrives_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WAITING_MESSAGES_MAX", 5)

    async def handler(connection: ServerConnection, _request: dict[str, Any]) -> None:
        for sequence in range(2_000):
            await connection.send(update(sequence))
        await connection.wait_closed()

    async with gateway(handler) as url:
        events = await take(watching(url), 2_000)
    assert [event.body["sequence"] for event in events if isinstance(event, Message)] == list(range(2_000))


async def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClientError, match=r"nothing listens at .*tickwire demo"):
            await take(watching(url), 1)


async def test_a_server_that_is_no_gateway_is_said() -> None:
    async def never(_connection: ServerConnection) -> None: ...

    async with serve(never, "127.0.0.1", 0, process_request=lambda c, _r: c.respond(404, "no")) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ClientError, match="answered 404 Not Found"):
            await take(watching(url), 1)


async def test_a_gateway_without_tls_is_said() -> None:
    """Whatever it does with what it cannot read: the one here hangs up, the other answers in plain text."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for serve_plainly in (hang_up, answer):
        server = await asyncio.start_server(serve_plainly, "127.0.0.1", 0)
        async with server:
            url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(ClientError, match=r"cannot be reached: .*\w.*; the gateway there may have no TLS"):
                await take(watching(url), 1)


async def test_a_host_no_network_knows_is_said() -> None:
    with pytest.raises(ClientError, match=r"no host 'nohost\.invalid'"):
        await take(watching("ws://nohost.invalid:1"), 1)
    with pytest.raises(ClientError, match=r"'a\.\.b' is not a host"):
        await take(watching("ws://a..b:1"), 1)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1:1", "127.0.0.1:8765", "ws://", "http://"),
        *("ws://127.0.0.1:99999", "ws://127.0.0.1:0", "ws://127.0.0.1:abc", "ws://[abc", "ws://[::1"),
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ClientError, match="ws://HOST:PORT"):
        watching(url)


def test_the_path_is_added_unless_given() -> None:
    assert watching("ws://h:1").url == "ws://h:1/v1/stream"
    assert watching("ws://h:1/other").url == "ws://h:1/other"
    assert watching("ws://[::1]:1/?a=b").url == "ws://[::1]:1/v1/stream?a=b"


def test_the_address_of_http_is_taken_too() -> None:
    assert watching("http://h:1").url == "ws://h:1/v1/stream"
    assert watching("https://h/other").url == "wss://h/other"
