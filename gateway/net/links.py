"""The first process's end of a link: a worker's sockets as transports here, and streams that the worker copies.

Holds which sockets a worker has and which streams it follows. A socket's protocols are those of the first process's own
sockets, so requests, limits, credentials and the end of a connection are decided as ever; only what a stream brings is
framed and written by the worker. Must not know processes, dialects, or what a request says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from _speedups.outbox import Outbox
from gateway.core.away import AwayOutbox
from gateway.net.connection import Connection
from gateway.net.listener import Door, Listener
from gateway.wire import link
from gateway.wire.link import LinkError, LinkForm

if TYPE_CHECKING:
    from _speedups.fanout import Fanout, Stream
    from _speedups.frame import Form
    from gateway.core.hub import Timer
    from gateway.core.key import StreamId

log = structlog.get_logger(__name__)

# What may wait for a worker, in what may wait for a client (`queue_state_bytes` and so on): one that stands still for
# a second is not to lose anything, and it has the replies and the updates of all its clients.
ROOM: Final = 64
WRITE_BYTES_MAX: Final = 1 << 25  # of one message


class Followed:
    """A stream that the worker copies."""

    __slots__ = ("number", "readers", "stream", "timer")

    def __init__(self, number: int, stream: Stream) -> None:
        self.number = number
        self.stream = stream
        self.readers = 0
        self.timer: Timer | None = None  # it is followed a while longer than it is read


class Link(asyncio.Protocol):
    """One worker."""

    def __init__(
        self,
        listener: Listener,
        fanout: Fanout,
        forms: Mapping[Form, int],
        form: LinkForm,
        begun: Callable[[], None],
        call_later: Callable[..., Timer],
    ) -> None:
        """`forms`: the frame classes that workers have too; `form`: of all links; `begun`: it takes connections."""
        self.lost = asyncio.Event()
        self.listener = listener
        self.fanout = fanout
        self.forms = forms
        self.report = link.Report({}, [], {}, 0, 0, 0, {})
        self.conns: dict[int, LinkTransport] = {}
        self.bytes = 0  # sent as requests and replies; what streams bring is not in it
        self.heard = 0  # how often anything has come
        self._form = form
        self._begun = begun
        self._followed: dict[StreamId, Followed] = {}
        self._reader = link.Reader()
        self._call_later = call_later
        self._linger_s = listener.shared.limits.linger_s
        self._is_lost = False
        self._transport: asyncio.Transport | None = None
        self.outbox: Outbox | None = None

    # For the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        fd = transport.get_extra_info("socket").fileno()
        self.outbox = Outbox(
            self.fanout, fd, self._transport, self, room=ROOM, counts_messages=False, counts_bytes=False
        )

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        try:
            for payload in self._reader.feed(data):
                self._take(link.up(payload))
        except LinkError as error:
            log.error("a worker says what it cannot mean", error=str(error))
            self.close()

    def pause_writing(self) -> None:
        if self.outbox is not None:
            self.outbox.pause()

    def resume_writing(self) -> None:
        if self.outbox is not None:
            self.outbox.resume()

    def on_overflow(self) -> None:
        """For the outbox: it reads nothing any more. Its clients come back to another."""
        log.error("a worker does not read: it is given up")
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.lost.set()
        if self.outbox is not None:
            self.outbox.discard()
        for wanted, followed in self._followed.items():
            if followed.timer is not None:
                followed.timer.cancel()
            self._form.release(wanted)
        self._followed.clear()
        conns, self.conns = self.conns, {}
        for transport in conns.values():
            transport.lost(exc)

    # For the supervisor

    @property
    def streams(self) -> int:
        """How many it copies."""
        return len(self._followed)

    def send(self, message: bytes) -> None:
        """A framed message, ahead of what streams bring."""
        if self.outbox is not None and not self._is_lost:
            self.bytes += len(message)
            self.outbox.reply(message)

    def takes(self, size: int) -> bool:
        """Whether so many bytes for one socket may wait as well: one answer is not to cost all clients their link."""
        share = self.listener.shared.limits.queue_bytes_max
        if size <= share or self.outbox is None or not self.outbox.queued_bytes:
            return True
        return self.outbox.queued_bytes + size <= ROOM // 2 * share

    def close(self) -> None:
        """Give the worker up: it ends, and its clients with it."""
        if self._transport is not None:
            self._transport.abort()

    # For its sockets

    def attach(
        self, conn: int, wanted: StreamId, stream: Stream, form: Form, resume: tuple[str, int] | None, snapshot: bool
    ) -> None:
        """Have the worker give this socket a stream."""
        followed = self._followed.get(wanted) or self._follow(wanted, stream)
        followed.readers += 1
        if followed.timer is not None:
            followed.timer.cancel()
            followed.timer = None
        at = (stream.epoch, stream.sequence)
        self.send(link.control(link.Attach(conn, followed.number, self.forms[form], *at, resume, snapshot)))

    def detach(self, conn: int, wanted: StreamId, form: Form) -> None:
        """End it; the stream is copied for a while longer."""
        followed = self._followed.get(wanted)
        if followed is None:
            return  # the link is lost
        self.send(link.control(link.Detach(conn, followed.number, self.forms[form])))
        self.left(wanted)

    def left(self, wanted: StreamId) -> None:
        """A socket that ends was subscribed to it."""
        followed = self._followed.get(wanted)
        if followed is None:
            return
        followed.readers -= 1
        if not followed.readers:
            followed.timer = self._call_later(self._linger_s, lambda: self._unfollow(wanted))

    def resend(self, conn: int, wanted: StreamId, first: int, last: int) -> None:
        """Have numbers sent again."""
        followed = self._followed.get(wanted)
        if followed is not None:
            self.send(link.control(link.Resend(conn, followed.number, first, last)))

    # Within

    def _follow(self, wanted: StreamId, stream: Stream) -> Followed:
        assert self.outbox is not None
        followed = self._followed[wanted] = Followed(self._form.acquire(wanted), stream)
        begins = stream.oldest - 1
        is_book = wanted.key.channel == "book" and stream.sequence > 0  # whose ring may begin behind its state
        found = stream.snapshot() if is_book and stream.snapshot is not None else None
        state = None if found is None else link.State(stream.sequence, *found)
        self.send(link.control(link.Follow(followed.number, wanted, stream.epoch, begins, state)))
        stream.attach(self.outbox, self._form, epoch=stream.epoch, sequence=begins)
        return followed

    def _unfollow(self, wanted: StreamId) -> None:
        followed = self._followed.pop(wanted)
        assert self.outbox is not None
        followed.stream.detach(self.outbox, self._form)
        self._form.release(wanted)
        self.send(link.control(link.Unfollow(followed.number)))

    def _take(self, message: link.Bytes | link.Up) -> None:
        match message:
            case link.Bytes():
                if (transport := self.conns.get(message.conn)) is not None:
                    transport.received(message.data)
            case link.Opened():
                self._open(message)
            case link.Listening():
                self._begun()
            case link.Report():
                self.report = message
            case _:
                if (transport := self.conns.get(message.conn)) is not None:
                    transport.happened(message)

    def _open(self, opened: link.Opened) -> None:
        if opened.conn in self.conns:
            raise LinkError("a socket that is open already")
        door = LinkedDoor(self.listener)
        self.conns[opened.conn] = transport = LinkTransport(self, opened, door)
        door.connection_made(transport)


class LinkedDoor(Door):
    """A worker's socket whose first request is still being read: of TLS and proxies it has read all."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.counts["accepted"] += 1
        if self._count_as(transport.get_extra_info("peername")[0]):
            self._enter()


