"""Turns of those who ask without a key: however many they are, those with one find room beside them.

Must not know what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from oms.errors import OmsError
from oms.venues.config import PassingLimits

WAIT_S: Final = 15.0
RETRY_MS: Final = 1_000


class Guests:
    """Of all accounts."""

    def __init__(self, limits: PassingLimits) -> None:
        self._limits = limits
        self._turns: dict[int, asyncio.Semaphore] = {}
        self._waiting: dict[int, int] = {}

    @contextlib.asynccontextmanager
    async def turn(self, account_id: int) -> AsyncIterator[None]:
        """One of those that run. Raises OmsError when too many wait already, or it has waited too long."""
        turns = self._turns.setdefault(account_id, asyncio.Semaphore(self._limits.guests_running_max))
        waiting = self._waiting.get(account_id, 0)
        if waiting >= self._limits.guests_waiting_max:
            raise _too_many()
        self._waiting[account_id] = waiting + 1
        try:
            async with asyncio.timeout(WAIT_S):
                await turns.acquire()
        except TimeoutError:
            raise _too_many() from None
        finally:
            self._waiting[account_id] -= 1
        try:
            yield
        finally:
            turns.release()


def _too_many() -> OmsError:
    return OmsError(
        "rate_limited", "too many ask about this account without an API key", retry_after_ms=RETRY_MS,
        details={"exception": "RateLimitExceeded"},
    )  # fmt: skip
