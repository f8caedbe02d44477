"""What venues said, as they said it, kept for whoever has to find out later: written behind, never waited for.

Must not know what a payload means.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Final

import structlog

from oms.store import progress
from oms.store.pool import UNAVAILABLE, Pool
from oms.store.progress import Payload

log = structlog.get_logger(__name__)

EVERY_S: Final = 0.5  # how long a payload may wait to be written
WAITING_MAX: Final = 10_000  # then the oldest are given up
BATCH_MAX: Final = 1_000
REMEMBERED_MAX: Final = 10_000  # orders of which it is known what was said last: the same again is not kept


class Payloads:
    """Those that are not written yet."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Payload] = deque()
        self._last: OrderedDict[tuple[int, str, int | None], Payload] = OrderedDict()  # the one said last at the end
        self._some = asyncio.Event()
        self._given_up = 0  # and not told yet

    def add(self, payload: Payload) -> None:
        about = (payload.account_id, payload.kind, payload.order_id)
        same = self._last.pop(about, None) == payload
        self._last[about] = payload
        if len(self._last) > REMEMBERED_MAX:
            self._last.popitem(last=False)
        if same:  # as each reconciliation hears of each open order
            return
        if len(self._waiting) == WAITING_MAX:
            self._waiting.popleft()
            self._given_up += 1
        self._waiting.append(payload)
        self._some.set()

    async def keep(self) -> None:
        """Until cancelled: write what comes."""
        while True:
            await self._some.wait()
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. While the database is away, which the desk has said, it goes on waiting."""
        self._some.clear()
        if self._given_up:
            log.warning("payloads given up: too many waited", count=self._given_up)
            self._given_up = 0
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            try:
                await progress.add_payloads(self._pool, batch)
            except UNAVAILABLE as error:
                log.debug("payloads cannot be written", error=str(error) or type(error).__name__)
                self._waiting.extendleft(reversed(batch))
                self._some.set()
                return
            except Exception:  # what cannot be written at all must not keep the next ones from being
                log.exception("payloads given up", count=len(batch))
