"""A client without a WebSocket library: it can send anything, at any time, and sees every byte that comes back."""

from __future__ import annotations

import asyncio
import ssl
from typing import ClassVar, NamedTuple, cast

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
WAIT_S = 5.0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame as a client sends it, masked."""
    first = (0x80 if fin else 0) | rsv | opcode
    if len(payload) < 126:
        head = bytes([first, 0x80 | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, 0x80 | 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + len(payload).to_bytes(8, "big")
    mask = b"\x37\xfa\x21\x3d"
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


class Frame(NamedTuple):
    """One frame of the server."""

    opcode: int
    payload: bytes
    rsv: int = 0
    fin: bool = True


class RawClient:
    """One TCP connection; those that are left when a test ends are dropped by `drop_all`."""

    live: ClassVar[list[RawClient]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.live.append(self)

    @classmethod
    def drop_all(cls) -> None:
        while cls.live:
            cls.live.pop().drop()

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    @classmethod
    async def open(cls, port: int, *headers: bytes, tls: ssl.SSLContext | None = None) -> RawClient:
        """Connect and do the opening handshake."""
        client = await cls.connect(port, tls=tls)
        client.send(HANDSHAKE + b"".join(header + b"\r\n" for header in headers) + b"\r\n")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return client

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The head of an HTTP response."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)

    async def response(self) -> tuple[int, bytes]:
        """An HTTP response with a Content-Length: its status and body."""
        head = await self.head()
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head.split()[1]), await asyncio.wait_for(self.reader.readexactly(size), WAIT_S)

    async def frame(self) -> Frame:
        """The next frame."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), WAIT_S)
        assert not second & 0x80, "a server does not mask"
        size = second
        if second >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8), "big")
        payload = await asyncio.wait_for(self.reader.readexactly(size), WAIT_S)
        return Frame(first & 0x0F, payload, first & 0x70, bool(first & 0x80))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), WAIT_S)

    async def closed_with(self, code: int) -> None:
        """The next frame is a CLOSE with this code, and nothing follows it but the end."""
        found = await self.frame()
        assert (found.opcode, found.payload[:2]) == (CLOSE, code.to_bytes(2, "big")), found
        if code < 1002 or code >= 3000:  # a clean close: the server waits for the answer
            self.send(frame(CLOSE, found.payload[:2]))
        assert await self.rest() == b""

    def stop_reading(self) -> None:
        """Let the server's bytes wait in the kernel."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_on(self) -> None:
        """Undo `stop_reading`."""
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    def drop(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()
