"""A key with its newest state and its lanes: one sequence for each (tier, batch) that somebody asked for.

Holds who gets which number when. Must not know sockets, sources or the encoding of an envelope.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from _speedups.book import Book, Changes
from _speedups.fanout import Fanout, Stream
from gateway.core.key import PRIVATE_CHANNELS, PUBLIC_CHANNELS, UNIFIED_CHANNELS, Delivery, Extent, Key, StreamId
from gateway.core.tiers import Every, Item, Levels, Metronome, Newest, Pending
from gateway.limits import Limits


def new_epoch() -> str:
    """A name that no earlier run or loss has used, so that an old position never passes for a current one."""
    return secrets.token_hex(5)


class Listener(Protocol):
    """Who hears a topic in this process, without a socket: every update as it comes, unthrottled and unnumbered."""

    def on_update(self, key: Key, item: Item) -> None: ...
    def on_lost(self, key: Key) -> None:
        """What was heard is not to be trusted any more, until the next update."""


class Topic:
    """The newest state of a key, its lanes, and who listens."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.channel = PUBLIC_CHANNELS.get(key.channel) or PRIVATE_CHANNELS[key.channel]
        self.lanes: dict[StreamId, Lane] = {}
        self.listeners: tuple[Listener, ...] = ()  # a new one at every change: who is told may stop listening
        self.newest: Item | None = None
        self.book: Book | None = None
        self.items_max = Extent.read(key.variant).size if key.channel in UNIFIED_CHANNELS else 0  # in one batch
        self._announced = False  # the last thing that happened was a loss

    def publish(self, item: Item, now_s: float) -> None:
        """Give an update to every lane."""
        self.newest = item
        self._announced = False
        for lane in self.lanes.values():
            lane.offer(item, now_s)
        for listener in self.listeners:
            listener.on_update(self.key, item)

    def lost(self, reason: str, now_s: float) -> None:
        """Continuity is gone: what happened before still goes out, then the gap; the old state is no longer served."""
        if self._announced:
            return  # and nothing was served since
        self._announced = True
        for lane in self.lanes.values():
            lane.emit(now_s)
        self.newest = None
        self.book = None
        for lane in self.lanes.values():
            lane.stream.reset(new_epoch(), reason)
        for listener in self.listeners:
            listener.on_lost(self.key)

    def state(self) -> tuple[bytes, int | None, int] | None:
        """The whole state now, as a stream's snapshot: (data, t_ex, t_in)."""
        if self.newest is None or self.channel.delivery is not Delivery.STATE:
            return None
        if self.book is not None:
            return self.book.snapshot(self.key.symbol, self.key.exchange), self.newest.t_ex, self.newest.t_in
        assert isinstance(self.newest.data, bytes)
        return self.newest.data, self.newest.t_ex, self.newest.t_in


class Lane:
    """One sequence of a topic: at once for tier 0, else at most one tick an interval, the first one at once."""

    def __init__(
        self,
        topic: Topic,
        stream_id: StreamId,
        *,
        fanout: Fanout,
        metronome: Metronome,
        limits: Limits,
        on_idle: Callable[[Lane], None],
    ) -> None:
        self.topic = topic
        self.id = stream_id
        self._metronome = metronome
        self._at_once = stream_id.tier_ms == 0
        self._interval_s = stream_id.tier_ms / 1000
        self._due_s = 0.0
        self._waiting = False
        self._batch_items_max = topic.items_max or limits.batch_items_max
        self._pending = self._make_pending()
        self.stream = Stream(
            fanout,
            stream_id,
            new_epoch(),
            delivery=int(topic.channel.delivery),
            deltas=topic.channel.name == "book",
            snapshot=self._snapshot,
            on_idle=lambda: on_idle(self),
            timed=self._at_once,
            ring_depth_updates=limits.ring_depth_updates,
            ring_bytes_max=limits.ring_bytes_max,
        )
        known = self._snapshot()
        if known is not None:
            self.stream.publish(*known)  # number 1: a state that is known already is the first of the epoch

    def close(self) -> None:
        """Only a tick that was due comes after this. Lane and stream held each other: freed without the collector."""
        self._pending.drain()
        del self.stream

    def _make_pending(self) -> Pending:
        if self.topic.channel.name == "book":
            return Levels()
        if self.id.batch or self.topic.channel.delivery is not Delivery.STATE:
            return Every()
        return Newest()

    def offer(self, item: Item, now_s: float) -> None:
        """Send an item now, or keep it for the next tick."""
        if self._at_once:
            data = item.data
            self.stream.publish(data if type(data) is bytes else self._data(item), item.t_ex, item.t_in)
            return
        self._pending.put(item)
        if len(self._pending) >= self._batch_items_max:
            self.emit(now_s)
        elif not self._waiting:
            if now_s >= self._due_s and not self.id.batch:
                self.emit(now_s)
            else:
                self._waiting = True
                due_s = now_s + self._interval_s if now_s >= self._due_s else self._due_s
                self._metronome.at(due_s, self._tick)

    def _tick(self, now_s: float) -> None:
        self._waiting = False
        self.emit(now_s)

    def emit(self, now_s: float) -> None:
        """Send what gathered."""
        items = self._pending.drain()
        if not items:
            return
        self._due_s = now_s + self._interval_s
        if self.id.batch:
            data = b"[" + b",".join(self._data(item) for item in items) + b"]"
            self.stream.publish(data, items[-1].t_ex, items[-1].t_in)
        else:
            for item in items:
                self._publish(item)

    def _publish(self, item: Item) -> None:
        self.stream.publish(self._data(item), item.t_ex, item.t_in)

    def _data(self, item: Item) -> bytes:
        if not isinstance(item.data, Changes):
            return item.data
        book, key = self.topic.book, self.topic.key
        assert book is not None, "changes without a book"
        if self.stream.sequence == 0:  # the first number of an epoch carries the whole state
            return book.snapshot(key.symbol, key.exchange)
        return item.data.data(key.symbol, key.exchange, self.stream.sequence, book.checksum())

    def _snapshot(self) -> tuple[bytes, int | None, int] | None:
        state = self.topic.state()
        if state is None or not self.id.batch:
            return state
        return b"[" + state[0] + b"]", state[1], state[2]
