"""Those without a key take turns, and are so many and no more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import pytest

from oms.errors import OmsError
from oms.passing import guests
from oms.passing.guests import Guests
from oms.venues.config import PassingLimits

RUNNING_MAX, WAITING_MAX = 2, 3
LIMITS: Final = PassingLimits(guests_running_max=RUNNING_MAX, guests_waiting_max=WAITING_MAX)


async def test_so_many_run_so_many_wait_and_the_next_is_refused() -> None:
    asked, full, ends = Guests(LIMITS), asyncio.Event(), asyncio.Event()
    running: list[int] = []

    async def one(number: int) -> None:
        async with asked.turn(1):
            running.append(number)
            if len(running) == RUNNING_MAX:
                full.set()
            await ends.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(RUNNING_MAX + WAITING_MAX):
            tasks.create_task(one(number))
        await asyncio.wait_for(full.wait(), 5)
        assert len(running) == RUNNING_MAX
        with pytest.raises(OmsError) as refused:
            await one(-1)
        assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", 1_000)
        async with asked.turn(2):
            """Another account has turns of its own."""
        ends.set()
    assert sorted(running) == list(range(RUNNING_MAX + WAITING_MAX))


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "WAIT_S", 0.01)
    asked = Guests(LIMITS)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(RUNNING_MAX):
            await held.enter_async_context(asked.turn(1))
        with pytest.raises(OmsError, match="too many"):
            await held.enter_async_context(asked.turn(1))
    async with asked.turn(1):
        """There is room again."""
