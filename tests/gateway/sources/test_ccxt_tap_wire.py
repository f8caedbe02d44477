"""Order, and what ends a connection, with bytes that come when the test says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import WebSocketError, WSMessage, WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue
from ccxt.async_support.base.ws.client import Client

from gateway.sources.ccxt_tap import Tap
from tests.gateway.sources.tools import quiet


class Wire:
    """A ccxt client with a tap whose connection is a queue that the test fills."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.settled: list[int] = []  # how many were handled each time that all which came together was
        self.receiving = 0  # how often ccxt began to wait
        self.closed: list[Any] = []  # codes and errors
        loop = asyncio.get_running_loop()
        protocol = SimpleNamespace(_reading_paused=False, _payload_parser=None, pause_reading=None, resume_reading=None)
        queue: Any = WebSocketDataQueue(protocol, 1 << 16, loop=loop)  # type: ignore[arg-type]  # what it uses of one
        protocol._payload = queue
        protocol._payload_parser = SimpleNamespace(feed_data=self._parse, feed_eof=queue.feed_eof)
        self._queue, self._protocol = queue, protocol
        self.client: Any = Client("ws://exchange/stream", self._message, self._ended, self._ended, print)
        self.client.asyncio_loop = loop
        self.client.connection = SimpleNamespace(
            closed=False, receive=self._receive, _conn=SimpleNamespace(protocol=protocol)
        )
        self.tap = Tap(self.client, lambda: self.settled.append(len(self.handled)))
        self.tap.connected()
        self.client.receive_loop()

    def _receive(self) -> Any:
        self.receiving += 1
        return self._queue.read()

    def _message(self, _client: Any, message: Any) -> None:
        self.handled.append(int(message))

    def _ended(self, _client: Any, why: Any) -> None:
        self.closed.append(why)

    def _parse(self, data: bytes) -> tuple[bool, bytes]:
        for text in data.decode().split():
            if text == "close":
                self._queue.feed_data(WSMessage(WSMsgType.CLOSE, 1012, None), 0)
            elif text == "broken":
                self._queue.set_exception(WebSocketError(1002, "a frame that is none"))
                return True, b""
            else:
                self._queue.feed_data(WSMessage(WSMsgType.TEXT, text, None), len(text))
        return False, b""

    def arrive(self, text: str) -> None:
        """Bytes of whole frames, one a word; each is a JSON number."""
        self._protocol._payload_parser.feed_data(text.encode())

    def end(self) -> None:
        """The peer hangs up without a word."""
        self._protocol._payload_parser.feed_eof()


@pytest.mark.parametrize("turns", range(6))
async def test_frames_are_handled_in_order_whenever_their_bytes_come(turns: int) -> None:
    """ccxt's receive task and the tap both take from the queue: no frame may wait in one while the other goes on."""
    wire = Wire()
    expected = []
    for number in range(0, 60, 2):
        # Twice within a turn, then again after none to five turns of ccxt's loop.
        wire.arrive(f"{number}")
        wire.arrive(f"{number + 1}")
        assert wire.settled[-1] == len(wire.handled), "what came together may leave now"
        expected += [number, number + 1]
        for _ in range(turns if number % 3 else 1):
            await asyncio.sleep(0)
        assert wire.handled[: len(expected)] == expected[: len(wire.handled)]
    await quiet(lambda: len(wire.handled) == len(expected))
    assert wire.handled == expected
    wire.client.connection.closed = True
    wire.arrive("60")  # ccxt's receive task ends with it
    await quiet(lambda: bool(wire.closed))


async def test_ccxt_waits_for_nothing_while_data_comes() -> None:
    """A task for each frame, woken to find nothing, would cost as much as the frame."""
    wire = Wire()
    for number in range(10):
        wire.arrive(f"{number} {number}")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert wire.receiving == 0


async def test_a_close_is_received_behind_what_came_before_it() -> None:
    wire = Wire()
    await asyncio.sleep(0)
    wire.arrive("1 close")
    assert wire.handled == [1]
    await quiet(lambda: wire.closed == [1012])


@pytest.mark.parametrize("how", ["broken", "end"])
async def test_what_ends_a_connection_without_a_close_is_received(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    failures: list[str] = []
    monkeypatch.setattr(wire.client, "reject", lambda error, *_: failures.append(type(error).__name__))
    await asyncio.sleep(0)
    if how == "broken":
        wire.arrive("1 broken")
    else:
        wire.arrive("1")
        wire.end()
    await quiet(lambda: failures == ["NetworkError"])
    assert wire.handled == [1]
