"""A clock turned by hand and a recording watcher, for tests of the hub and its parts."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import orjson

from gateway.core.fanout import make_fanout
from gateway.core.hub import Hub
from gateway.core.key import Key
from gateway.limits import Limits
from tests.speedups.fanout_parts import JsonForm, ManualLoop, Message, Peer

KEY = Key("sim", "quotes", "BTC/USDT")
TRADES = Key("sim", "trades", "BTC/USDT")
BOOK = Key("sim", "book", "BTC/USDT", "5")


class HandTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class HandClock(ManualLoop):
    """An event loop's clock and timers; `advance` runs what falls due, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._timers: list[tuple[float, int, HandTimer]] = []
        self._ids = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> HandTimer:
        timer = HandTimer(callback)
        heapq.heappush(self._timers, (when, next(self._ids), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., None]) -> HandTimer:
        return self.call_at(self.now + delay, callback)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if timer.callback is not None:
                timer.callback()
            self.settle()
        self.now = until
        self.settle()


class Watched:
    """A source that only remembers which keys it was asked to watch."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.log: list[tuple[str, Key]] = []

    def acquire(self, key: Key) -> None:
        assert key not in self.keys, "one watch a key"
        self.keys.append(key)
        self.log.append(("acquire", key))

    def release(self, key: Key) -> None:
        self.keys.remove(key)
        self.log.append(("release", key))


class Desk:
    """A hub with its neighbours, and the calls that tests repeat."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = HandClock()
        self.limits = limits or Limits(linger_s=5.0)
        self.fanout = make_fanout(self.clock, self.limits)
        self.source = Watched()
        self.hub = Hub(self.fanout, self.clock, self.limits, {"sim": self.source})
        self.form = JsonForm()

    def peer(self) -> Peer:
        return Peer(self.fanout)

    def publish(self, value: object, key: Key = KEY, *, final: bool = False) -> None:
        self.hub.publish(key, orjson.dumps(value), t_ex=None, t_in=1, final=final)

    def read(self, peer: Peer) -> list[Message]:
        self.clock.settle()
        return peer.read()
