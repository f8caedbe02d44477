"""A real WebSocket client of the stream dialect that trusts nothing: every number, gap and checksum is verified.

Holds one connection and its streams. It knows the protocol only; a violation fails the test that uses it.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.position import BookCopy, Message, Stream, as_text, text_of

WAIT_S = 20.0
_GZIP, _OBJECT = b"\x1f\x8b", b"{"


class Client:
    """One connection. A task reads all the time; `until` waits for what it has read."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire
        self.hello: Message = {}
        self.replies: list[Message] = []
        self.notices: list[Message] = []  # server_shutdown
        self.streams: dict[tuple[str, str], Stream] = {}  # by channel (and timeframe) and the client's spelling
        self.kinds: set[str] = set()  # how data came: json, msgpack, gzip
        self.books: dict[str, BookCopy] = {}  # by symbol: of an earlier connection, which a resumed stream goes on from
        self.close_code: int | None = None
        self._by_epoch: dict[str, Stream] = {}  # an epoch names one stream, also where two timeframes are bars
        self._changed = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._ids = count(1)
        self._requests: dict[str, Message] = {}
        self._reader = asyncio.create_task(self._read())

    # What a test does

    async def request(self, **fields: Any) -> Message:
        """Send a request, return its reply."""
        name = f"r{next(self._ids)}"
        self._requests[name] = {"id": name, **fields}
        await self.wire.send(orjson.dumps(self._requests[name]).decode())
        await self.until(lambda: any(reply.get("id") == name for reply in self.replies))
        return next(reply for reply in self.replies if reply.get("id") == name)

    async def subscribe(self, channel: str, *symbols: str, **options: Any) -> Message:
        """The `data` of the ack."""
        reply = await self.request(action="subscribe", channel=channel, symbols=symbols, **options)
        assert reply["type"] == "subscribed", reply
        assert reply["channel"] == channel
        return dict(reply["data"])

    async def join(self, channel: str, symbol: str, **options: Any) -> Stream:
        """Subscribe to one stream."""
        ack = await self.subscribe(channel, symbol, **options)
        assert not ack["errors"], ack
        return self.stream(channel, symbol, options.get("timeframe"))

    def stream(self, channel: str, symbol: str, timeframe: str | None = None) -> Stream:
        return self.streams[_name(channel, timeframe), symbol]

    async def resend(self, stream: Stream, first: int, last: int) -> int:
        """Ask for numbers again; how many the server still has."""
        stream.ask(first, last)
        reply = await self.request(
            action="resend", channel=stream.channel, symbol=stream.symbol, **{"from": first, "to": last}
        )
        assert reply["type"] == "resent", reply
        assert (reply["data"]["from"], reply["data"]["to"]) == (first, last)
        return int(reply["data"]["resent"])

    async def until(self, holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait until something holds; looked at after every message."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                if self._reader.done():
                    self._reader.result()
                    raise AssertionError(f"closed with {self.close_code} before it came to pass")
                self._changed.clear()
                await self._changed.wait()

    async def reach(self, stream: Stream, count: int) -> None:
        """Wait until a stream has brought that many messages."""
        await self.until(lambda: stream.count >= count)

    async def say(self, raw: str) -> Message:
        """Send any text at all, return the reply."""
        told = len(self.replies)
        await self.wire.send(raw)
        await self.until(lambda: len(self.replies) > told)
        return self.replies[told]

    async def closed(self, timeout_s: float = WAIT_S) -> int | None:
        """Wait for the end of the connection; its code."""
        await asyncio.wait_for(asyncio.shield(self._reader), timeout_s)
        return self.close_code

    def stall(self) -> None:
        """Stop reading: the library's buffer fills, then the kernel's."""
        self._reading.clear()

    def wake(self) -> None:
        self._reading.set()

    async def leave(self) -> None:
        await self.wire.close()
        await self._reader

    # What comes

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                self._take(await self.wire.recv())
                self._changed.set()
        except ConnectionClosed:
            self.close_code = self.wire.close_code
        finally:
            self._changed.set()

    def _take(self, raw: str | bytes) -> None:
        message, text = self._decode(raw)
        kind = message["type"]
        if "epoch" in message:
            stream = self._by_epoch[message["epoch"]]
            if kind == "gap":
                gap = stream.gap(message)
                if gap.new_epoch is not None:
                    del self._by_epoch[gap.epoch]
                    self._by_epoch[gap.new_epoch] = stream
            else:
                assert message["channel"] == stream.channel
                stream.take(message, text)
        elif kind == "connected":
            assert not self.hello
            self.hello = message
        elif kind == "server_shutdown":
            self.notices.append(message)
        else:
            self.replies.append(message)
            if kind == "subscribed":
                self._joined(message)
            elif kind == "unsubscribed":
                self._left(message)

    def _decode(self, raw: str | bytes) -> tuple[Message, Message | None]:
        """The message, and with numbers as text where a checksum needs them."""
        kind = "json"
        if isinstance(raw, bytes):
            if raw.startswith(_GZIP):
                raw, kind = gzip.decompress(raw), "gzip"
            if not raw.startswith(_OBJECT):
                self.kinds.add("msgpack" if kind == "json" else "gzip+msgpack")
                message: Message = msgspec.msgpack.decode(raw)
                return message, as_text(message)
        self.kinds.add(kind)
        message = orjson.loads(raw)
        return message, text_of(raw) if message.get("channel") == "book" and "epoch" in message else None

    def _joined(self, reply: Message) -> None:
        """Streams begin where the ack says, or where the client said it stopped."""
        request, channel = self._requests[reply["id"]], reply["channel"]
        for symbol, state in reply["data"]["streams"].items():
            resume = request.get("resume", {}).get(symbol)
            assert (state["recovered"] is None) == (resume is None)
            at = state if resume is None else resume
            if state["recovered"]:
                assert (state["epoch"], state["sequence"]) == (resume["epoch"], resume["sequence"])
            stream = Stream(channel, symbol, at["epoch"], at["sequence"], depth=request.get("depth", 20))
            if resume is None:
                stream.joined()
            elif channel == "book" and symbol in self.books:
                stream.book = self.books.pop(symbol)  # at once: its updates may have come with the ack
            name = _name(channel, request.get("timeframe")), symbol
            self._forget(name)
            self.streams[name] = self._by_epoch[at["epoch"]] = stream

    def _left(self, reply: Message) -> None:
        for symbol in reply["data"]["symbols"]:
            for name in [name for name in self.streams if name[0].split()[0] == reply["channel"] and name[1] == symbol]:
                self._forget(name)

    def _forget(self, name: tuple[str, str]) -> None:
        """Nothing of this stream may come any more."""
        stream = self.streams.pop(name, None)
        if stream is not None:
            self._by_epoch.pop(stream.epoch, None)


def _name(channel: str, timeframe: str | None) -> str:
    return f"bars {timeframe or '1m'}" if channel == "bars" else channel


@asynccontextmanager
async def client_of(url: str, *, rcvbuf_bytes: int | None = None, **options: Any) -> AsyncIterator[Client]:
    """A connected client. What its checks found raises here at the latest; `rcvbuf_bytes`: a small kernel buffer."""
    if rcvbuf_bytes is not None:
        options["sock"] = small_socket(url, rcvbuf_bytes)
    async with connect(url, **{"compression": None, "max_size": None, "ping_interval": None, **options}) as wire:
        client = Client(wire)
        await client.until(lambda: bool(client.hello))
        try:
            yield client
        finally:
            client.wake()
            await client.leave()


def small_socket(url: str, rcvbuf_bytes: int) -> socket.socket:
    """A connected one whose kernel buffer does not grow."""
    host, _, port = url.split("/")[2].partition(":")
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf_bytes)  # before connecting: it bounds the window
    made.connect((host, int(port)))
    made.setblocking(False)
    return made
