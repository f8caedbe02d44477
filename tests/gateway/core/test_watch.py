"""The watch machine against its table, and its promises under any sequence of events."""

from __future__ import annotations

import copy
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.watch import TABLE, Action, Event, Policy, State, Watch, full_jitter

POLICY = Policy(silence_ms=1_000, silence_max_ms=8_000, start_ms=2_000, backoff_ms=100, backoff_max_ms=1_600)


def watch(policy: Policy = POLICY, now_ms: float = 0) -> Watch:
    return Watch(policy, Random(1), now_ms)


def test_every_pair_is_in_the_table_or_raises() -> None:
    for state in State:
        for event in Event:
            machine = watch()
            machine.state = state
            if (state, event) in TABLE:
                machine.on(event, 1)
                assert machine.state is TABLE[state, event][0]
            else:
                with pytest.raises(KeyError):
                    machine.on(event, 1)


def test_only_what_was_served_is_announced_as_lost() -> None:
    for (state, _), (_, action) in TABLE.items():
        assert (Action.LOSE in action) <= (state is State.LIVE)


def test_silence_of_a_live_watch_restarts_it_at_once_and_then_doubles_its_budget() -> None:
    machine = watch()
    machine.on(Event.UPDATE, 0)
    assert machine.tick(999) is Action.NONE
    assert machine.tick(1_000) == Action.LOSE | Action.STOP | Action.START
    assert machine.state is State.STALE
    machine.on(Event.UPDATE, 1_100)
    assert (machine.state, machine.budget_ms) == (State.LIVE, 2_000)
    for _ in range(10):
        machine.tick(machine.last_ms + machine.budget_ms)
        machine.on(Event.UPDATE, machine.last_ms)
    assert machine.budget_ms == POLICY.silence_max_ms


def test_a_long_life_takes_the_doubling_back() -> None:
    machine = watch()
    machine.on(Event.UPDATE, 0)
    machine.tick(1_000)
    for now_ms in range(1_000, 22_000, 500):
        machine.on(Event.UPDATE, now_ms)
    assert machine.budget_ms == POLICY.silence_ms


def test_no_budget_means_silence_is_no_evidence() -> None:
    machine = watch(Policy(silence_ms=0))
    machine.on(Event.UPDATE, 0)
    assert machine.deadline_ms is None
    assert machine.tick(1e12) is Action.NONE


def test_a_subscription_that_brings_nothing_fails() -> None:
    machine = watch()
    assert machine.tick(2_000) is Action.STOP
    assert machine.state is State.BACKOFF
    assert machine.tick(machine.retry_ms) is Action.START
    assert machine.state.value == "starting"


def test_a_short_life_does_not_forget_failures_and_a_long_one_does() -> None:
    machine = watch()
    for expected in (1, 2, 3):
        machine.on(Event.UPDATE, 0)
        machine.on(Event.FAILED, 1)
        assert machine.failures == expected
        machine.on(Event.RETRY, 2)
    machine.on(Event.UPDATE, 3)
    machine.on(Event.UPDATE, 3 + POLICY.stable_ms)
    assert machine.failures == 0


@given(seed=st.integers(0, 2**32), failures=st.integers(0, 40))
def test_the_pause_is_drawn_from_nothing_to_the_ceiling(seed: int, failures: int) -> None:
    machine = Watch(POLICY, Random(seed), 0)
    machine.failures = failures
    machine.on(Event.FAILED, 10)
    assert 10 <= machine.retry_ms <= 10 + min(100 * 2**failures, POLICY.backoff_max_ms)


STEPS = st.lists(st.tuples(st.sampled_from([Event.UPDATE, Event.FAILED, None]), st.floats(0, 5_000)), max_size=60)


@given(steps=STEPS, seed=st.integers(0, 1_000))
def test_any_history(steps: list[tuple[Event | None, float]], seed: int) -> None:
    """Model: subscribed or not. Starts and stops alternate; a loss is told exactly when a live watch ends."""
    machine = Watch(POLICY, Random(seed), 0)
    subscribed, now_ms = True, 0.0
    for event, pause_ms in steps:
        now_ms += pause_ms
        was_live = machine.state is State.LIVE
        twin = copy.deepcopy(machine)
        action = machine.tick(now_ms) if event is None else machine.on(event, now_ms)
        if event is Event.UPDATE:
            twin.update(now_ms)
            assert (twin.state, twin.last_ms, twin.since_ms) == (machine.state, machine.last_ms, machine.since_ms)
        assert (Action.LOSE in action) == (was_live and machine.state is not State.LIVE)
        if Action.STOP in action:
            assert subscribed
            subscribed = False
        if Action.START in action:
            assert not subscribed
            subscribed = True
        assert subscribed == (machine.state is not State.BACKOFF)
        deadline = machine.deadline_ms
        assert deadline is not None
        assert deadline <= now_ms + max(POLICY.silence_max_ms, POLICY.start_ms, POLICY.backoff_max_ms)


def test_full_jitter_is_below_a_ceiling_that_doubles_up_to_the_longest() -> None:
    ceilings = [full_jitter(0.25, 15.0, failures, lambda _low, high: high) for failures in (0, 1, 2, 6, 5_000)]
    assert ceilings == [0.25, 0.5, 1.0, 15.0, 15.0]
    assert full_jitter(500, 30_000, 3, lambda low, _high: low) == 0
