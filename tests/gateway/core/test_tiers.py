"""What gathers between ticks, and when ticks are due."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from _speedups.book import Book, Changes
from gateway.core.tiers import GRID_S, Every, Item, Levels, Metronome, Newest
from tests.gateway.core.hub_parts import HandClock


@given(st.lists(st.booleans(), max_size=20))
def test_newest_keeps_the_last_item_and_every_final_one(finals: list[bool]) -> None:
    pending = Newest()
    items = [Item(b"%d" % number, None, 0, final) for number, final in enumerate(finals)]
    for item in items:
        pending.put(item)
    assert pending.drain() == [item for item in items if item.final or item is items[-1]]
    assert pending.drain() == []


@given(st.integers(0, 20))
def test_every_keeps_all_in_order(count: int) -> None:
    pending = Every()
    items = [Item(b"%d" % number, None, 0) for number in range(count)]
    for item in items:
        pending.put(item)
    assert len(pending) == count
    assert pending.drain() == items


def test_levels_merge_to_the_newest_size_of_each_touched_price() -> None:
    book, pending = Book(5), Levels()
    for size in (1.0, 2.0, 1.0):
        changes = book.replace([[100.0, size]], [[101.0, 1.0]])
        assert changes is not None
        pending.put(Item(changes, None, int(size)))
    [item] = pending.drain()
    assert item.t_in == 1
    assert isinstance(item.data, Changes)
    data = item.data.data("BTC/USDT", "sim", 4, book.checksum())
    assert b'"bids":[[100,1]]' in data
    assert b'"prev_sequence":4' in data


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 3)), max_size=30))
def test_a_tick_comes_when_due_or_up_to_one_step_later(asked: list[tuple[float, float]]) -> None:
    clock, ticks = HandClock(), list[tuple[float, int, float]]()
    metronome = Metronome(clock.call_at)

    def note(number: int, due: float, _now: float) -> None:
        ticks.append((clock.now, number, due))

    for number, (pause, delay) in enumerate(asked):
        clock.advance(pause)
        due = clock.now + delay
        metronome.at(due, functools.partial(note, number, due))
    clock.advance(4)
    assert sorted(number for _, number, _ in ticks) == list(range(len(asked)))
    assert all(-1e-8 <= now - due <= GRID_S + 1e-8 for now, _, due in ticks)


def test_lanes_of_different_intervals_do_not_hurry_each_other() -> None:
    clock, ticks = HandClock(), list[tuple[float, float]]()
    metronome = Metronome(clock.call_at)

    def every(interval: float, now: float) -> None:
        ticks.append((interval, round(clock.now - 1000, 6)))
        metronome.at(now + interval, functools.partial(every, interval))

    for interval in (1.0, 0.05, 0.25):
        metronome.at(clock.now + interval, functools.partial(every, interval))
    clock.advance(10)
    for interval in (1.0, 0.05, 0.25):
        expected = [round((count + 1) * interval, 6) for count in range(round(10 / interval))]
        assert [at for which, at in ticks if which == interval] == expected
