"""What a program has not read: everything once, in order, with one wake-up a burst."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.cursors import Cursor, Each, EachOf, Newest, NewestOf, One, Wakes


def make(kind: Callable[..., Any], *arguments: Any) -> Any:
    return kind(Wakes(lambda flush: asyncio.get_running_loop().call_soon(flush)), *arguments)


async def test_what_came_before_the_call_is_read_at_once() -> None:
    cursor = make(Each)
    cursor.put(1)
    cursor.put(2)
    assert await cursor.next() == [1, 2]


async def test_a_burst_is_one_wake_up() -> None:
    cursor = make(Each)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    for number in range(100):
        cursor.put(number)
    assert await waiting == list(range(100))
    assert not cursor.unread


async def test_all_who_wait_are_given_the_same() -> None:
    cursor = make(Each)
    waiting = [asyncio.create_task(cursor.next()) for _ in range(3)]
    await asyncio.sleep(0)
    cursor.put("x")
    assert await asyncio.gather(*waiting) == [["x"]] * 3


async def test_who_is_cancelled_has_read_nothing() -> None:
    cursor = make(Each)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    cursor.put("x")
    cursor._wakes.flush()  # its future is done, and it has not run yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await cursor.next() == ["x"]


async def test_a_timeout_loses_nothing() -> None:
    cursor = make(Each)
    seen: list[int] = []

    async def produce() -> None:
        for number in range(2_000):
            cursor.put(number)
            await asyncio.sleep(0)

    producing = asyncio.create_task(produce())
    while len(seen) < 2_000:
        try:
            seen += await asyncio.wait_for(cursor.next(), 0.00005)
        except TimeoutError:
            await asyncio.sleep(0)
    await producing
    assert seen == list(range(2_000))


async def test_an_error_reaches_who_waits_and_nobody_else() -> None:
    cursor = make(Each)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    assert cursor.is_awaited
    cursor.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await waiting
    cursor.put(1)
    assert await cursor.next() == [1]


async def test_closing_cancels_who_waits() -> None:
    cursor = make(Each)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    cursor.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_became_untrue_wakes_nobody() -> None:
    cursor = make(Newest)
    waiting = asyncio.create_task(cursor.next())
    await asyncio.sleep(0)
    cursor.put("a", 1)
    cursor.drop("a")
    await asyncio.sleep(0.01)
    assert not waiting.done()
    cursor.put("a", 2)
    assert await waiting == {"a": 2}


async def test_newest_keeps_the_order_of_the_last_update() -> None:
    cursor = make(Newest)
    for name, item in (("a", 1), ("b", 2), ("a", 3)):
        cursor.put(name, item)
    assert list((await cursor.next()).items()) == [("b", 2), ("a", 3)]


async def test_one_name_at_a_time() -> None:
    one, each, newest = make(One), make(EachOf), make(NewestOf)
    for name, item in (("a", 1), ("b", 2), ("a", 3)):
        one.put(name, item)
        each.put(name, item)
        newest.put(name, [item % 2, item])
    assert [await one.next(), await one.next()] == [("b", 2), ("a", 3)]
    assert [await each.next(), await each.next()] == [("a", [1, 3]), ("b", [2])]
    assert [await newest.next(), await newest.next()] == [("a", [[1, 3]]), ("b", [[0, 2]])]


async def test_what_nobody_reads_is_bounded_and_what_is_given_up_is_told() -> None:
    given_up: dict[str, int] = {}

    def count(kind: str) -> Any:
        def marked(_name: Any, lost: int, item: Any) -> Any:
            given_up[kind] = given_up.get(kind, 0) + lost
            return f"{lost} before {item}"

        return marked

    wakes = Wakes(asyncio.get_running_loop().call_soon)
    each, each_of = Each(wakes, 100, count("each")), EachOf(wakes, 100, count("each of"))
    newest = Newest(wakes, 100, count("newest"))
    for number in range(1_000):
        each.put(number)
        each_of.put("a", number)
        newest.put(number, number)
    for kind, unread in (
        ("each", each.unread), ("each of", each_of.unread["a"]), ("newest", list(newest.unread.values()))
    ):  # fmt: skip
        assert unread[-1] == 999
        assert 90 <= len(unread) <= 100
        assert given_up[kind] + len(unread) == 1_000
        assert unread[0] == f"10 before {given_up[kind]}"


async def test_what_nobody_reads_of_several_names_is_bounded_in_all_and_the_longest_gives_up_its_oldest() -> None:
    given_up: list[tuple[str, int]] = []

    def told(name: Any, lost: int, item: Any) -> Any:
        given_up.append((name, lost))
        return item

    wakes = Wakes(asyncio.get_running_loop().call_soon)
    for cursor in (EachOf(wakes, 20, told), NewestOf(wakes, 20, told)):
        given_up.clear()
        for number in range(50):
            cursor.put("much", [number])
            cursor.put("much", [number])
            if number < 5:
                cursor.put("little", [number])
        unread = {name: len(items) for name, items in cursor.unread.items()}
        assert unread["little"] == 5
        assert 18 <= sum(unread.values()) <= 20
        assert {name for name, _ in given_up} == {"much"}
        assert sum(lost for _, lost in given_up) == (100 if isinstance(cursor, EachOf) else 50) - unread["much"]
        taken = dict([cursor.take(), cursor.take()])
        assert taken["much"][-1] == [49]
        assert taken["little"] == [[number] for number in range(5)]
        for number in range(20):  # there is room again for as many
            cursor.put(number, [number])
        assert len(cursor.unread) == 20
        cursor.put("one more", [0])
        assert len(cursor.unread) == 21, "the last of each name is kept"


@given(st.lists(st.one_of(st.integers(0, 3), st.just("read"), st.just("wait"), st.just("turn"))))
def test_every_item_is_read_exactly_once_in_order(actions: list[Any]) -> None:
    async def run() -> None:
        cursor: Cursor = make(Each)
        put: list[int] = []
        got: list[int] = []
        waiting: asyncio.Task[Any] | None = None
        for action in [*actions, "turn", "turn"]:
            if isinstance(action, int):
                for _ in range(action):
                    put.append(len(put))
                    cursor.put(put[-1])  # type: ignore[attr-defined]  # an Each
            elif action == "wait" and waiting is None:
                waiting = asyncio.create_task(cursor.next())
            elif action == "read" and waiting is None and cursor.unread:
                got += await cursor.next()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if waiting is not None and waiting.done():
                got += waiting.result()
                waiting = None
        if waiting is not None:
            waiting.cancel()
        assert got + cursor.unread == put

    asyncio.run(run())
