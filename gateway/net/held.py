"""A client's socket in a worker: what it says is passed on, what it is told is written, and streams are given to it.

Holds when it may be written to and how it ends. Must not know what is said, nor who decides it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from _speedups.frame import close_frame
from _speedups.outbox import Outbox
from gateway.core.mirror import Mirror, Waiting
from gateway.errors import Close
from gateway.net.port import Entrance, Port
from gateway.wire import link

if TYPE_CHECKING:
    from _speedups.frame import Form

TURN_BYTES: Final = 65_536  # after a read of this size the others get a turn


class Holder(Protocol):
    """The worker, as far as it matters here."""

    mirrors: dict[int, Mirror]
    forms: Sequence[Form]
    is_blocked: bool
    waiting: set[Held]

    def send(self, message: bytes) -> None:
        """A framed message to the first process."""

    def enter(self, held: Held) -> int:
        """The number of a new socket."""

    def leave(self, conn: int, held: Held) -> None:
        """It is gone."""


class HeldEntrance(Entrance):
    """A socket that has not said anything yet."""

    __slots__ = ("_worker",)

    def __init__(self, port: Port, worker: Holder) -> None:
        super().__init__(port)
        self._worker = worker

    def _take(self, data: bytes) -> None:
        self._leave()
        held = Held(self._worker, self._transport, self._port, self._peer, self._counted)
        self._transport.set_protocol(held)
        held.data_received(data)


class Held(asyncio.Protocol):
    """A client's socket."""

    __slots__ = (
        *("_awaited", "_conn", "_counted", "_ending", "_is_full", "_is_left", "_is_refused", "_is_stopped"),
        *("_owes_mark", "_port", "_upgraded", "_worker", "outbox", "transport"),
    )

    def __init__(
        self, worker: Holder, transport: asyncio.Transport, port: Port, peer: str, counted: str | None
    ) -> None:
        """`counted`: the address it is counted under."""
        self.transport = transport
        self._worker = worker
        self._port = port
        self._counted = counted
        self._upgraded = False
        self._is_full = False  # the socket takes no more for now
        self._owes_mark = False  # that what was sent to it has room here
        self._awaited: set[tuple[int, int]] | None = None  # streams and forms of which it may wait to be let in
        self._is_left = False  # nobody is there to say that it ends with its client's half
        self._is_refused = False  # it takes no place any more, and is to read why
        self._is_stopped = False  # the first process wants to read no more
        self._ending = ""  # how the socket ends once all is sent
        transport.set_write_buffer_limits(high=0)
        # Under TLS the kernel is not to be given what is not encrypted: the transport does that
        is_secured = transport.get_extra_info("sslcontext") is not None
        fd = -1 if is_secured else transport.get_extra_info("socket").fileno()
        self.outbox = Outbox(port.shared.fanout, fd, transport, self)
        self._conn = worker.enter(self)
        worker.send(link.control(link.Opened(self._conn, peer, is_secured)))

    # For the loop

    def data_received(self, data: bytes) -> None:
        self._worker.send(link.carried(self._conn, data))
        if self._worker.is_blocked:
            self.transport.pause_reading()
            self._worker.waiting.add(self)
        elif len(data) >= TURN_BYTES:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.read_on)

    def eof_received(self) -> bool:
        self._worker.send(link.control(link.Ended(self._conn)))
        return not self._is_left

    def pause_writing(self) -> None:
        self._is_full = True
        self.outbox.pause()
        self._worker.send(link.control(link.Blocked(self._conn, on=True)))

    def resume_writing(self) -> None:
        self._is_full = False
        # Said first: what waits here may fill it again, and that is to be the last word
        self._worker.send(link.control(link.Blocked(self._conn, on=False)))
        self.outbox.resume()
        self._confirm()
        self._end_when_sent()

    def connection_lost(self, exc: Exception | None) -> None:
        self.outbox.discard()
        for number, _ in self._awaited or ():  # thousands may go at once, and there may be as many streams
            if (mirror := self._worker.mirrors.get(number)) is not None:
                mirror.gone(self.outbox)
        if self._is_refused:
            self._port.refused.remove(self)
            self._port.admission.leave_refused(self._counted)
        else:
            self._port.admission.leave(self._counted)
        self._worker.leave(self._conn, self)

    def on_overflow(self) -> None:
        """For the outbox: more waits than may."""
        self._worker.send(link.control(link.Overflowed(self._conn)))

    # For the worker

    def read_on(self) -> None:
        """The first process takes more again."""
        if not self._is_stopped and not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Drop the socket at once."""
        self.transport.abort()

    def write(self, data: bytes) -> None:
        """Whole frames, ahead of what streams bring; or HTTP, which may be more than may wait of frames."""
        if self._upgraded:
            self.outbox.reply(data)
        elif not self._ending and not self.transport.is_closing():
            self.transport.write(data)

    def told(self, message: link.Told) -> None:
        """What is to become of it."""
        if isinstance(message, link.Attach):
            self._attach(message)
        elif isinstance(message, link.Detach):
            self._detach(message)
        elif isinstance(message, link.Upgraded):
            self._upgraded = True
        elif isinstance(message, link.Mark):
            self._owes_mark = True
            self._confirm()
        elif isinstance(message, link.Reading):
            self._is_stopped = not message.on
            if message.on:
                self.read_on()
            elif not self.transport.is_closing():
                self.transport.pause_reading()
        elif isinstance(message, link.Finish):
            self.outbox.finish(message.frame, drop=message.drop)
        else:
            self._shut(message.how)

    def goodbye(self, said: bytes) -> None:
        """Nobody is there to decide anything any more."""
        if not self._upgraded:
            self.transport.abort()
            return
        self.outbox.reply(said)
        self.outbox.finish(close_frame(Close.GOING_AWAY, "the gateway has ended"))
        self._shut("eof")
        self._is_left = True

    # Within

    def _attach(self, message: link.Attach) -> None:
        mirror = self._worker.mirrors.get(message.number)
        if mirror is None or self.outbox.finished:
            return
        form = self._worker.forms[message.form]
        at = (message.epoch, message.sequence)
        if mirror.attach(Waiting(self.outbox, form, *at, message.resume, message.snapshot, self.abort, message.replay)):
            self._awaited = self._awaited or set()
            self._awaited.add((message.number, message.form))

    def _detach(self, message: link.Detach) -> None:
        mirror = self._worker.mirrors.get(message.number)
        if mirror is None:
            return
        mirror.detach(self.outbox, self._worker.forms[message.form])
        if self._awaited:
            self._awaited.discard((message.number, message.form))

    def _confirm(self) -> None:
        """Answer the mark once so little waits that what comes next has room.

        That much market data may wait, too, so an answer is never behind it for good.
        """
        if not self._owes_mark:
            return
        few = self._upgraded and self.outbox.queued_bytes <= self._port.shared.limits.queue_append_bytes
        if few or not self._is_full:
            self._owes_mark = False
            self._worker.send(link.control(link.Marked(self._conn)))

    def _shut(self, how: str) -> None:
        if how == "abort":
            self.transport.abort()
            return
        self._ending = how
        if how == "eof" and not self._upgraded and not self._is_refused:
            self._refuse()
        self.outbox.finish(b"")  # it is subscribed to nothing any more
        self._end_when_sent()

    def _refuse(self) -> None:
        """Of who is no WebSocket only those have their half left whom the first process has refused."""
        self._is_refused = True
        self._port.admission.refuse(self._counted, len(self._port.refused))
        self._port.refused.add(self)

    def _end_when_sent(self) -> None:
        if not self._ending or self.outbox.queued_bytes or self.outbox.blocked or self.transport.is_closing():
            return
        if self._ending == "eof" and self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.outbox.discard()
            self.transport.close()
