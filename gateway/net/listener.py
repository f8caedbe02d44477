"""One port for HTTP and WebSocket: reads the head of each connection's first request and hands the socket on.

A WebSocket handshake becomes a `Connection` when the router gives it a handler; everything else goes to uvicorn's HTTP
protocol and the ASGI application behind it. Must not know paths, dialects, or what a handler does.

Both sides run on the loop's own transports, uvloop's where it is there: they take the least memory and accept fastest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import structlog

from gateway.net.addresses import Proxies
from gateway.net.connection import Connection, Handler
from gateway.net.deflate import negotiate
from gateway.net.head import BadHead, Head, Refusal, accept, check_handshake, parse
from gateway.net.http_protocol import HttpConnection, HttpServer, Knows
from gateway.net.origin import Origins
from gateway.net.port import Entrance, Port

if TYPE_CHECKING:
    import ssl

    from _speedups.fanout import Fanout
    from gateway.limits import Limits

log = structlog.get_logger(__name__)

Router = Callable[[Head], Handler | Refusal]

_END = b"\r\n\r\n"


class Listener(Port):
    """Decides what each connection is."""

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
        """`knows` says of HTTP's headers whether they hold good credentials. The rest is as `Port` has it."""
        super().__init__(limits, fanout, counts, tls=tls, proxies=proxies, clock=clock)
        self.http = HttpServer(http_app, self.shared, self.proxies, self.admission, lambda: LateDoor(self), knows)
        self._router = router
        self._origins = origins or Origins()

    @property
    def connections(self) -> set[Connection]:
        """The open WebSockets; changes while they close."""
        return self.shared.connections

    @property
    def sockets(self) -> int:
        """All sockets that are held, whatever they speak."""
        return len(self.entrances) + len(self.refused) + len(self.connections) + len(self.http.connections)

    def entrance(self) -> Entrance:
        return Door(self)

    def close(self) -> None:
        """End at once: no new connections, and what is still open is dropped."""
        super().close()
        for connection in list(self.connections):
            connection.abort()
        self.http.close()

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


class Door(Entrance):
    """A socket whose first request is still being read."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._listener = listener

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

    def on_due(self, now_s: float) -> None:
        if self._data and not self._awaits_header and not self._transport.is_closing():
            self._refuse(Refusal(408, "validation_error", "the request did not come in time"), "timed_out")
        else:
            super().on_due(now_s)  # who has asked for nothing is told nothing, nor is whoever has been told

    def _refuse(self, refusal: Refusal, outcome: str = "refused") -> None:
        listener = self._listener
        self._refused = True
        self._data.clear()
        self._leave()
        stays = listener.admission.refuse(self._counted, len(listener.refused))
        listener.refused.add(self)
        listener.shared.wheel.schedule(self, listener.shared.clock() + listener.shared.limits.close_timeout_s)
        listener.counts[outcome] += 1
        self._transport.write(refusal.render())
        if stays:
            self._transport.write_eof()  # closing with unread bytes would reset the connection, and lose the answer
        else:
            self._transport.close()


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
