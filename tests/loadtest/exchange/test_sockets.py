"""The WebSocket protocol as Binance speaks it."""

import asyncio
from typing import Any

import aiohttp
import aiohttp.web
import orjson
import pytest

from loadtest.exchange import sockets as module
from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, texts


async def _ask(socket: aiohttp.ClientWebSocketResponse, method: str, params: object = None) -> dict[str, Any]:
    await socket.send_json({"method": method, "params": params if params is not None else [], "id": 7})
    answer = orjson.loads((await texts(socket, 1))[0])
    assert answer.pop("id") == 7
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("path", ["/ws", "/ws/3", "/stream/ws", "/stream/ws/0", "/stream"])
async def test_subscribe_list_unsubscribe(still: ExchangeServer, client: Client, path: str) -> None:
    socket = await client.connect(path)
    assert await _ask(socket, "LIST_SUBSCRIPTIONS") == {"result": []}
    assert await _ask(socket, "SUBSCRIBE", ["btcusdt@trade", "btcusdt@depth"]) == {"result": None}
    assert await _ask(socket, "LIST_SUBSCRIPTIONS") == {"result": ["btcusdt@trade", "btcusdt@depth"]}
    still.feed.burst("btcusdt@trade", 1)
    message = orjson.loads((await texts(socket, 1))[0])
    if path == "/stream":
        assert message["stream"] == "btcusdt@trade"
        message = message["data"]
    assert (message["e"], message["s"]) == ("trade", "BTCUSDT")
    assert await _ask(socket, "UNSUBSCRIBE", ["btcusdt@trade"]) == {"result": None}
    assert await _ask(socket, "LIST_SUBSCRIPTIONS") == {"result": ["btcusdt@depth"]}


async def test_a_peer_that_leaves_during_the_handshake_is_no_fault_of_ours(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(aiohttp.web.WebSocketResponse, "prepare", gone)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.connect("/ws")
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade/ethusdt@trade", "/stream?streams=btcusdt@trade/ethusdt@trade"])
async def test_streams_named_in_the_path(still: ExchangeServer, client: Client, path: str) -> None:
    socket = await client.connect(path)
    still.feed.burst("ethusdt@trade", 1)
    message = orjson.loads((await texts(socket, 1))[0])
    assert message.get("data", message)["s"] == "ETHUSDT"


async def test_the_combined_property(still: ExchangeServer, client: Client) -> None:
    socket = await client.connect("/ws/btcusdt@trade")
    assert await _ask(socket, "GET_PROPERTY", ["combined"]) == {"result": False}
    assert await _ask(socket, "SET_PROPERTY", ["combined", True]) == {"result": None}
    assert await _ask(socket, "GET_PROPERTY", ["combined"]) == {"result": True}
    still.feed.burst("btcusdt@trade", 1)
    assert "stream" in orjson.loads((await texts(socket, 1))[0])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ("{}", 2),
        ('{"method":5}', 2),
        ('{"method":"NOPE"}', 2),
        ('{"method":"SUBSCRIBE"}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade"}', 2),
        ('{"method":"SUBSCRIBE","params":["nothing"]}', 2),
        ('{"method":"SUBSCRIBE","params":[5]}', 2),
        ('{"method":"SET_PROPERTY","params":["other",true]}', 0),
        ('{"method":"SET_PROPERTY","params":["combined",1]}', 1),
        ('{"method":"GET_PROPERTY","params":["other"]}', 0),
    ],
)
async def test_wrong_requests_get_an_error_and_the_connection_lives(client: Client, text: str, code: int) -> None:
    socket = await client.connect("/ws")
    await socket.send_str(text)
    answer = orjson.loads((await texts(socket, 1))[0])
    assert answer["error"]["code"] == code
    assert await _ask(socket, "LIST_SUBSCRIPTIONS") == {"result": []}


async def test_a_connection_has_a_limit_of_streams(client: Client) -> None:
    socket = await client.connect("/ws")
    names = [f"x{number}@trade" for number in range(module.STREAMS_PER_CONNECTION_MAX)]
    assert await _ask(socket, "SUBSCRIBE", names) == {"result": None}
    assert await _ask(socket, "SUBSCRIBE", names[:5]) == {"result": None}
    assert "error" in await _ask(socket, "SUBSCRIBE", ["one@more"])


async def test_pings_are_answered(client: Client) -> None:
    socket = await client.listen("btcusdt@trade", autoping=False)
    await socket.ping(b"hello")
    message = await socket.receive(10)
    assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_the_server_pings_and_cuts_who_does_not_answer(
    still: ExchangeServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PONG_PATIENCE_S", 0.2)
    monkeypatch.setattr(module, "PING_PERIOD_S", 0.05)
    async with ExchangeServer(lambda _: still.feed) as server, Client(server) as other:
        deaf = await other.listen("btcusdt@trade", autoping=False)
        alive = await other.listen("btcusdt@trade")
        # A client answers pings while it receives.
        reading = asyncio.ensure_future(texts(alive, 1))
        assert (await deaf.receive(10)).type is aiohttp.WSMsgType.PING
        while not deaf.closed:
            await deaf.receive(10)
        assert deaf.close_code == 1006
        assert server.streams.counters["pongs_missed"] == 1
        await alive.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert orjson.loads((await reading)[0])["result"] == ["btcusdt@trade"]


async def test_a_closed_connection_leaves_nothing_behind(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("btcusdt@trade", "btcusdt@depth")
    status = (await client.get("/admin/status"))[1]
    assert (status["connections"], status["subscriptions"]) == (1, 2)
    await socket.close()
    status = (await client.get("/admin/status"))[1]
    assert (status["connections"], status["subscriptions"]) == (0, 0)
    assert status["streams"]["btcusdt@trade"]["subscribes"] == 1
