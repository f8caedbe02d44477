"""A listener on a free port, with a clock that tests move."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from _speedups.fanout import Fanout
from _speedups.frame import OP_BINARY
from gateway.limits import Limits
from gateway.net.addresses import Proxies
from gateway.net.connection import Connection
from gateway.net.head import Head, Refusal
from gateway.net.http_protocol import IDENTIFIED
from gateway.net.listener import Listener
from tests.gateway.net.raw import RawClient
from tests.waiting import until


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Recorder:
    """Keeps what a connection tells its handler, and echoes messages when asked to."""

    def __init__(self, head: Head, *, echo: bool, greeting: bytes = b"") -> None:
        self.head = head
        self.echo = echo
        self.messages: list[str | bytes] = []
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.greeting = greeting
        self.conn: Connection

    def on_open(self, conn: Connection) -> None:
        assert conn.head is self.head
        self.conn = conn
        if self.greeting:
            conn.send(self.greeting)
        self.opened.set()

    def on_message(self, conn: Connection, data: str | bytes) -> None:
        self.messages.append(data)
        if data == "raise":
            raise RuntimeError("as asked")
        if self.echo:
            if isinstance(data, str):
                conn.send(data.encode())
            else:
                conn.send(data, OP_BINARY)

    def on_closed(self, conn: Connection) -> None:
        assert conn is self.conn
        assert not self.closed.is_set()
        self.closed.set()


class Server:
    """A listener and what it was asked."""

    def __init__(
        self, limits: Limits, tls: Callable[[], ssl.SSLContext] | None = None, proxies: Proxies | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock()
        self.handlers: list[Recorder] = []
        self.echo = True
        self.greeting = b""
        self.refusal: Refusal | None = None
        self.listener = Listener(
            self.route,
            http_app,
            limits,
            Fanout(loop.call_soon, loop.call_later, queue_bytes_max=limits.queue_bytes_max),
            Counter(),
            tls=tls,
            proxies=proxies,
            clock=self.clock,
            knows=lambda headers: headers.get("x-api-key") == "good",
        )

    @property
    def port(self) -> int:
        return self.listener.port

    def route(self, head: Head) -> Recorder | Refusal:
        if head.path == "/raise":
            raise RuntimeError("as asked")
        if self.refusal is not None:
            return self.refusal
        self.handlers.append(Recorder(head, echo=self.echo, greeting=self.greeting))
        return self.handlers[-1]

    def pass_time(self, seconds: float) -> None:
        """Move the clock and look at the deadlines."""
        self.clock.now_s += seconds
        self.listener.shared.wheel.advance(self.clock.now_s)

    async def emptied(self) -> None:
        """Every socket is gone, and nothing is left of it."""
        await until(lambda: not self.listener.sockets)
        assert self.listener.admission.addresses == 0
        assert len(self.listener.shared.wheel) == 0


async def http_app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answers with the path and the body it got; to /never with nothing for as long as the client is there.

    At /mine it asks whose request it is.
    """
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/mine":
        scope["state"].pop(IDENTIFIED, lambda: None)()
    if scope["path"] == "/never":
        await receive()
        return
    answer = scope["path"].encode() + b" " + body
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Starts servers with some limits changed; ends them."""
    servers: list[Server] = []

    async def start(
        *, tls: Callable[[], ssl.SSLContext] | None = None, proxies: Proxies | None = None, **changes: Any
    ) -> Server:
        server = Server(msgspec.structs.replace(Limits(), **changes), tls, proxies)
        servers.append(server)
        await server.listener.start("127.0.0.1", 0)
        return server

    yield start
    RawClient.drop_all()
    for server in servers:
        server.listener.close()
        await server.emptied()
