"""The tap alone, on ccxt's own client and aiohttp's own queue, with bytes that come when the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue
from ccxt.async_support.base.ws.client import Client

from gateway.sources.ccxt_tap import Tap


class Wire:
    """A ccxt client with a tap whose connection is a queue that the test fills."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.closed = False
        loop = asyncio.get_running_loop()
        protocol = SimpleNamespace(_reading_paused=False, _payload_parser=None, pause_reading=None, resume_reading=None)
        queue: Any = WebSocketDataQueue(protocol, 1 << 16, loop=loop)  # type: ignore[arg-type]  # what it uses of one
        protocol._payload = queue
        protocol._payload_parser = SimpleNamespace(feed_data=self._parse, feed_eof=None)
        self._queue, self._protocol = queue, protocol
        self.client: Any = Client("ws://exchange/stream", self._message, self._ended, self._ended, print)
        self.client.asyncio_loop = loop
        self.client.connection = SimpleNamespace(
            closed=False, receive=queue.read, _conn=SimpleNamespace(protocol=protocol)
        )
        self.tap = Tap(self.client)
        self.tap.connected()
        self.client.receive_loop()

    def _message(self, _client: Any, message: Any) -> None:
        self.handled.append(int(message))

    def _ended(self, *_: Any) -> None:
        self.closed = True

    def _parse(self, data: bytes) -> tuple[bool, bytes]:
        for text in data.decode().split():
            self._queue.feed_data(WSMessage(WSMsgType.TEXT, text, None), len(text))
        return False, b""

    def arrive(self, text: str) -> None:
        """Bytes of whole frames, one a word; each is a JSON number."""
        self._protocol._payload_parser.feed_data(text.encode())


@pytest.mark.parametrize("turns", range(6))
async def test_frames_are_handled_in_order_whenever_their_bytes_come(turns: int) -> None:
    """ccxt's receive task and the tap both take from the queue: no frame may wait in one while the other goes on."""
    wire = Wire()
    expected = []
    for number in range(0, 60, 2):
        # Twice within a turn, then again after none to five turns of ccxt's loop.
        wire.arrive(f"{number}")
        wire.arrive(f"{number + 1}")
        expected += [number, number + 1]
        for _ in range(turns if number % 3 else 1):
            await asyncio.sleep(0)
        assert wire.handled[: len(expected)] == expected[: len(wire.handled)]
    await settled(lambda: len(wire.handled) == len(expected))
    assert wire.handled == expected
    wire.client.connection.closed = True
    wire.arrive("60")  # ccxt's receive task ends with it
    await settled(lambda: wire.closed)


async def settled(holds: Callable[[], bool]) -> None:
    for _ in range(20):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not settle")
