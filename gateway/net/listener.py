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

from gateway.net import proxy_header
from gateway.net.addresses import Proxies
from gateway.net.admission import Admission
from gateway.net.connection import Connection, Handler, Shared
from gateway.net.deflate import negotiate
from gateway.net.head import BadHead, Head, Refusal, accept, check_handshake, parse
from gateway.net.http_protocol import HttpConnection, HttpServer, Knows
from gateway.net.origin import Origins
from gateway.net.proxy_header import BadProxyHeader
from gateway.net.tls import TlsTransport
from gateway.net.wheel import TICK_S, Wheel

if TYPE_CHECKING:
    import ssl

    from _speedups.fanout import Fanout
    from gateway.limits import Limits

log = structlog.get_logger(__name__)

Router = Callable[[Head], Handler | Refusal]

BACKLOG = 4_096  # a reconnect storm; the kernel cuts it at net.core.somaxconn
# libuv takes one connection from a listening socket in a turn of the loop, and under load there are few hundred turns a
# second. So the loop has the socket this many times; not more, since updates wait while so many are let in.
ACCEPTS_PER_TURN = 16
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
        proxies: Proxies | None = None,
        origins: Origins | None = None,
        knows: Knows = lambda headers: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counts` is told what becomes of each socket: accepted, upgraded, refused, timed_out, dropped, tls_failed.

        `knows` says of HTTP's headers whether they hold good credentials.

        With `tls` it is spoken on every connection, each with the context that there is when it begins.
        """
        self.admission = Admission(limits)
        self.proxies = proxies or Proxies()
        self.shared = Shared(limits, fanout, Wheel(clock()), clock, self.admission.leave)
        self.doors: set[Door] = set()
        self.http = HttpServer(http_app, self.shared, self.proxies, self.admission, lambda: LateDoor(self), knows)
        self.port = 0
        self.counts = counts
        self.tls = tls
        self._router = router
        self._origins = origins or Origins()
        self._servers: list[asyncio.Server] = []
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

    async def start(
        self, host: str, port: int, *, reuse_port: bool = False, inherited: socket.socket | None = None
    ) -> None:
        """Listen. Raises OSError when the port is taken or the address is not this machine's.

        `inherited`: a socket that listens already, instead. With `reuse_port` another process may have the port too,
        if it says so as well.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = inherited or socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
        # Inherited by accepted sockets: a small kernel buffer shows a slow reader early
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.shared.limits.send_buffer_bytes)
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        again = [sock.dup() for _ in range(ACCEPTS_PER_TURN - 1)] if _takes_one_a_turn(loop) else []
        for each in (sock, *again):
            self._servers.append(await loop.create_server(lambda: Door(self), sock=each, backlog=BACKLOG))
        self._tick()

    def close_accepting(self) -> None:
        """Take no new connection, and refuse the handshakes that are under way."""
        self._accepting = False
        for server in self._servers:
            server.close()

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

    def decide(self, head: Head) -> Handler | Refusal:
        """Who answers on this WebSocket, or why nobody does."""
        refusal = check_handshake(head) or self._origins.check(head) or self._full(head.peer)
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
        return self.admission.upgrade(peer, len(self.connections), self.shared.clock())


def _takes_one_a_turn(loop: asyncio.AbstractEventLoop) -> bool:
    """asyncio's own loop takes as many as there are."""
    return not isinstance(loop, asyncio.BaseEventLoop)


class Door(asyncio.Protocol):
    """A socket whose first request is still being read."""

    __slots__ = ("_awaits_header", "_counted", "_data", "_listener", "_peer", "_refused", "_transport", "due_tick")

    _transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._data = bytearray()
        self._peer = ""
        self._counted: str | None = None  # the address that this socket is counted under; a proxy is not
        self._awaits_header = False
        self._refused = False
        self.due_tick = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        listener.counts["accepted"] += 1
        if not self._count_as((transport.get_extra_info("peername") or ("",))[0]):
            return
        self._enter()
        self._awaits_header = listener.proxies.begins_with_header(self._peer)
        if not self._awaits_header:
            self._secure(b"")

    def _enter(self) -> None:
        shared = self._listener.shared
        self._listener.doors.add(self)
        shared.wheel.schedule(self, shared.clock() + shared.limits.handshake_timeout_s)

    def _count_as(self, peer: str) -> bool:
        """Take this for the other end; False: it holds so many sockets that its request is not even read."""
        listener = self._listener
        self._peer = peer
        counted = None if listener.proxies.trusts(peer) else peer
        if not listener.admission.has_room(listener.sockets, counted):
            self._drop()
            return False
        self._counted = counted
        listener.admission.enter(counted)
        return True

    def _drop(self) -> None:
        self._listener.counts["dropped"] += 1
        self.abort()

    def _secure(self, rest: bytes) -> None:
        """Begin TLS where it is spoken; `rest`: what has come behind a PROXY header."""
        listener = self._listener
        if listener.tls is None:
            if rest:
                self._take(rest)
        elif listener.admission.secures(self._counted, listener.shared.clock()):
            self._transport = transport = TlsTransport(self._transport, listener.tls(), self, self._unsecured)
            if rest:
                transport.data_received(rest)
        else:
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._listener.doors:
            self._leave()
            self._listener.admission.leave(self._counted)

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
        if self._awaits_header:
            self._read_header(data)
        else:
            self._take(data)

    def _read_header(self, data: bytes) -> None:
        """Of the proxy that the connection is from: it says whom it speaks for."""
        self._data += data
        try:
            found = proxy_header.read(bytes(self._data))
        except BadProxyHeader as error:
            log.warning("a proxy does not say whom it speaks for", proxy=self._peer, reason=str(error))
            self._drop()
            return
        if found is None:
            return
        self._awaits_header = False
        rest = bytes(self._data[found.size :])
        self._data.clear()
        if found.address is None or self._count_as(found.address):
            self._secure(rest)

    def _take(self, data: bytes) -> None:
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
            self._listener.http.take(self._transport, bytes(self._data), self._peer, self._counted)
            return
        if self._counted is None:
            head.peer = self._listener.proxies.client(self._peer, head.headers.getall("X-Forwarded-For", []))
            self._counted = head.peer
            self._listener.admission.enter(head.peer)
        found = self._listener.decide(head)
        if isinstance(found, Refusal):
            self._refuse(found)
        else:
            self._upgrade(head, found, bytes(self._data[size:]))

    def _upgrade(self, head: Head, handler: Handler, rest: bytes) -> None:
        offered = head.headers.getall("Sec-WebSocket-Extensions", None)
        bits, extensions = (negotiate(", ".join(offered)) if offered else None) or (0, None)
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        before = self._transport.get_protocol()
        assert isinstance(before, HttpConnection)
        self._peer, self._counted = before.peer, before.counted
        self._listener.admission.return_from_http(self._counted)
        self._enter()

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(super().data_received, data)
