"""A client that keeps the very bytes of the socket: what a library would have decoded cannot be compared."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any
from urllib.parse import urlsplit

from tests.frames import Frame, split

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
READ_S = 30.0


class RawClient(asyncio.Protocol):
    """Gathers frames as they stand on the wire; the first ones are replies to what it asked."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.transport: asyncio.Transport | None = None
        self._bytes = b""
        self._open = False
        self._changed = asyncio.Event()

    @classmethod
    async def connect(cls, url: str) -> RawClient:
        """Connected and upgraded; the greeting is its first frame."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        transport, client = await asyncio.get_running_loop().create_connection(cls, parts.hostname, parts.port)
        client.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(HANDSHAKE.format(path=parts.path, host=parts.netloc, key=key).encode())
        await client.until(1)
        return client

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self._open:
            head, end, rest = self._bytes.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self._open = True
            self._bytes = rest
        found, self._bytes = split(self._bytes)
        self.frames += found
        self._changed.set()

    def send(self, **request: Any) -> None:
        """One request, masked as a client must."""
        body = json.dumps(request).encode()
        assert len(body) < 65_536
        mask = os.urandom(4)
        size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        assert self.transport is not None
        self.transport.write(b"\x81" + size + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)))

    async def until(self, count: int) -> None:
        """Wait for that many frames in all."""
        async with asyncio.timeout(READ_S):
            while len(self.frames) < count:
                self._changed.clear()
                await self._changed.wait()

    def cut(self) -> None:
        """Go without a goodbye."""
        assert self.transport is not None
        self.transport.abort()


def payload(frame: Frame) -> dict[str, Any]:
    """A text frame's JSON."""
    assert frame.first == 0x81, "one whole, uncompressed text frame"
    return dict(json.loads(frame.payload))
