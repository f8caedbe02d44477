"""One port for HTTP and WebSocket: reads the head of each connection's first request and hands the socket on.

A WebSocket handshake becomes a `Connection` when the router gives it a handler; everything else goes to uvicorn's HTTP
protocol and the ASGI application behind it. Must not know paths, dialects, or what a handler does.

Both sides run on the loop's own transports, uvloop's where it is there: they take the least memory and accept fastest.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import structlog

from gateway.net.connection import Connection, Handler, Shared
from gateway.net.deflate import negotiate
from gateway.net.head import BadHead, Head, Refusal, accept, check_handshake, parse
from gateway.net.http_protocol import HttpServer
from gateway.net.tls import TlsTransport
from gateway.net.wheel import TICK_S, Wheel

if TYPE_CHECKING:
    import ssl

    from _speedups.fanout import Fanout
    from gateway.limits import Limits

log = structlog.get_logger(__name__)

Router = Callable[[Head], Handler | Refusal]

BACKLOG = 4_096  # a reconnect storm; the kernel cuts it at net.core.somaxconn
SPARE_SOCKETS = 1_024  # beyond `connections_max`: heads being read, HTTP
_END = b"\r\n\r\n"


class Listener:
    """Accepts, limits and counts connections."""

    def __init__(
        self,
        router: Router,
        http_app: Any,
        limits: Limits,
        fanout: Fanout,
        counts: Counter[str],
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counts` is told what becomes of each socket: accepted, upgraded, refused, timed_out, dropped, tls_failed.

        With `tls` it is spoken on every connection, each with the context that there is when it begins.
        """
        self.shared = Shared(limits, fanout, Wheel(clock()), clock, self.release)
        self.doors: set[Door] = set()
        self.http = HttpServer(http_app, self.shared, lambda: LateDoor(self))
        self.port = 0
        self.counts = counts
        self.tls = tls
        self._router = router
        self._per_ip: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._accepting = True

    @property
    def connections(self) -> set[Connection]:
        """The open WebSockets; changes while they close."""
        return self.shared.connections

    @property
    def sockets(self) -> int:
        """All sockets that are held, whatever they speak."""
        return len(self.doors) + len(self.connections) + len(self.http.connections)

    @property
    def addresses(self) -> int:
        """Addresses that hold a socket, HTTP's not counted."""
        return len(self._per_ip)

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the port is taken or the address is not this machine's."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Inherited by accepted sockets: a small kernel buffer shows a slow reader early
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.shared.limits.send_buffer_bytes)
        self.port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(lambda: Door(self), sock=sock, backlog=BACKLOG)
        self._tick()

    def close_accepting(self) -> None:
        """Take no new connection, and refuse the handshakes that are under way."""
        self._accepting = False
        if self._server is not None:
            self._server.close()

    def close(self) -> None:
        """End at once: no new connections, and what is still open is dropped."""
        self.close_accepting()
        if self._timer is not None:
            self._timer.cancel()
        for door in list(self.doors):
            door.abort()
        for connection in list(self.connections):
            connection.abort()
        self.http.close()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.shared.wheel.advance(self.shared.clock())

    def admit(self, peer: str) -> bool:
        """Count a new socket of this address; False: there are too many to even read its request."""
        self.counts["accepted"] += 1
        if self.sockets >= self.shared.limits.connections_max + SPARE_SOCKETS:
            self.counts["dropped"] += 1
            return False
        self._per_ip[peer] += 1
        return True

    def release(self, peer: str) -> None:
        """A socket of this address is gone, or is now HTTP's."""
        self._per_ip[peer] -= 1
        if not self._per_ip[peer]:
            del self._per_ip[peer]

    def decide(self, head: Head) -> Handler | Refusal:
        """Who answers on this WebSocket, or why nobody does."""
        refusal = check_handshake(head) or self._full(head.peer)
        if refusal is not None:
            return refusal
        try:
            return self._router(head)
        except Exception:
            log.exception("router failed", path=head.path)
            return Refusal(500, "internal_error", "the request could not be decided")

    def _full(self, peer: str) -> Refusal | None:
        limits = self.shared.limits
        if not self._accepting:
            return Refusal(503, "exchange_unavailable", "the server is shutting down", retry_after_ms=limits.drain_ms)
        if len(self.connections) >= limits.connections_max:
            message = f"the server holds its {limits.connections_max} connections"
        elif self._per_ip[peer] > limits.connections_per_ip_max:
            message = f"this address holds its {limits.connections_per_ip_max} connections"
        else:
            return None
        return Refusal(429, "too_many_connections", message, retry_after_ms=1_000)


