"""When a watch is live, stale, or waiting to try again: a table of states and events, and the times between them.

Pure: time (ms, any origin) and randomness are passed in. Must not know exchanges, sockets, tasks or subscribers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag, auto
from random import Random
from typing import Final

import msgspec


class State(Enum):
    STARTING = "starting"  # subscribed or subscribing, nothing arrived yet
    LIVE = "live"
    STALE = "stale"  # was live, silent beyond its budget: announced as lost, being subscribed again
    BACKOFF = "backoff"  # failed: waiting before the next attempt


class Event(Enum):
    UPDATE = auto()
    FAILED = auto()  # an error, a disconnect, or data that contradicts itself
    SILENT = auto()  # the budget of the state ran out
    RETRY = auto()  # the backoff is over


class Action(Flag):
    NONE = 0
    LOSE = auto()  # announce the loss of continuity to whoever was served
    STOP = auto()  # give up the present subscription
    START = auto()  # subscribe


# Everything a watch does. A pair that is not here is a programming error and raises.
TABLE: Final[dict[tuple[State, Event], tuple[State, Action]]] = {
    (State.STARTING, Event.UPDATE): (State.LIVE, Action.NONE),
    (State.STARTING, Event.FAILED): (State.BACKOFF, Action.STOP),
    (State.STARTING, Event.SILENT): (State.BACKOFF, Action.STOP),
    (State.LIVE, Event.UPDATE): (State.LIVE, Action.NONE),
    (State.LIVE, Event.FAILED): (State.BACKOFF, Action.LOSE | Action.STOP),
    (State.LIVE, Event.SILENT): (State.STALE, Action.LOSE | Action.STOP | Action.START),
    (State.STALE, Event.UPDATE): (State.LIVE, Action.NONE),
    (State.STALE, Event.FAILED): (State.BACKOFF, Action.STOP),
    (State.STALE, Event.SILENT): (State.BACKOFF, Action.STOP),
    (State.BACKOFF, Event.UPDATE): (State.BACKOFF, Action.NONE),  # the tail of a subscription already given up
    (State.BACKOFF, Event.FAILED): (State.BACKOFF, Action.NONE),  # one failure is often told twice
    (State.BACKOFF, Event.RETRY): (State.STARTING, Action.START),
}


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one kind of watch."""

    silence_ms: int = 0  # live and silent this long is a fault; 0: silence is no evidence (a quiet market)
    silence_max_ms: int = 600_000  # each fault of silence in a row doubles the budget up to this: a quiet market
    start_ms: int = 20_000  # a subscription that brings nothing for this long has failed; 0: wait for ever
    backoff_ms: int = 250  # the first pause is drawn from 0..this, and the range doubles with each failure in a row
    backoff_max_ms: int = 30_000
    stable_ms: int = 10_000  # live this long forgets earlier failures; ten budgets forget one fault of silence


def full_jitter(first: float, longest: float, failures: int, uniform: Callable[[float, float], float]) -> float:
    """A pause before the next attempt, in the unit of its bounds.

    Anything between nothing and a ceiling that doubles with each failure, so that many who fail never retry in step.
    """
    return uniform(0, min(first * 2 ** min(failures, 20), longest))


class Watch:
    """One watch's state. `deadline_ms` is when `tick` has something to do; None: nothing is due."""

    def __init__(self, policy: Policy, rng: Random, now_ms: float) -> None:
        self.policy = policy
        self.state = State.STARTING
        self.since_ms = now_ms  # when this state began
        self.last_ms = now_ms  # the last update, or when the state began
        self.failures = 0  # in a row
        self.silences = 0  # in a row
        self.retry_ms = 0.0  # when a backoff ends
        self._rng = rng

    def on(self, event: Event, now_ms: float, rest_ms: float = 0) -> Action:
        """Apply one event of the table; `rest_ms`: a failure after which the exchange wants so much peace first."""
        before = self.state
        self.state, action = TABLE[before, event]
        if event is Event.UPDATE:
            self.last_ms = now_ms
            self._forgive(now_ms)
        if self.state is not before:
            self.since_ms = self.last_ms = now_ms
            if self.state is State.STALE:
                self.silences += 1
            elif self.state is State.BACKOFF:
                self.retry_ms = now_ms + rest_ms + self._pause()
        return action

    def update(self, now_ms: float) -> None:
        """`on(Event.UPDATE)`, short for the usual case."""
        if self.state is State.LIVE and not (self.failures or self.silences):
            self.last_ms = now_ms
        else:
            self.on(Event.UPDATE, now_ms)

    def tick(self, now_ms: float) -> Action:
        """Apply what time alone brings."""
        deadline = self.deadline_ms
        if deadline is None or now_ms < deadline:
            return Action.NONE
        return self.on(Event.RETRY if self.state is State.BACKOFF else Event.SILENT, now_ms)

    @property
    def budget_ms(self) -> int:
        """How long the present state may be silent; 0: for ever."""
        if self.state is State.LIVE:
            doubled = self.policy.silence_ms << min(self.silences, 20)
            return min(doubled, max(self.policy.silence_max_ms, self.policy.silence_ms))
        return self.policy.start_ms

    @property
    def deadline_ms(self) -> float | None:
        if self.state is State.BACKOFF:
            return self.retry_ms
        return self.last_ms + self.budget_ms if self.budget_ms else None

    def _pause(self) -> float:
        pause_ms = full_jitter(self.policy.backoff_ms, self.policy.backoff_max_ms, self.failures, self._rng.uniform)
        self.failures += 1
        return pause_ms

    def _forgive(self, now_ms: float) -> None:
        if self.state is not State.LIVE:
            return
        lived_ms = now_ms - self.since_ms
        if self.failures and lived_ms >= self.policy.stable_ms:
            self.failures = 0
        if self.silences and lived_ms >= 10 * self.budget_ms:
            self.silences -= 1
            self.since_ms = now_ms
