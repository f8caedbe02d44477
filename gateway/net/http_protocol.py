"""HTTP on the shared port: uvicorn's protocol class, with limits on how much a request's head is and how long it takes.

uvicorn bounds neither the size of a head nor the time a request takes to arrive. Its protocol class is no documented
interface: the version is pinned and tests/gateway/net/test_http_protocol.py shows what is relied on. Must not know the
application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from gateway.net.connection import Shared


class HttpServer:
    """What all HTTP connections of a listener have in common."""

    def __init__(self, app: Any, shared: Shared, upgrade: Callable[[], asyncio.Protocol]) -> None:
        """`upgrade` makes the protocol that takes over when a later request asks for a WebSocket."""
        self._shared = shared
        self._state = ServerState()
        self._config = Config(
            app,
            interface="asgi3",
            http=HttpConnection,
            ws=lambda **_: upgrade(),  # type: ignore[arg-type]  # any callable will do, and a class cannot be told whose
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._config.load()

    @property
    def connections(self) -> set[Any]:
        """The open HTTP connections."""
        return self._state.connections

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Make a socket HTTP's, with the bytes it has sent so far."""
        protocol = HttpConnection(self._shared, self._config, self._state)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def close(self) -> None:
        """Drop every connection."""
        for connection in list(self.connections):
            connection.transport.abort()


class HttpConnection(HttpToolsProtocol):
    """One connection; a head has `http_head_bytes_max` bytes and `handshake_timeout_s`, a body `silence_s`."""

    def __init__(self, shared: Shared, config: Config, state: ServerState) -> None:
        super().__init__(config, state, app_state={})
        self._shared = shared
        self._head_bytes = 0
        self._in_head = False
        self.due_tick = -1

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes = self._head_bytes + len(data) if was_in_head else len(data)
        if self._head_bytes > self._shared.limits.http_head_bytes_max:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._due_in(self._shared.limits.handshake_timeout_s)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._due_in(self._shared.limits.silence_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._shared.wheel.cancel(self)
        super().on_message_complete()

    def _due_in(self, seconds: float) -> None:
        self._shared.wheel.schedule(self, self._shared.clock() + seconds)

    def on_due(self, _now_s: float) -> None:
        """The head or the body has not come in time."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.wheel.cancel(self)
        super().connection_lost(exc)
