"""The dead man's switch of one account: its orders are canceled unless somebody says in time that they should rest.

Holds the deadline, which outlives the process, and what happens at it. Must not know how an order is canceled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Final

import structlog

from oms import render
from oms.commands import CancelAllAfter
from oms.desk.desk import SECOND_NS, Desk
from oms.desk.dispatch import Handler, Run
from oms.desk.results import Outcome
from oms.errors import OmsError
from oms.risk import NS_PER_MS
from oms.store import deadlines

log = structlog.get_logger(__name__)

DELAYS_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # before what is still open is canceled again; the last one repeats

Cancel = Callable[[int], Awaitable[Outcome]]  # this order


class DeadMan:
    """Armed anew by each call. At the deadline it tells `cancel_all_after`, and cancels what was open then."""

    def __init__(self, desk: Desk, cancel: Cancel) -> None:
        self._desk = desk
        self._cancel = cancel
        self._due_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()  # what is stored last is what was asked for last

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"cancel_all_after": self.cancel_all_after}

    async def start(self) -> None:
        """Take up what was armed when the process ended: what fell due meanwhile is due now."""
        async with self._lock:
            self._due_ns = await deadlines.deadline(self._desk.pool, self._desk.account.id)
            self._set_timer()

    def stop(self) -> None:
        """Cancel nothing any more; the deadline stays stored."""
        self._due_ns = None
        self._set_timer()

    async def cancel_all_after(self, run: Run) -> Outcome:
        payload: CancelAllAfter = run.payload
        run.require_close(None)
        if run.validate:
            return Outcome()
        due_ns = await self.arm(payload.timeout_ms)  # before the command is kept: what is kept is done
        return Outcome(more={"due_at": None if due_ns is None else render.moment(due_ns)})

    async def arm(self, timeout_ms: int) -> int | None:
        """When it is due from now on; 0 disarms it. Raises OmsError, and then it is due when it was before."""
        async with self._lock:
            due_ns = self._desk.now_ns() + timeout_ms * NS_PER_MS if timeout_ms else None
            self._stop_timer()  # whoever asks lives, however long it takes to write that down
            try:
                await deadlines.set_deadline(self._desk.pool, self._desk.account.id, due_ns)
                self._due_ns = due_ns
            finally:
                self._set_timer()
            return due_ns

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self._stop_timer()
        if self._due_ns is not None:
            wait_s = max(0, self._due_ns - self._desk.clock_ns()) / SECOND_NS
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.check)

    def check(self) -> None:
        """Act if it is due; called by its timer."""
        if self._due_ns is None or self._desk.clock_ns() < self._due_ns:  # a clock that was set, or a timer's rounding
            self._set_timer()
            return
        due_ns, self._due_ns = self._due_ns, None
        self._desk.spawn(self._expire(due_ns), "cancel_all_after")

    async def _expire(self, due_ns: int) -> None:
        book, account_id = self._desk.book, self._desk.account.id
        order_ids = list(book.open_orders)
        data = {"account_id": account_id, "due_at": render.moment(due_ns), "order_ids": order_ids}
        book.announce("orders", "cancel_all_after", data, self._desk.now_ns())
        await self._desk.commit()
        await asyncio.gather(*map(self._cancel_until_over, order_ids))
        async with self._lock:
            if self._due_ns is None:  # else it was armed again meanwhile
                await deadlines.set_deadline(self._desk.pool, account_id, None)

    async def _cancel_until_over(self, order_id: int) -> None:
        """Again and again: nobody else will."""
        delays_s = chain(DELAYS_S, repeat(DELAYS_S[-1]))
        while True:
            if self._desk.obstacle is None:
                error = await self._try(order_id)
                if error is not None:
                    log.warning("not canceled at the deadline", order_id=order_id, code=error.code, error=error.message)
            if order_id not in self._desk.book.open_orders:
                return
            await asyncio.sleep(next(delays_s))

    async def _try(self, order_id: int) -> OmsError | None:
        try:
            return (await self._cancel(order_id)).error
        except OmsError as error:
            return error