class LinkTransport(asyncio.Transport):
    """A worker's socket."""

    __slots__ = ("_conn", "_is_closing", "_is_gone", "_link", "_peer", "_protocol", "_secured")

    def __init__(self, to: Link, opened: link.Opened, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._link = to
        self._conn = opened.conn
        self._peer = opened.peer
        self._secured = opened.secured
        self._protocol = protocol
        self._is_closing = False
        self._is_gone = False  # the protocol was told

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
                if message.on:
                    self._protocol.pause_writing()
                else:
                    self._protocol.resume_writing()
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
        """The socket is gone."""
        self._is_closing = True
        self._link.conns.pop(self._conn, None)
        if not self._is_gone:
            self._is_gone = True
            self._protocol.connection_lost(exc)

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
        if self._is_closing:
            return
        if not self._link.takes(len(data)):
            log.warning("a worker is so far behind that a client of it is dropped", peer=self._peer, bytes=len(data))
            self.abort()
            return
        for start in range(0, len(data), WRITE_BYTES_MAX):
            self._link.send(link.carried(self._conn, bytes(data[start : start + WRITE_BYTES_MAX])))

    def write_eof(self) -> None:
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

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        self._link.send(link.control(link.Reading(self._conn, on=False)))

    def resume_reading(self) -> None:
        self._link.send(link.control(link.Reading(self._conn, on=True)))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The worker's: it says as soon as a byte is held back."""

    def get_write_buffer_size(self) -> int:
        return 0

    def _shut(self, how: str) -> None:
        self._link.send(link.control(link.Shut(self._conn, how)))

    # For the outbox of a WebSocket

    def _outbox(self, fanout: Fanout, owner: Any) -> AwayOutbox:
        self._link.send(link.control(link.Upgraded(self._conn)))
        return AwayOutbox(fanout, self, owner, self)

    def follows(self, form: Form) -> bool:
        return form in self._link.forms

    def attach(
        self, wanted: StreamId, stream: Stream, form: Form, resume: tuple[str, int] | None, snapshot: bool
    ) -> None:
        self._link.attach(self._conn, wanted, stream, form, resume, snapshot)

    def detach(self, wanted: StreamId, form: Form) -> None:
        self._link.detach(self._conn, wanted, form)

    def left(self, wanted: StreamId) -> None:
        self._link.left(wanted)

    def resend(self, wanted: StreamId, first: int, last: int) -> None:
        self._link.resend(self._conn, wanted, first, last)

    def finish(self, frame: bytes, *, drop: bool) -> None:
        self._link.send(link.control(link.Finish(self._conn, frame, drop)))
