"""Deadlines against a model that looks at all of them every time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.net.wheel import TICK_S, Wheel


class Item:
    def __init__(self, told: list[tuple[Item, float]]) -> None:
        self.due_tick = -1
        self.told = told

    def on_due(self, now_s: float) -> None:
        self.told.append((self, now_s))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("schedule"), st.integers(0, 4), st.floats(0, 20)),
            st.tuples(st.just("cancel"), st.integers(0, 4), st.just(0.0)),
            st.tuples(st.just("advance"), st.just(0), st.floats(0, 5)),
        ),
        max_size=40,
    )
)
def test_each_deadline_is_told_once_and_at_most_two_ticks_late(steps: list[tuple[str, int, float]]) -> None:
    told: list[tuple[Item, float]] = []
    items = [Item(told) for _ in range(5)]
    now_s = 1000.0
    wheel = Wheel(now_s)
    due: dict[Item, float] = {}
    for action, number, amount in steps:
        item = items[number]
        if action == "schedule":
            due[item] = now_s + amount
            wheel.schedule(item, now_s + amount)
        elif action == "cancel":
            due.pop(item, None)
            wheel.cancel(item)
        else:
            now_s += amount
            wheel.advance(now_s)
            for each, at_s in told:
                assert at_s == now_s
                assert due.pop(each) <= now_s
            told.clear()
            assert all(at_s > now_s - 2 * TICK_S for at_s in due.values())
        assert len(wheel) == len(due)
        assert all((item.due_tick != -1) == (item in due) for item in items)


def test_a_deadline_may_be_set_anew_when_it_is_told() -> None:
    wheel = Wheel(0.0)
    times: list[float] = []

    class Again:
        due_tick = -1

        def on_due(self, now_s: float) -> None:
            times.append(now_s)
            wheel.schedule(self, now_s)

    wheel.schedule(Again(), 0.0)
    for now_s in (0.25, 0.5, 0.75):
        wheel.advance(now_s)
    assert times == [0.25, 0.5, 0.75]
