"""Questions that come while one is under way go as one, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from oms.desk.grouped import Grouped


class Table:
    """Doubles what is even. Answers when it is let to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()

    async def fetch(self, keys: Collection[int]) -> dict[int, int]:
        self.asked.append(sorted(keys))
        await self.gate.wait()
        if 13 in keys:
            raise LookupError
        if 99 in keys:
            raise ConnectionError
        return {key: 2 * key for key in keys if key % 2 == 0}


async def test_those_that_come_meanwhile_go_as_one() -> None:
    table = Table()
    grouped = Grouped(table.fetch)
    first = asyncio.create_task(grouped.get(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(grouped.get(key)) for key in (2, 3, 4, 4)]
    await asyncio.sleep(0)
    table.gate.set()
    assert await first == 4
    assert await asyncio.gather(*rest) == [4, None, 8, 8]
    assert table.asked == [[2], [2, 3, 4]]


async def test_an_error_is_told_and_the_next_question_is_asked() -> None:
    table = Table()
    grouped = Grouped(table.fetch)
    table.gate.set()
    with pytest.raises(LookupError):
        await grouped.get(13)
    assert await grouped.get(6) == 12


async def gathered(*keys: int) -> tuple[Table, list[object]]:
    """What becomes of keys that are asked for together, after another one."""
    table = Table()
    grouped = Grouped(table.fetch, shared=(ConnectionError,))
    first = asyncio.create_task(grouped.get(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(grouped.get(key)) for key in keys]
    await asyncio.sleep(0)
    table.gate.set()
    await first
    return table, list(await asyncio.gather(*rest, return_exceptions=True))


async def test_an_error_of_one_key_is_not_that_of_the_others() -> None:
    table, (four, bad, eight) = await gathered(4, 13, 8)
    assert [four, type(bad), eight] == [8, LookupError, 16]
    assert table.asked == [[2], [4, 8, 13], [4], [13], [8]]


async def test_an_error_that_no_key_is_to_blame_for_is_everybodys_and_is_not_asked_for_again() -> None:
    table, errors = await gathered(4, 99)
    assert [type(error) for error in errors] == [ConnectionError, ConnectionError]
    assert table.asked == [[2], [4, 99]]


async def test_who_gives_up_does_not_take_the_answer_from_others() -> None:
    table = Table()
    grouped = Grouped(table.fetch)
    gone, stays = asyncio.create_task(grouped.get(8)), asyncio.create_task(grouped.get(8))
    await asyncio.sleep(0)
    gone.cancel()
    table.gate.set()
    assert await stays == 16
