"""A desk with reconciling around it, on a scripted venue, for tests of what a run finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from oms.model import Order, OrderState
from oms.reconcile import Reconciler
from oms.report import Cause, Report
from oms.states import Accepted, Ambiguous
from oms.venues import base
from tests.oms import orders_made
from tests.oms.desk.desks import Clock, Setting, setting


class Scene:
    """`run` is a run as the keeper makes one. Time passes only by the test's word."""

    def __init__(self, around: Setting) -> None:
        self.around = around
        self.desk, self.book, self.venue, self.clock = around.desk, around.book, around.venue, around.clock
        self.runs = Reconciler(self.desk, around.hearing, around.settler)
        self.caught_up = 0

    async def run(self, cause: Cause = Cause.REQUEST, *, after_s: float = 6.0) -> Report:
        """One run, this long after what happened before."""
        self.clock.advance(after_s)

        def on_caught_up() -> None:
            self.caught_up += 1

        return await self.runs.run(cause, on_caught_up)

    async def ours(self, **changes: Any) -> Order:
        """An order that we send; the answer may be lost."""
        order = self.book.create(order_of(self, **changes))
        await self.desk.commit()
        try:
            said = await self.venue.place(order, self.desk.name_of(order))
        except base.Ambiguous as error:
            self.desk.record(order.id, Ambiguous(message=error.message))
        else:
            self.desk.record(order.id, Accepted(exchange_order_id=said.exchange_order_id, time_ns=said.time_ns))
        await self.desk.commit()
        return self.book.orders[order.id]

    def state(self, order: Order) -> OrderState:
        return self.book.orders[order.id].state

    def filled(self, order: Order) -> Decimal:
        return self.book.orders[order.id].filled

    def events(self, name: str) -> list[Any]:
        return [event for event in self.around.events if event.event == name]


def order_of(here: Scene, **changes: Any) -> Order:
    """A new one, of now."""
    now = {"created_ns": here.desk.now_ns(), "updated_ns": here.desk.now_ns()}
    return orders_made.order(here.desk.ids.order(), **{**now, **changes})


@asynccontextmanager
async def scene(dsn: str, clock: Clock | None = None, **account: Any) -> AsyncIterator[Scene]:
    async with setting(dsn, clock=clock, **account) as around:
        yield Scene(around)
