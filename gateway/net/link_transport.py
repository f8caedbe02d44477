"""A worker's socket as a transport of the first process: what is said to it goes over the link, paced as by a socket.

Holds what has become of it, and how much is on its way there. Must not know the link's other sockets, nor dialects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from gateway.core.away import AwayOutbox
from gateway.net.connection import Connection
from gateway.net.window import Window
from gateway.wire import link

if TYPE_CHECKING:
    from _speedups.fanout import Fanout, Stream
    from _speedups.frame import Form
    from gateway.core.away import Asked
    from gateway.core.key import StreamId
    from gateway.net.links import Link

log = structlog.get_logger(__name__)

WRITE_BYTES_MAX: Final = 1 << 25  # of one message
_NOBODY: Final = asyncio.Protocol()


class LinkTransport(asyncio.Transport):
    """A worker's socket."""

    __slots__ = (
        *("_conn", "_has_ended", "_is_blocked", "_is_closing", "_is_gone", "_is_paused", "_link", "_peer"),
        *("_protocol", "_secured", "_window"),
    )

    def __init__(self, to: Link, opened: link.Opened, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._link = to
        self._conn = opened.conn
        self._peer = opened.peer
        self._secured = opened.secured
        self._protocol = protocol
        self._is_closing = False
        self._has_ended = False  # our half: an answer that is still being made has nowhere to go
        self._is_gone = False  # the protocol was told
        self._is_blocked = False  # the socket takes no more for now, says the worker
        self._is_paused = False  # the protocol was told that, or that too much is on its way
        self._window = Window(to.listener.shared.limits.link_window_bytes)

    # What has happened to it

    def received(self, data: bytes) -> None:
        if not self._is_closing:
            self._alone(self._protocol.data_received, data)

    def happened(self, message: link.Up) -> None:
        """What the worker tells of it."""
        self._alone(self._heed, message)

    def _alone(self, call: Callable[[Any], None], what: Any) -> None:
        """As loops do it for a socket: what fails for one ends that one, and not the link of all."""
        try:
            call(what)
        except Exception:
            log.exception("a worker's socket failed: it is dropped", peer=self._peer)
            self.abort()

    def _heed(self, message: link.Up) -> None:
        match message:
            case link.Blocked():
                self._is_blocked = message.on
                self._pace()
            case link.Marked():
                if self._window.confirmed():
                    self._mark()
                self._pace()
            case link.Ended():
                if not self._is_closing and not self._protocol.eof_received():
                    self.close()
            case link.Overflowed():
                if isinstance(self._protocol, Connection):
                    self._protocol.on_overflow()
                else:
                    self.abort()
            case link.Lost():
                self.lost(None)

    def lost(self, exc: Exception | None) -> None:
        """The socket is gone. A protocol that fails at it is logged: a link that is lost has others to tell."""
        self._is_closing = True
        self._link.conns.pop(self._conn, None)
        if not self._is_gone:
            self._is_gone = True
            protocol, self._protocol = self._protocol, _NOBODY  # which holds us
            self._alone(protocol.connection_lost, exc)

    def pace(self) -> None:
        """The link has fallen behind, or has caught up."""
        self._alone(LinkTransport._pace, self)

    # As transports are

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `sslcontext` (that there is one), `queued_bytes`, and what makes the `outbox` of a WebSocket."""
        if name == "peername":
            return (self._peer, 0)
        if name == "sslcontext":
            return True if self._secured else default
        if name == "queued_bytes":
            return self._link.report.queued.get(self._conn, 0)
        return self._outbox if name == "outbox" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or self._has_ended:
            return
        if not self._link.takes(len(data)):
            log.warning("a worker is so far behind that a client of it is dropped", peer=self._peer, bytes=len(data))
            self.abort()
            return
        for start in range(0, len(data), WRITE_BYTES_MAX):
            self._link.send(link.carried(self._conn, bytes(data[start : start + WRITE_BYTES_MAX])))
        if self._window.sent(len(data)):
            self._mark()
        self._pace()

    def write_eof(self) -> None:
        self._has_ended = True
        self._shut("eof")

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._shut("close")

    def abort(self) -> None:
        if not self._is_gone:
            self._is_closing = True
            self._shut("abort")
            asyncio.get_running_loop().call_soon(self.lost, None)

    def is_closing(self) -> bool:
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)
        self._is_paused = False  # it was not told so: it is when it writes

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        self._link.send(link.control(link.Reading(self._conn, on=False)))

    def resume_reading(self) -> None:
        self._link.send(link.control(link.Reading(self._conn, on=True)))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The worker's: it says as soon as a byte is held back. A window bounds what is told before that is heard."""

    def get_write_buffer_size(self) -> int:
        return 0

    def _mark(self) -> None:
        self._link.send(link.control(link.Mark(self._conn)))

    def _pace(self) -> None:
        """Who speaks here is slowed down as by a socket of our own."""
        is_paused = self._is_blocked or self._window.is_full or self._link.is_behind
        if is_paused is self._is_paused:
            return
        self._is_paused = is_paused
        if is_paused:
            self._protocol.pause_writing()
        else:
            self._protocol.resume_writing()

    def _shut(self, how: str) -> None:
        self._link.send(link.control(link.Shut(self._conn, how)))

    # For the outbox of a WebSocket

    def _outbox(self, fanout: Fanout, owner: Any) -> AwayOutbox:
        self._link.send(link.control(link.Upgraded(self._conn)))
        limits = self._link.listener.shared.limits
        return AwayOutbox(fanout, self, owner, self, resend_bytes_max=limits.queue_append_bytes)

    def follows(self, form: Form) -> bool:
        return form in self._link.forms

    def follow(self, wanted: StreamId, stream: Stream) -> None:
        self._link.follow(wanted, stream)

    def attach(self, wanted: StreamId, form: Form, asked: Asked) -> None:
        self._link.attach(self._conn, wanted, form, asked)

    def detach(self, wanted: StreamId, form: Form) -> None:
        self._link.detach(self._conn, wanted, form)

    def left(self, wanted: StreamId) -> None:
        self._link.left(wanted)

    def finish(self, frame: bytes, *, drop: bool) -> None:
        self._link.send(link.control(link.Finish(self._conn, frame, drop)))
