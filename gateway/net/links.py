"""The first process's end of a link: which sockets a worker has, and which streams it copies.

A socket's protocols are those of the first process's own sockets, so requests, limits, credentials and the end of a
connection are decided as ever. The worker writes everything, and frames what streams bring whose frame class it has,
too. Must not know processes, dialects, or what a request says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import structlog

from _speedups.outbox import Outbox
from gateway.net.link_transport import LinkTransport
from gateway.net.listener import Door, Listener
from gateway.wire import link
from gateway.wire.link import LinkError, LinkForm

if TYPE_CHECKING:
    from _speedups.fanout import Fanout, Stream
    from _speedups.frame import Form
    from gateway.core.away import Asked
    from gateway.core.hub import Timer
    from gateway.core.key import StreamId

log = structlog.get_logger(__name__)

# What may wait for a worker, in what may wait for a client (`queue_state_bytes` and so on): it has the replies and the
# updates of all its clients, and is to stand still for a moment without losing any. With the defaults 4 MiB may wait
# when states are left out, 16 MiB when trades are, and 64 MiB when it is given up.
ROOM: Final = 64


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
        self.bytes = 0  # of replies and of what the worker is told to do; what streams bring is not in it
        self.heard = 0  # how often anything has come
        self._form = form
        self._begun = begun
        self._followed: dict[StreamId, Followed] = {}
        self._reader = link.Reader()
        self._call_later = call_later
        self._linger_s = listener.shared.limits.linger_s
        self._share = ROOM // 2 * listener.shared.limits.queue_bytes_max  # while no more waits, sockets are told more
        self._is_lost = False
        self._is_behind = False  # more waits for the worker: who speaks to its sockets waits, too
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
            if self._is_behind and self.outbox.queued_bytes <= self._share:
                self._is_behind = False
                self._pace()

    def on_overflow(self) -> None:
        """For the outbox: more waits than may. Its clients come back to another."""
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
            if not self._is_behind and self.outbox.queued_bytes > self._share:
                self._is_behind = True
                self._pace()

    @property
    def is_behind(self) -> bool:
        """Whether its sockets are to be told nothing more for now: all their windows may be more than may wait here."""
        return self._is_behind

    def takes(self, size: int) -> bool:
        """Whether so many bytes for one socket may wait as well: one large answer is not to cost all their link.

        What one socket may be told in any case (`queue_bytes_max`) is not asked about: who is told that waits instead.
        """
        share = self.listener.shared.limits.queue_bytes_max
        if size <= share or self.outbox is None or not self.outbox.queued_bytes:
            return True
        return self.outbox.queued_bytes + size <= self._share

    def close(self) -> None:
        """End the link: the worker says goodbye to its clients, and ends."""
        if self._transport is not None:
            self._transport.abort()

    # For its sockets

    def follow(self, wanted: StreamId, stream: Stream) -> None:
        """One more subscription to a stream: the worker copies it."""
        followed = self._followed.get(wanted) or self._follow(wanted, stream)
        followed.readers += 1
        if followed.timer is not None:
            followed.timer.cancel()
            followed.timer = None

    def attach(self, conn: int, wanted: StreamId, form: Form, asked: Asked) -> None:
        """Have the worker give this socket a stream that it copies."""
        followed = self._followed.get(wanted)
        if followed is None:
            return  # the link is lost
        told = link.Attach(
            conn, followed.number, self.forms[form], *asked.at, asked.resume, asked.snapshot, asked.replay
        )
        self.send(link.control(told))

    def detach(self, conn: int, wanted: StreamId, form: Form) -> None:
        """End it. Behind its last reader the stream is copied for a while longer."""
        followed = self._followed.get(wanted)
        if followed is None:
            return  # the link is lost
        self.send(link.control(link.Detach(conn, followed.number, self.forms[form])))
        self.left(wanted)

    def left(self, wanted: StreamId) -> None:
        """One reader less, and the worker knows or needs not be told: the socket ends, or was never given it."""
        followed = self._followed.get(wanted)
        if followed is None:
            return
        followed.readers -= 1
        if not followed.readers:
            followed.timer = self._call_later(self._linger_s, lambda: self._unfollow(wanted))

    # Within

    def _pace(self) -> None:
        for transport in list(self.conns.values()):
            transport.pace()

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
    """A worker's socket whose first request is still being read: the worker has read a PROXY header, and speaks TLS."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.counts["accepted"] += 1
        if self._count_as(transport.get_extra_info("peername")[0]):
            self._enter()
