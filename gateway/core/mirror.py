"""A worker's copy of a stream: its numbers and ring are those of the first process's, its subscribers its own.

Holds what a snapshot says here, and who waits for the copy to come to where they were told they stand. Synchronous;
must not know sockets, links, or where updates come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec
import structlog

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form
from _speedups.outbox import Outbox
from gateway.core.key import PRIVATE_CHANNELS, PUBLIC_CHANNELS, Delivery, StreamId
from gateway.limits import Limits

log = structlog.get_logger(__name__)

FOLD_AFTER: Final = 64  # updates of a book that wait to be put into its state
BEHIND: Final = "resync"  # why numbers do not come that the first process has given

_Side = list[tuple[msgspec.Raw, msgspec.Raw]]  # price and size as they are written


class _Levels(msgspec.Struct):
    """A book's state or its touched prices; what else is in them goes along."""

    symbol: msgspec.Raw
    exchange: msgspec.Raw
    bids: _Side
    asks: _Side
    checksum: msgspec.Raw


_LEVELS: Final = msgspec.json.Decoder(_Levels)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()


class Known(NamedTuple):
    """What the state was as of a number."""

    sequence: int
    data: bytes
    t_ex: int | None  # ms
    t_in: int  # ns


class Waiting(NamedTuple):
    """Somebody who was told that they stand at `epoch` and `sequence`, and has `resume`; without `replay` they want
    the newest state only, and what lies before it announced.

    `failed` is called when they cannot be let in: it is not to cost the others theirs.
    """

    outbox: Outbox
    form: Form
    epoch: str
    sequence: int
    resume: tuple[str, int] | None
    snapshot: bool
    failed: Callable[[], None]
    replay: bool = True


class Mirror:
    """One stream, as far as it has come here."""

    def __init__(
        self, fanout: Fanout, limits: Limits, wanted: StreamId, epoch: str, sequence: int, known: Known | None
    ) -> None:
        """It goes on behind `sequence`; `known`: the state of a book that began before."""
        channel = PUBLIC_CHANNELS.get(wanted.key.channel) or PRIVATE_CHANNELS[wanted.key.channel]
        self.id = wanted
        self._is_state = channel.delivery is Delivery.STATE
        self._deltas = channel.name == "book"
        self._known = known
        self._touched: list[Known] = []  # of a book: what has changed since
        self._waiting: list[Waiting] = []
        self.stream = Stream(
            fanout,
            wanted,
            epoch,
            delivery=int(channel.delivery),
            deltas=self._deltas,
            snapshot=self.state,
            timed=wanted.tier_ms == 0,
            ring_depth_updates=limits.ring_depth_updates,
            ring_bytes_max=limits.ring_bytes_max,
            sequence=sequence,
        )

    # What the first process tells

    def publish(self, update: Known, *, is_whole: bool) -> None:
        """One numbered update. Raises ValueError for one that does not follow the one before."""
        sequence = self.stream.sequence + 1
        if update.sequence != sequence:
            if update.sequence < sequence:
                return  # the state again, for who had missed nothing
            raise ValueError(f"number {update.sequence} comes where {sequence} is next")
        if not self._deltas:
            self._known = update
        elif is_whole:
            self._known, self._touched = update, []
        elif self._known is None or sequence > self._known.sequence:
            self._touched.append(update)
            if len(self._touched) >= FOLD_AFTER:
                self._fold()
        if is_whole and self._deltas:
            self.stream.publish_whole(update.data, update.t_ex, update.t_in)
        else:
            self.stream.publish(update.data, update.t_ex, update.t_in)
        self._let_in()

    def skip(self, last: int) -> None:
        """Numbers up to this one do not come: the link was behind."""
        if last > self.stream.sequence:
            self._forget()
            self.stream.skip(last, BEHIND)
            self._let_in()

    def reset(self, epoch: str, reason: str) -> None:
        """A new epoch begins; who waits in another has lost what was to come of it."""
        self._forget()
        self.stream.reset(epoch, reason)
        waiting, self._waiting = self._waiting, []
        for who in waiting:
            if who.epoch == epoch:
                self.attach(who)
            else:
                self._join(who)

    # Who reads it here

    def attach(self, who: Waiting) -> bool:
        """Give them what comes behind their position, once the copy has come there. Whether they wait for that."""
        waits = self._is_ahead(who)
        if waits:
            self._waiting.append(who)
        else:
            self._join(who)
        return waits

    def detach(self, outbox: Outbox, form: Form) -> None:
        self._waiting = [each for each in self._waiting if each.outbox is not outbox or each.form is not form]
        self.stream.detach(outbox, form)

    def gone(self, outbox: Outbox) -> None:
        """Its socket is: it waits no more."""
        self._waiting = [each for each in self._waiting if each.outbox is not outbox]

    def state(self) -> tuple[bytes, int | None, int] | None:
        """The whole state now, as a stream's snapshot: (data, t_ex, t_in)."""
        if not self._is_state:
            return None
        if self._touched:
            self._fold()
        known = self._known
        return None if known is None else (self._as_one(self._items(known)[-1]), known.t_ex, known.t_in)

    # Within

    def _forget(self) -> None:
        self._known = None
        self._touched = []

    def _fold(self) -> None:
        if self._known is not None:
            changes = (data for each in self._touched for data in self._items(each))
            data = folded(self._items(self._known)[-1], changes)
            self._known = self._touched[-1]._replace(data=self._as_one(data))
        self._touched = []

    def _items(self, known: Known) -> list[bytes]:
        return [bytes(item) for item in _ITEMS.decode(known.data)] if self.id.batch else [known.data]

    def _as_one(self, data: bytes) -> bytes:
        return b"[" + data + b"]" if self.id.batch else data

    def _is_ahead(self, who: Waiting) -> bool:
        """Whether their position is to come: requests overtake updates, so of another epoch we shall hear."""
        return who.epoch != self.stream.epoch or who.sequence > self.stream.sequence

    def _let_in(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for who in waiting:
                self.attach(who)

    def _join(self, who: Waiting) -> None:
        resume = who.resume
        stands = (who.epoch, who.sequence)
        if resume is None and stands != (self.stream.epoch, self.stream.sequence):
            resume = stands  # what has come since is theirs too
        epoch, sequence = resume or (None, 0)
        if who.outbox.finished:
            return
        try:
            self.stream.attach(
                who.outbox, who.form, epoch=epoch, sequence=sequence, snapshot=who.snapshot, replay=who.replay
            )
        except Exception:
            log.exception("a socket cannot be given a stream", stream=str(self.id))
            who.failed()


def folded(state: bytes, changes: Iterable[bytes]) -> bytes:
    """A book's state after changes: prices and sizes are written as they were, the best first."""
    book = _LEVELS.decode(state)
    sides = [{bytes(price): (price, size) for price, size in side} for side in (book.bids, book.asks)]
    for data in changes:
        touched = _LEVELS.decode(data)
        book.checksum = touched.checksum
        for side, levels in zip(sides, (touched.bids, touched.asks), strict=True):
            for price, size in levels:
                if float(bytes(size)):
                    side[bytes(price)] = (price, size)
                else:
                    side.pop(bytes(price), None)
    book.bids, book.asks = (
        [side[price] for price in sorted(side, key=float, reverse=is_bids)]
        for side, is_bids in zip(sides, (True, False), strict=True)
    )
    return _ENCODER.encode(book)