class Door(asyncio.Protocol):
    """A socket whose first request is still being read."""

    __slots__ = ("_data", "_listener", "_peer", "_refused", "_transport", "due_tick")

    _transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._data = bytearray()
        self._peer = ""
        self._refused = False
        self.due_tick = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._peer = (transport.get_extra_info("peername") or ("",))[0]
        if not listener.admit(self._peer):
            self.abort()
            return
        if listener.tls is not None and transport.get_extra_info("sslcontext") is None:  # a late door has it already
            self._transport = TlsTransport(self._transport, listener.tls(), self, self._unsecured)
        listener.doors.add(self)
        shared = listener.shared
        shared.wheel.schedule(self, shared.clock() + shared.limits.handshake_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._listener.doors:
            self._leave()
            self._listener.release(self._peer)

    def on_due(self, _now_s: float) -> None:
        """The head has not come in time, or whoever was refused stays."""
        if not self._refused:
            self._listener.counts["timed_out"] += 1
        self.abort()

    def abort(self) -> None:
        """Drop the socket at once."""
        self._transport.abort()

    def _unsecured(self, reason: str) -> None:
        self._refused = True
        self._listener.counts["tls_failed"] += 1
        log.debug("no TLS", peer=self._peer, reason=reason)

    def data_received(self, data: bytes) -> None:
        if self._refused or self._transport.is_closing():
            return
        seen = max(0, len(self._data) - len(_END) + 1)
        self._data += data
        end = self._data.find(_END, seen)
        size = len(self._data) if end < 0 else end + len(_END)
        if size > self._listener.shared.limits.http_head_bytes_max:
            self._refuse(Refusal(431, "validation_error", "the head of the request is too large"))
        elif end >= 0:
            self._read(bytes(self._data[:size]), size)

    def _read(self, raw: bytes, size: int) -> None:
        try:
            head = parse(raw, self._peer)
        except BadHead as error:
            self._refuse(Refusal(400, "validation_error", f"not an HTTP request: {error}"))
            return
        if not head.asks_websocket:
            self._leave()
            self._listener.release(self._peer)
            self._listener.http.take(self._transport, bytes(self._data))
            return
        found = self._listener.decide(head)
        if isinstance(found, Refusal):
            self._refuse(found)
        else:
            self._upgrade(head, found, bytes(self._data[size:]))

    def _upgrade(self, head: Head, handler: Handler, rest: bytes) -> None:
        bits, extensions = negotiate(", ".join(head.headers.getall("Sec-WebSocket-Extensions", []))) or (0, None)
        connection = Connection(self._listener.shared, self._transport, handler, head, bits)
        self._leave()
        self._listener.counts["upgraded"] += 1
        connection.open(accept(head, extensions), rest)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused = True
        self._data.clear()
        self._listener.counts["refused"] += 1
        self._transport.write(refusal.render())
        self._transport.write_eof()  # closing with unread bytes would reset the connection, and lose the answer

    def _leave(self) -> None:
        self._listener.doors.discard(self)
        self._listener.shared.wheel.cancel(self)


class LateDoor(Door):
    """For a handshake that follows other requests on one connection.

    uvicorn hands its bytes over before it makes this the transport's protocol, so reading waits for the next turn.
    """

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(super().data_received, data)
