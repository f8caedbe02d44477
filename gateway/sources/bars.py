"""Bars of short intervals, built from trades; the consumer of one key.

A bar is told only when it is whole. The first one after a start or a loss began before we listened: its missing trades
are asked of the exchange, and if they do not join up with those that arrive (or cannot be asked, or the bar is too
short to be worth it) it is skipped, and bars begin with the next interval.

A bar is closed by the first trade of a later interval, or, when none comes, by time: the exchange's clock is taken to
stand at the last trade's time plus what has passed here since, and the bar is closed `GRACE_MS` after its end by that
clock, unless this process itself stood still: then trades may wait unread. A trade that comes after its bar was told
all the same makes what was told wrong: that is a loss, and bars begin anew. An interval without trades has no bar.
Must not know ccxt's classes or who receives a bar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, time_ns
from typing import Final

import structlog

from _speedups.bars import Bar, BarBuilder
from gateway.core.key import Key
from gateway.sources.base import Reason, Sink
from gateway.sources.tape import Trade
from gateway.sources.unpack import Payload

log = structlog.get_logger(__name__)

# Timeframes made here; longer ones are the exchange's own candles.
INTERVALS_MS: Final[dict[str, int]] = {"1s": 1_000, "1m": 60_000, "5m": 300_000}

GRACE_MS: Final = 1_000  # a trade may arrive this much later than its neighbours and still count
LATE_S: Final = 0.1  # a timer this late says that the loop was held up, and sockets are not read
HISTORY_TIMEOUT_S: Final = 10.0

History = Callable[[], Awaitable[list[Trade]]]
Clock = Callable[[], float]  # seconds, any origin


class Bars:
    """`history`: asks for the market's recent trades; None where the exchange cannot say or it is not worth it."""

    def __init__(self, key: Key, sink: Sink, history: History | None, clock: Clock = monotonic) -> None:
        self.key = key
        self._sink = sink
        self._interval_ms = INTERVALS_MS[key.variant]
        self._history = history if self._interval_ms > 1_000 else None
        self._builder: BarBuilder | None = None  # None: not begun
        self._clock = clock
        self._from_ms = 0  # trades before this belong to a bar that is skipped
        self._told_ms = 0  # and after that, trades before this to an interval of which all was told
        self._early: list[Trade] = []  # arrived while the history is asked for
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0  # when it should fire
        self._clock_ms = 0.0  # the exchange's time less ours

    def update(self, _kind: str, payload: Payload, t_in: int) -> None:
        trades = [trade for trade in payload if trade["price"] and trade["amount"] and trade["timestamp"] is not None]
        if not trades:
            return
        self._clock_ms = trades[-1]["timestamp"] - self._clock() * 1000
        if self._builder is not None:
            if not any(self._from_ms <= trade["timestamp"] < self._told_ms for trade in trades):
                self._take(trades, t_in)
                return
            self._told_too_early(self._builder)
        self._early += trades
        if self._asking is None:
            if self._history is None:
                self._begin([])
            else:
                self._asking = asyncio.create_task(self._ask(self._history))

    def lost(self, _kind: str, reason: Reason) -> None:
        self._from_ms = 0
        self._lose(reason)

    def _told_too_early(self, builder: BarBuilder) -> None:
        # What was taken into a growing bar is lost with it: without history bars begin behind it.
        self._from_ms = self._told_ms + (self._interval_ms if builder.current is not None else 0)
        log.warning("a trade came after its bar was told", key=str(self.key))
        self._lose("resync")

    def _lose(self, reason: Reason) -> None:
        self.close()
        self._builder = None
        self._early = []
        self._sink.lost(self.key, reason)

    def close(self) -> None:
        """Stop what runs by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self, history: History) -> None:
        try:
            trades = await asyncio.wait_for(history(), HISTORY_TIMEOUT_S)
        except Exception as error:  # whatever it is, bars begin without it
            log.info("no history for the first bar", key=str(self.key), error=f"{type(error).__name__}: {error}")
            trades = []
        self._asking = None
        self._begin(trades)

    def _begin(self, history: list[Trade]) -> None:
        early, self._early = self._early, []
        first = early[0]
        start_ms = self._start_ms(first)
        before = join(history, first, start_ms)
        self._from_ms = start_ms if before is not None else max(self._from_ms, start_ms + self._interval_ms)
        self._told_ms = self._from_ms
        self._builder = BarBuilder(self._interval_ms)
        self._take((before or []) + early, time_ns())

    def _take(self, trades: list[Trade], t_in: int) -> None:
        builder = self._builder
        assert builder is not None
        ts_ms = None
        if len(trades) > 1:  # what came together may be mixed at a bar's border
            trades = sorted(trades, key=self._start_ms)
        for trade in trades:
            ts_ms = trade["timestamp"]
            if ts_ms >= self._from_ms:
                closed = builder.trade(trade["price"], trade["amount"], ts_ms)
                if closed is not None:
                    self._publish(closed, ts_ms, t_in)
        current = builder.current
        if current is not None:
            self._told_ms = current.timestamp
            self._publish(current, ts_ms, t_in)
            if self._timer is None:
                self._arm(current)

    def _start_ms(self, trade: Trade) -> int:
        """When its interval begins."""
        ts_ms: int = trade["timestamp"]
        return ts_ms - ts_ms % self._interval_ms

    def _publish(self, bar: Bar, t_ex: int | None, t_in: int) -> None:
        data = bar.data(self.key.symbol, self.key.exchange, self.key.variant)
        self._sink.publish(self.key, data, t_ex=t_ex, t_in=t_in, final=bar.closed)

    def _arm(self, current: Bar) -> None:
        """One timer at a time: when it finds a younger bar it waits for that one's end."""
        end_ms = current.timestamp + self._interval_ms + GRACE_MS
        self._wait(max(0.0, (end_ms - self._clock_ms) / 1000 - self._clock()))

    def _wait(self, delay_s: float) -> None:
        self._due_s = self._clock() + delay_s
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)

    def _due(self) -> None:
        self._timer = None
        builder = self._builder
        if builder is None or builder.current is None:
            return
        now_s = self._clock()
        if now_s - self._due_s > LATE_S:
            self._wait(GRACE_MS / 1000)  # let what came meanwhile be read
            return
        closed = builder.roll(int(self._clock_ms + now_s * 1000) - GRACE_MS)
        if closed is not None:
            self._told_ms = closed.timestamp + self._interval_ms
            self._publish(closed, None, time_ns())
        if builder.current is not None:
            self._arm(builder.current)


def join(history: list[Trade], first: Trade, start_ms: int) -> list[Trade] | None:
    """The trades from `start_ms` up to `first`, when `history` surely holds all of them; else None.

    It does when it reaches back before the start and `first` itself is in it.
    """
    if not history or history[0]["timestamp"] >= start_ms:
        return None
    for index, trade in enumerate(history):
        if trade["id"] is not None and trade["id"] == first["id"]:
            return [earlier for earlier in history[:index] if earlier["timestamp"] >= start_ms]
    return None
