"""Work in turns of the loop: some at once, the rest in order, and never more than so much in a turn."""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.net.turns import Turns


async def test_the_first_are_done_at_once_and_the_others_turn_by_turn_in_order() -> None:
    turns, done = Turns(2), list[int]()
    for number in range(5):
        turns.call(partial(done.append, number))
    assert (done, len(turns)) == ([0, 1], 3)
    await asyncio.sleep(0)
    assert done == [0, 1, 2, 3]
    turns.call(lambda: done.append(5))
    assert done == [0, 1, 2, 3], "who comes later does not overtake"
    await asyncio.sleep(0)
    assert done == [0, 1, 2, 3, 4, 5]


async def test_after_a_quiet_turn_it_begins_anew() -> None:
    turns, done = Turns(1), list[int]()
    turns.call(lambda: done.append(1))
    for _ in range(3):
        await asyncio.sleep(0)
    turns.call(lambda: done.append(2))
    assert (done, len(turns)) == ([1, 2], 0)


async def test_work_that_asks_for_work_is_counted_too() -> None:
    turns, done = Turns(1), list[int]()

    def work() -> None:
        done.append(1)
        turns.call(partial(done.append, 2))

    turns.call(work)
    assert done == [1]
    await asyncio.sleep(0)
    assert done == [1, 2]
