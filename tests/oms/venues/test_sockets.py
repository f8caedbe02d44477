"""The WebSocket client's own promises; what it does on a real connection is in `test_ccxt`."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from ccxt.async_support.base.ws.client import Client
from ccxt.base.errors import NetworkError, NotSupported

from oms.venues.sockets import SteadyClient


class Peer:
    """Stands in for aiohttp's connection."""

    closed = False

    def __init__(self, *, fails: bool = False) -> None:
        self.pings = 0
        self.fails = fails

    async def ping(self) -> None:
        self.pings += 1
        if self.fails:
            raise ConnectionResetError

    async def close(self) -> None:
        self.closed = True


def adopted(on_message: Any = lambda _client, _message: None) -> tuple[Any, list[Exception]]:
    errors: list[Exception] = []

    def nothing(*_: object) -> None:
        return None

    client = Client("ws://x", on_message, lambda _client, error: errors.append(error), nothing, nothing)
    client.asyncio_loop = asyncio.get_running_loop()
    SteadyClient.adopt(client, ping_ms=10)
    return client, errors


def text(data: str = "{}") -> WSMessage:
    return WSMessage(WSMsgType.TEXT, data, None)


async def test_messages_are_received_one_by_one() -> None:
    client, _ = adopted()
    assert isinstance(client, SteadyClient)
    client.connection = SimpleNamespace(_conn=SimpleNamespace(protocol=SimpleNamespace(_payload=None)), closed=False)
    assert client.buffer is None


class Sender(Peer):
    """A peer that sends these, and is gone."""

    def __init__(self, sends: list[WSMessage | Exception]) -> None:
        super().__init__()
        self.sends = sends

    async def receive(self) -> WSMessage:
        said = self.sends.pop(0)
        self.closed = not self.sends
        if isinstance(said, Exception):
            raise said
        return said


async def test_every_message_is_heard_in_order_and_then_that_it_is_over() -> None:
    heard: list[Any] = []
    client, _ = adopted(lambda _client, message: heard.append(message))
    client.connection = Sender([text('{"n":1}'), text('{"n":2}'), text('{"n":3}')])
    waiting = client.future("more")
    client.receive_loop()
    with pytest.raises(NetworkError, match="1006"):
        await waiting
    assert heard == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_others_have_their_turn_between_messages() -> None:
    turns: list[str] = []
    client, _ = adopted(lambda _client, _message: turns.append("message"))
    client.connection = Sender([text(), text()])
    client.receive_loop()
    for _ in range(3):
        await asyncio.sleep(0)
        turns.append("other")
    assert turns == ["message", "other", "message", "other", "other"]


async def test_what_cannot_be_received_is_an_error_of_the_connection() -> None:
    client, _ = adopted()
    client.connection = Sender([OSError("gone"), text()])
    waiting = client.future("more")
    client.receive_loop()
    with pytest.raises(NetworkError, match="gone"):
        await waiting


async def test_a_failure_in_a_message_is_one_of_the_connection() -> None:
    def fail(_client: object, _message: object) -> None:
        raise ValueError("secret text of a message")

    client, errors = adopted(fail)
    client.handle_message(text())
    assert [str(error) for error in errors] == ["message not understood: ValueError"]
    assert isinstance(errors[0], NetworkError)


async def test_a_message_that_ccxt_does_not_support_is_passed_over() -> None:
    def fail(_client: object, _message: object) -> None:
        raise NotSupported("what is this")

    client, errors = adopted(fail)
    client.handle_message(text())
    assert errors == []


async def test_what_nobody_waits_for_fails_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = adopted()
    client.future("orders")
    client.reject(NetworkError("cut"))
    await asyncio.sleep(0)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_peer_that_says_nothing_is_given_up() -> None:
    client, errors = adopted()
    client.connection = Peer()
    await asyncio.wait_for(client.ping_loop(), 5)
    assert [str(error) for error in errors] == ["no sign of life for 10 ms"]


async def test_a_peer_that_answers_is_kept() -> None:
    client, errors = adopted()
    client.connection = peer = Peer()
    answer = peer.ping

    async def ping() -> None:
        await answer()
        client.handle_message(WSMessage(WSMsgType.PONG, b"", None))
        peer.closed = peer.pings == 3

    peer.ping = ping  # type: ignore[method-assign]  # answers at once
    await asyncio.wait_for(client.ping_loop(), 5)
    assert (peer.pings, errors) == (3, [])


async def test_a_ping_in_an_exchanges_own_words() -> None:
    client, errors = adopted()
    client.connection = peer = Peer()
    client.ping = lambda _client: {"op": "ping"}

    async def send(message: object) -> None:
        assert message == {"op": "ping"}
        peer.closed = True
        client.heard = True

    client.send = send
    await asyncio.wait_for(client.ping_loop(), 5)
    assert errors == []


async def test_a_ping_that_cannot_be_sent() -> None:
    client, errors = adopted()
    client.connection = Peer(fails=True)
    await asyncio.wait_for(client.ping_loop(), 5)
    assert [str(error) for error in errors] == ["ping failed: ConnectionResetError"]


@pytest.fixture(autouse=True)
async def _settled() -> Any:
    """ccxt closes in tasks of its own."""
    yield
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
