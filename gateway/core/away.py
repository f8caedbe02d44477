"""A socket that a worker holds: what it subscribes to here, the worker gives it of its own copies.

Holds who is subscribed to which stream on which worker's socket, and what a resume would bring. Synchronous; must not
know links, messages on them, or dialects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form
from _speedups.outbox import Outbox
from gateway.core.key import PRIVATE_CHANNELS, PUBLIC_CHANNELS, Delivery, StreamId

if TYPE_CHECKING:
    from _speedups.outbox import Writer


class Asked(NamedTuple):
    """What an answer says of a subscription: where it stands; and what was asked for."""

    at: tuple[str, int]  # epoch and sequence
    resume: tuple[str, int] | None
    snapshot: bool
    replay: bool = True  # else what lies between `resume` and the newest state is announced


class Joined(Protocol):
    """The subscription of one socket, on the link to its worker."""

    def follows(self, form: Form) -> bool:
        """Whether the worker has this frame class too; else frames are made here."""

    def follow(self, wanted: StreamId, stream: Stream) -> None:
        """Have the worker copy it, until the subscription ends (`detach` or `left`)."""

    def attach(self, wanted: StreamId, form: Form, asked: Asked) -> None:
        """Have the worker give it to the socket."""

    def detach(self, wanted: StreamId, form: Form) -> None: ...
    def left(self, wanted: StreamId) -> None:
        """One subscription of a socket that ends: the worker needs not be told."""

    def finish(self, frame: bytes, *, drop: bool) -> None:
        """Let it be the last that is sent, by the worker."""


class AwayOutbox(Outbox):
    """The outbox of such a socket. What is queued here itself goes to the worker as bytes."""

    def __init__(self, fanout: Fanout, transport: Writer, owner: Any, joined: Joined, *, resend_bytes_max: int) -> None:
        """`resend_bytes_max`: what may wait here with what is sent again."""
        super().__init__(fanout, -1, transport, owner, counts_bytes=False)
        self._joined = joined
        self._streams: dict[tuple[StreamId, Form], Stream] = {}
        self._again: list[bytes] = []  # frames that go behind the next reply
        self._asked: dict[tuple[StreamId, Form], Asked] = {}  # given by the worker once the answer has left
        self._resend_bytes_max = resend_bytes_max
        self._last: bytes | None = None  # goes to the worker once nothing waits here
        self._is_gone = False

    def join(
        self, wanted: StreamId, stream: Stream, form: Form, *, resume: tuple[str, int] | None, snapshot: bool
    ) -> tuple[bool | None, int]:
        """As `Stream.attach`; what it brings comes behind the next reply, which says where it begins."""
        epoch, sequence = resume or (None, 0)
        if not self._joined.follows(form):
            return stream.attach(self, form, epoch=epoch, sequence=sequence, snapshot=snapshot)
        if (wanted, form) in self._streams:
            raise ValueError("already subscribed")
        if self._is_gone or self.finished:
            raise ValueError("the outbox takes nothing more")
        self._joined.follow(wanted, stream)
        self._streams[wanted, form] = stream
        self._asked[wanted, form] = Asked((stream.epoch, stream.sequence), resume, snapshot)
        if epoch is None:
            return None, 0
        missed = stream.ring(sequence) if epoch == stream.epoch and sequence <= stream.sequence else None
        return (False, 0) if missed is None else (True, len(missed))

    def part(self, wanted: StreamId, stream: Stream, form: Form | None) -> bool:
        """As `Stream.detach`."""
        for found, its_form in self._streams:
            if found == wanted and (form is None or its_form is form):
                del self._streams[found, its_form]
                if self._asked.pop((found, its_form), None) is None:
                    self._joined.detach(wanted, its_form)
                else:
                    self._joined.left(wanted)
                return True
        return stream.detach(self, form)

    def resend(self, wanted: StreamId, stream: Stream, first: int, last: int) -> int:
        """As `Stream.resend`; they go behind the next reply, which says how many.

        Their frames are made here: what the worker's copy still has, and what waits for the socket there, is not known.
        """
        form = next((its_form for found, its_form in self._streams if found == wanted), None)
        if form is None:
            return stream.resend(self, first, last)
        template = form.template(wanted)
        waits = self.queued_bytes + sum(map(len, self._again))
        count = 0
        for update in stream.ring(max(first, stream.oldest) - 1) or ():
            if update.sequence > last:
                break
            frame = form.finish(template.render(update, stream.epoch))
            if waits and waits + len(frame) > self._resend_bytes_max:
                break
            waits += len(frame)
            self._again.append(frame)
            count += 1
        return count

    def reply(self, frame: bytes) -> None:
        again, self._again = self._again, []
        if again:
            waits = self.blocked
            self.pause()  # they leave in as few calls as may be
            for each in (frame, *again):
                super().reply(each)
            if not waits:
                super().resume()
        else:
            super().reply(frame)
        self._let_in()

    def resume(self) -> None:
        super().resume()
        self._let_in()
        self._end_when_sent(drop=False)

    def finish(self, frame: bytes, *, drop: bool = False) -> None:
        if self.finished or self._is_gone:
            return
        self._leave()
        super().finish(b"", drop=drop)
        self._last = frame
        self._end_when_sent(drop=drop)

    def discard(self) -> None:
        self._is_gone = True
        self._last = None
        self._again = []
        self._leave()
        super().discard()

    def _let_in(self) -> None:
        """Once their answers have left, and not before: what an answer announces comes after it."""
        if self.blocked or not self._asked:
            return
        asked, self._asked = self._asked, {}
        for (wanted, form), each in asked.items():
            stream = self._streams[wanted, form]
            now = each._replace(at=(stream.epoch, stream.sequence))
            if each.at != now.at and each.resume is None:  # the answer has waited for a slow socket
                now = now._replace(resume=each.at, replay=not (each.snapshot and _is_state(wanted)))
            self._joined.attach(wanted, form, now)

    def _end_when_sent(self, *, drop: bool) -> None:
        """What waits here goes first, as the socket takes it: many may end at once."""
        if self._last is not None and not self.queued_bytes:
            last, self._last = self._last, None
            self._joined.finish(last, drop=drop)

    def _leave(self) -> None:
        self._asked = {}
        streams, self._streams = self._streams, {}
        for wanted, _ in streams:
            self._joined.left(wanted)


def _is_state(wanted: StreamId) -> bool:
    channel = PUBLIC_CHANNELS.get(wanted.key.channel) or PRIVATE_CHANNELS[wanted.key.channel]
    return channel.delivery is Delivery.STATE
