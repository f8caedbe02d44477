"""Who listens to what: topics, their lanes, and the one watch of each key.

Holds the only map from keys to subscribers. Synchronous; never looks inside `data`, never touches a socket, and knows
sources only by the three calls of `Watcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from _speedups.book import Book, Changes
from _speedups.fanout import Fanout
from _speedups.frame import Form
from _speedups.outbox import Outbox
from gateway.core.away import AwayOutbox
from gateway.core.key import EVERY, OWN, Key, StreamId, stream_id
from gateway.core.tiers import Item, Metronome
from gateway.core.topic import Lane, Listener, Topic
from gateway.errors import TickwireError
from gateway.limits import Limits


class Watcher(Protocol):
    """What the hub needs of a source: start and stop the one watch of a key."""

    def acquire(self, key: Key) -> None: ...
    def release(self, key: Key) -> None: ...


class Clock(Protocol):
    """The part of an event loop that the hub uses."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None]) -> object: ...
    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


class Subscribed(NamedTuple):
    """Where a subscriber stands: its stream, the position in it, and how a resume went (None: not asked)."""

    id: StreamId
    epoch: str
    sequence: int
    recovered: bool | None
    replayed: int


class Hub:
    """A connection that goes needs no call here: discarding its outbox leaves every stream."""

    def __init__(self, fanout: Fanout, clock: Clock, limits: Limits, sources: Mapping[str, Watcher]) -> None:
        self._fanout = fanout
        self._clock = clock
        self._limits = limits
        self._sources = sources
        self._metronome = Metronome(clock.call_at)
        self._topics: dict[Key, Topic] = {}
        self._lingering: dict[StreamId | Key, Timer] = {}  # lanes without subscribers, topics nobody listens to now
        self._lanes = {False: 0, True: 0}  # by whether they are `_is_named`
        self._closed = False
        self.late = 0  # updates for a key nobody watches any more

    # --- from sources -------------------------------------------------------------------------------------------

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        """One update; `data` is a finished JSON object, `t_ex` ms, `t_in` ns. A `final` one is never conflated away."""
        topic = self._topics.get(key)
        if topic is None:
            self.late += 1
            return
        topic.publish(Item(data, t_ex, t_in, final), self._clock.time())

    def announce(self, channel: str, symbols: Iterable[str], data: bytes, t_in: int) -> None:
        """What a publisher tells of these symbols: on the stream of each of them, and on that of all."""
        for symbol in (*symbols, EVERY):
            topic = self._topics.get(Key(OWN, channel, symbol))
            if topic is not None:  # else nobody wants to know
                topic.publish(Item(data, None, t_in), self._clock.time())

    def publish_book(self, key: Key, changes: Changes, book: Book, *, t_ex: int | None, t_in: int) -> None:
        """A book has changed: `book` is its state now, `changes` what was touched since the last call."""
        topic = self._topics.get(key)
        if topic is None:
            self.late += 1
            return
        topic.book = book
        topic.publish(Item(changes, t_ex, t_in), self._clock.time())

    def settle(self) -> None:
        """All that came together has been published: it may leave before the loop's next turn."""
        self._fanout.settle()

    def lost(self, key: Key, reason: str) -> None:
        """Continuity of a key is gone: announce it now, serve nothing old, start a new epoch."""
        topic = self._topics.get(key)
        if topic is not None:
            topic.lost(reason, self._clock.time())

    # --- from sessions ------------------------------------------------------------------------------------------

    def subscribe(
        self,
        outbox: Outbox,
        key: Key,
        *,
        form: Form,
        tier_ms: int = 0,
        batch: bool = False,
        resume: tuple[str, int] | None = None,
        snapshot: bool = True,
        guest: bool = False,
    ) -> Subscribed:
        """Attach an outbox; replay, gap and snapshot are queued as data, so an ack sent as a reply goes first.

        `guest`: for somebody without credentials where others have them.

        Raises TickwireError too_many_subscriptions, and ValueError when it is attached already in this form.
        """
        lane = self._lane(stream_id(key, tier_ms, batch=batch), guest=guest)
        epoch, sequence = resume or (None, 0)
        try:
            if isinstance(outbox, AwayOutbox):
                recovered, replayed = outbox.join(lane.id, lane.stream, form, resume=resume, snapshot=snapshot)
            else:
                recovered, replayed = lane.stream.attach(
                    outbox, form, epoch=epoch, sequence=sequence, snapshot=snapshot
                )
        except ValueError:
            if lane.stream.subscribers == 0 and lane.id not in self._lingering:
                self._on_idle(lane)  # made for nobody
            raise
        self._stay(lane.id)
        at = sequence if recovered else lane.stream.sequence
        return Subscribed(lane.id, lane.stream.epoch, at, recovered, replayed)

    def unsubscribe(self, outbox: Outbox, wanted: StreamId, form: Form | None = None) -> bool:
        """Whether it was subscribed, in this form or (None) in any."""
        lane = self._find(wanted)
        if lane is None:
            return False
        if isinstance(outbox, AwayOutbox):
            return outbox.part(wanted, lane.stream, form)
        return lane.stream.detach(outbox, form)

    def resend(self, outbox: Outbox, wanted: StreamId, first: int, last: int) -> int:
        """Send numbers that the ring still holds again; returns how many."""
        lane = self._find(wanted)
        if lane is None:
            return 0
        if isinstance(outbox, AwayOutbox):
            return outbox.resend(wanted, lane.stream, first, last)
        return lane.stream.resend(outbox, first, last)

    def position(self, wanted: StreamId) -> tuple[str, int] | None:
        """(epoch, sequence) of a stream, if it exists."""
        lane = self._find(wanted)
        return None if lane is None else (lane.stream.epoch, lane.stream.sequence)

    # --- from within this process -------------------------------------------------------------------------------

    def listen(self, key: Key, listener: Listener) -> None:
        """Hear every update of a key from now on, and at once the newest when there is one."""
        topic = self._topic(key)
        topic.listeners = (*topic.listeners, listener)
        self._stay(key)
        if topic.newest is not None:
            listener.on_update(key, topic.newest)

    def unlisten(self, key: Key, listener: Listener) -> None:
        """End it; the watch of the key goes on for a while, for who comes back."""
        topic = self._topics[key]
        topic.listeners = tuple(each for each in topic.listeners if each is not listener)
        if not topic.listeners and not self._closed:
            self._linger(key, lambda: self._drop_unused(topic))

    # --- for operators ------------------------------------------------------------------------------------------

    def subscribers(self) -> dict[StreamId, int]:
        """How many subscribers each stream has, also those that linger with none."""
        return {lane.id: lane.stream.subscribers for topic in self._topics.values() for lane in topic.lanes.values()}

    def close(self) -> None:
        """The process ends: nothing lingers, and no source is called any more."""
        self._closed = True
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()

    # --- inside -------------------------------------------------------------------------------------------------

    def _find(self, wanted: StreamId) -> Lane | None:
        topic = self._topics.get(wanted.key)
        return None if topic is None else topic.lanes.get(wanted)

    def _lane(self, wanted: StreamId, *, guest: bool) -> Lane:
        """The lane, made when missing; the first of a key that nobody listens to starts its watch."""
        lane = self._find(wanted)
        if lane is not None:
            return lane
        named = _is_named(wanted.key)
        if self._lanes[named] >= self._lanes_max(named=named, guest=guest):
            raise TickwireError("too_many_subscriptions", "the server holds as many streams as it may")
        topic = self._topic(wanted.key)
        lane = Lane(
            topic,
            wanted,
            fanout=self._fanout,
            metronome=self._metronome,
            limits=self._limits,
            on_idle=self._on_idle,
        )
        topic.lanes[wanted] = lane
        self._lanes[named] += 1
        return lane

    def _lanes_max(self, *, named: bool, guest: bool) -> int:
        """Whoever invents symbols for publishers to tell of takes the place of no market data, and a guest leaves half
        to those who have a key."""
        limits = self._limits
        if not named:
            return limits.streams_max
        return limits.published_streams_max // 2 if guest else limits.published_streams_max

    def _topic(self, key: Key) -> Topic:
        """The topic, made when missing; the watch starts with it."""
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key)
            if key.exchange != OWN:
                self._sources[key.exchange].acquire(key)
        return topic

    def _on_idle(self, lane: Lane) -> None:
        """The last subscriber has gone; keep the lane for a while, for who comes back."""
        if not self._closed:
            self._linger(lane.id, lambda: self._drop(lane))

    def _linger(self, what: StreamId | Key, end: Callable[[], None]) -> None:
        def on_time() -> None:
            del self._lingering[what]
            end()

        self._lingering[what] = self._clock.call_later(self._limits.linger_s, on_time)

    def _stay(self, what: StreamId | Key) -> None:
        timer = self._lingering.pop(what, None)
        if timer is not None:
            timer.cancel()

    def _drop(self, lane: Lane) -> None:
        assert lane.stream.subscribers == 0, "a subscriber cancels the linger timer"
        del lane.topic.lanes[lane.id]
        lane.close()
        self._lanes[_is_named(lane.topic.key)] -= 1
        self._drop_unused(lane.topic)

    def _drop_unused(self, topic: Topic) -> None:
        """End the watch of a topic that nobody reads or listens to, or has done so just now."""
        if not topic.lanes and not topic.listeners and topic.key not in self._lingering:
            del self._topics[topic.key]
            if topic.key.exchange != OWN:
                self._sources[topic.key.exchange].release(topic.key)


def _is_named(key: Key) -> bool:
    """What publishers may tell of one symbol, which whoever subscribes to it may have made up."""
    return key.exchange == OWN and key.symbol != EVERY
