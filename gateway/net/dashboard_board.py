"""What is told to dashboards once an interval: the newest state, made once for everybody who is told the same.

Each audience is a stream of the fan-out: its message is made at a tick, and only if what it says has changed. A slow
reader gets the newest one, a newcomer what is known at once. Must not know what is told, nor how a message looks.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sized
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from _speedups.fanout import Fanout, Stream
from gateway.core.health import StreamHealth
from gateway.core.key import Delivery
from gateway.core.topic import new_epoch

if TYPE_CHECKING:
    from _speedups.frame import Form
    from _speedups.outbox import Outbox

SLICE_PARTS: Final = 5_000  # of messages that are put together, about 1 ms, before others get a turn

K = TypeVar("K", bound=Sized)  # what is told, hashable


class Audience(Generic[K]):
    """Everybody who is told the same."""

    def __init__(self, board: Board[K], what: K, fanout: Fanout) -> None:
        self.what = what
        self._board = board
        self._told: bytes | None = None
        self.stream = Stream(
            fanout,
            what,
            new_epoch(),
            delivery=Delivery.STATE,
            snapshot=self._state,
            on_idle=lambda: board.dismiss(self),
            timed=False,
            ring_depth_updates=1,
        )

    def publish(self) -> bool:
        """Tell everybody, unless it is the same as before; whether anything is known."""
        state = self._state()
        if state is not None and state[0] != self._told:
            self._told = state[0]
            self.stream.publish(*state)
        return state is not None

    def _state(self) -> tuple[bytes, int | None, int] | None:
        data = self._board.state(self.what)
        return None if data is None else (data, None, self._board.now_ns())


class Board(ABC, Generic[K]):
    """The audiences of one kind, of one process. Needs a running loop from the first client on."""

    def __init__(self, fanout: Fanout, interval_s: float, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.health = StreamHealth()
        self._fanout = fanout
        self._interval_s = interval_s
        self._audiences: dict[K, Audience[K]] = {}
        self._changed: dict[Audience[K], None] = {}  # what it is told is not the newest
        self._timer: asyncio.TimerHandle | None = None
        self._slice: asyncio.Handle | None = None  # the next part of an interval's messages

    @abstractmethod
    def began(self, audience: Audience[K]) -> None:
        """Its first member is about to join."""

    @abstractmethod
    def ended(self, audience: Audience[K]) -> None:
        """Its last member has left."""

    @abstractmethod
    def state(self, what: K) -> bytes | None:
        """What is to be told, finished JSON; None while nothing is known."""

    def on_tick(self) -> None:  # nothing, unless a board has more to do
        """An interval is over."""

    def on_told(self) -> None:  # likewise
        """Something has come that an audience is told of, if it makes a difference."""

    def join(self, outbox: Outbox, what: K, form: Form) -> Stream:
        """Tell of this from now on, and what is known at once. To leave, detach from the stream."""
        audience = self._audiences.get(what)
        if audience is None:
            audience = self._audiences[what] = Audience(self, what, self._fanout)
            self.began(audience)
        if self._timer is None:
            self.health.start(self.now_ns())
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)
        try:
            audience.stream.attach(outbox, form)
        except ValueError:
            if not audience.stream.subscribers:
                self.dismiss(audience)  # made for nobody
            raise
        return audience.stream

    def changed(self, audiences: Iterable[Audience[K]]) -> None:
        """What these are told is not the newest any more."""
        self._changed.update(dict.fromkeys(audiences))

    def dismiss(self, audience: Audience[K]) -> None:
        """It has no members any more."""
        del self._audiences[audience.what]
        self._changed.pop(audience, None)
        self.ended(audience)
        del audience.stream  # each held the other: freed without the collector
        if not self._audiences:
            self.close()

    def close(self) -> None:
        """Tell nothing more."""
        self.health.stop()
        for handle in (self._timer, self._slice):
            if handle is not None:
                handle.cancel()
        self._timer = self._slice = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)
        self.on_tick()
        if self._slice is None:  # else the last interval's are not all out yet, and each will be the newest
            self._publish()

    def _publish(self) -> None:
        """Some of what has changed; the rest when others had a turn."""
        self._slice = None
        parts = 0
        while self._changed and parts < SLICE_PARTS:
            audience = next(iter(self._changed))
            del self._changed[audience]
            parts += 1 + len(audience.what)
            if audience.publish():
                self.on_told()
        if self._changed:
            self._slice = asyncio.get_running_loop().call_soon(self._publish)
