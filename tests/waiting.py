"""Waiting for what nobody announces, by looking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LOOK_EVERY_S = 0.002  # not every turn of the loop: a test that waits must not take the processor from what it waits for


async def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(LOOK_EVERY_S)
