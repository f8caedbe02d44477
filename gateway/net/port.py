"""The port: sockets are accepted, counted and limited, their PROXY header is read and TLS begins.

Holds what comes before the first byte of a request, which is the same in every process of a gateway. Must not know what
is asked for.
"""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

import structlog

from gateway.net import proxy_header
from gateway.net.addresses import Proxies
from gateway.net.admission import Admission
from gateway.net.connection import Shared
from gateway.net.proxy_header import BadProxyHeader
from gateway.net.tls import TlsTransport
from gateway.net.wheel import TICK_S, Wheel

if TYPE_CHECKING:
    import ssl

    from _speedups.fanout import Fanout
    from gateway.limits import Limits

log = structlog.get_logger(__name__)

BACKLOG: Final = 4_096  # a reconnect storm; the kernel cuts it at net.core.somaxconn
# libuv takes one connection from a listening socket in a turn of the loop, and under load there are few hundred turns a
# second. So the loop has the socket this many times; not more, since updates wait while so many are let in.
ACCEPTS_PER_TURN: Final = 16


def claim(host: str, port: int) -> None:
    """Raises OSError when somebody else listens there, also when they would share the port."""
    socket.create_server((host, port), family=_family(host)).close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Refused(Protocol):
    """A socket that takes no place any more."""

    def abort(self) -> None:
        """Drop it at once."""


class Port(ABC):
    """Accepts, limits and counts sockets."""

    def __init__(
        self,
        limits: Limits,
        fanout: Fanout,
        counts: Counter[str],
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counts` is told what becomes of each socket: accepted, upgraded, refused, timed_out, dropped, tls_failed.

        With `tls` it is spoken on every connection, each with the context that there is when it begins.
        """
        self.admission = Admission(limits)
        self.proxies = proxies or Proxies()
        self.shared = Shared(limits, fanout, Wheel(clock()), clock, self.admission.leave)
        self.entrances: set[Entrance] = set()
        self.refused: set[Refused] = set()  # who is still to read why
        self.port = 0
        self.counts = counts
        self.tls = tls
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._accepting = True

    @property
    @abstractmethod
    def sockets(self) -> int:
        """All sockets that are held, whatever they speak."""

    @abstractmethod
    def entrance(self) -> Entrance:
        """The protocol of a new socket."""

    async def start(
        self, host: str, port: int, *, reuse_port: bool = False, inherited: socket.socket | None = None
    ) -> None:
        """Listen. Raises OSError when the port is taken or the address is not this machine's.

        `inherited`: a socket that listens already, instead. With `reuse_port` another process may have the port too,
        if it says so as well.
        """
        sock = inherited or socket.create_server(
            (host, port), family=_family(host), backlog=BACKLOG, reuse_port=reuse_port
        )
        # Inherited by accepted sockets: a small kernel buffer shows a slow reader early
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.shared.limits.send_buffer_bytes)
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        again = [sock.dup() for _ in range(ACCEPTS_PER_TURN - 1)] if _takes_one_a_turn(loop) else []
        for each in (sock, *again):
            self._servers.append(await loop.create_server(self.entrance, sock=each, backlog=BACKLOG))
        self._tick()

    def close_accepting(self) -> None:
        """Take no new connection, and refuse the handshakes that are under way."""
        self._accepting = False
        for server in self._servers:
            server.close()

    def close(self) -> None:
        """End at once: no new connections, and what is still being read is dropped."""
        self.close_accepting()
        if self._timer is not None:
            self._timer.cancel()
        ending: list[Refused] = [*self.entrances, *self.refused]
        for each in ending:
            each.abort()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.shared.wheel.advance(self.shared.clock())


def _takes_one_a_turn(loop: asyncio.AbstractEventLoop) -> bool:
    """asyncio's own loop takes as many as there are."""
    return not isinstance(loop, asyncio.BaseEventLoop)


class Entrance(asyncio.Protocol, ABC):
    """A socket of which nothing but what a proxy says is read yet."""

    __slots__ = ("_awaits_header", "_counted", "_data", "_peer", "_port", "_refused", "_transport", "due_tick")

    _transport: asyncio.Transport

    def __init__(self, port: Port) -> None:
        self._port = port
        self._data = bytearray()
        self._peer = ""
        self._counted: str | None = None  # the address that this socket is counted under; a proxy is not
        self._awaits_header = False
        self._refused = False
        self.due_tick = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        port = self._port
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        port.counts["accepted"] += 1
        if not self._count_as((transport.get_extra_info("peername") or ("",))[0]):
            return
        self._enter()
        self._awaits_header = port.proxies.begins_with_header(self._peer)
        if not self._awaits_header:
            self._secure(b"")

    def _enter(self) -> None:
        shared = self._port.shared
        self._port.entrances.add(self)
        shared.wheel.schedule(self, shared.clock() + shared.limits.handshake_timeout_s)

    def _count_as(self, peer: str) -> bool:
        """Take this for the other end; False: it holds so many sockets that its request is not even read."""
        port = self._port
        self._peer = peer
        counted = None if port.proxies.trusts(peer) else peer
        if not port.admission.has_room(port.sockets - len(port.refused), counted):
            self._drop()
            return False
        self._counted = counted
        port.admission.enter(counted)
        return True

    def _drop(self) -> None:
        self._port.counts["dropped"] += 1
        self.abort()

    def _secure(self, rest: bytes) -> None:
        """Begin TLS where it is spoken; `rest`: what has come behind a PROXY header."""
        port = self._port
        if port.tls is None:
            if rest:
                self._take(rest)
        elif port.admission.secures(self._counted, port.shared.clock()):
            self._transport = transport = TlsTransport(self._transport, port.tls(), self, self._unsecured)
            if rest:
                transport.data_received(rest)
        else:
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._port.entrances:
            self._leave()
            self._port.admission.leave(self._counted)
        elif self in self._port.refused:
            self._port.refused.remove(self)
            self._port.shared.wheel.cancel(self)
            self._port.admission.leave_refused(self._counted)

    def on_due(self, _now_s: float) -> None:
        """Nothing has come in time that can be answered, or whoever was refused stays."""
        if not self._refused:
            self._port.counts["timed_out"] += 1
        self.abort()

    def abort(self) -> None:
        """Drop the socket at once."""
        self._transport.abort()

    def _unsecured(self, reason: str) -> None:
        self._refused = True
        self._port.counts["tls_failed"] += 1
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

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """What the client itself has sent."""

    def _leave(self) -> None:
        self._port.entrances.discard(self)
        self._port.shared.wheel.cancel(self)
