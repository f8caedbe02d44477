"""The dead man's switch: put off by each call, kept over a restart, and thorough once it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from oms.desk import deadman
from oms.desk.deadman import DeadMan
from oms.errors import OmsError
from oms.model import OrderState
from oms.store import deadlines
from tests.oms.desk.desks import Clock
from tests.oms.desk.holding import SYMBOL, Holding, holding, key
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.oms.orders_made import T0_NS
from tests.waiting import until

SECOND_NS = 1_000_000_000
MINUTE_MS = 60_000


@asynccontextmanager
async def switched(
    dsn: str, clock: Clock | None = None, venue: ScriptedVenue | None = None
) -> AsyncIterator[tuple[Holding, DeadMan]]:
    """A desk with its switch, at a venue that may have been there before."""
    async with holding(dsn, clock=clock) as held:
        if venue is not None:
            held.desk.venue = venue
            await venue.start(held.made.hearing)
        switch = DeadMan(held.desk, held.orders.cancel)
        held.made.handlers |= switch.handlers
        await switch.start()
        try:
            yield held, switch
        finally:
            switch.stop()


async def rest(held: Holding, count: int = 1) -> list[int]:
    """Orders that rest."""
    sent = [
        await held.run("send_order", symbol=SYMBOL, side="buy", order_type="limit", qty="1", price="90")
        for _ in range(count)
    ]
    return [each.order_id or 0 for each in sent]


def states(held: Holding) -> set[OrderState]:
    return {order.state for order in held.book.orders.values()}


async def done(held: Holding) -> None:
    """Everything was canceled, and the switch is over."""
    await held.desk.finish(10.0)
    assert await deadlines.deadline(held.desk.pool, 1) is None


async def test_at_the_deadline_all_open_orders_are_canceled_and_that_is_told(dsn: str) -> None:
    async with switched(dsn) as (held, switch):
        ids = await rest(held, 3)
        result = await held.run("cancel_all_after", timeout_ms=MINUTE_MS)
        assert (result.ok, result.more) == (True, {"due_at": "2026-02-07T14:31:00.000Z"})
        assert await deadlines.deadline(held.desk.pool, 1) == T0_NS + 60 * SECOND_NS
        held.clock.advance(59.999)
        switch.check()
        assert states(held) == {OrderState.SUBMITTED}
        held.clock.advance(0.001)
        switch.check()
        await done(held)
        assert states(held) == {OrderState.CANCELED}
        assert {order.status for order in held.venue.orders.values()} == {"canceled"}
        (told,) = held.told("cancel_all_after")
        assert msgspec.json.decode(told) == {
            "account_id": 1, "due_at": "2026-02-07T14:31:00.000Z", "order_ids": ids,
        }  # fmt: skip
        later = await rest(held)
        switch.check()
        assert held.book.orders[later[0]].is_open


async def test_its_own_timer_sees_to_it(dsn: str) -> None:
    async with switched(dsn) as (held, _):
        await rest(held)
        await held.run("cancel_all_after", timeout_ms=1)
        held.clock.advance(0.001)
        await until(lambda: states(held) == {OrderState.CANCELED})


async def test_each_call_puts_it_off_and_0_takes_it_away(dsn: str) -> None:
    async with switched(dsn) as (held, switch):
        await rest(held)
        for _ in range(3):
            assert (await held.run("cancel_all_after", timeout_ms=MINUTE_MS)).ok
            held.clock.advance(59)
            switch.check()
        assert (await held.run("cancel_all_after", timeout_ms=0)).more == {"due_at": None}
        held.clock.advance(3600)
        switch.check()
        assert states(held) == {OrderState.SUBMITTED}
        await done(held)


async def test_it_outlives_the_process(dsn: str) -> None:
    clock = Clock()
    async with switched(dsn, clock) as (held, _):
        await rest(held, 2)
        await held.run("cancel_all_after", timeout_ms=MINUTE_MS)
        venue = held.venue
    clock.advance(59)
    async with switched(dsn, clock, venue) as (held, switch):
        switch.check()
        assert states(held) == {OrderState.SUBMITTED}
    clock.advance(3600)
    async with switched(dsn, clock, venue) as (held, _):  # it fell due meanwhile
        await until(lambda: states(held) == {OrderState.CANCELED})
        await done(held)
        assert len(held.told("cancel_all_after")) == 1
    async with switched(dsn, clock, venue) as (held, switch):
        switch.check()
        await done(held)
        assert not held.told("cancel_all_after")


async def test_armed_while_it_is_taken_up_the_new_deadline_is_the_one(dsn: str) -> None:
    async with switched(dsn) as (held, switch):
        await rest(held)
        await switch.arm(1)
        switch.stop()
        await asyncio.gather(switch.start(), switch.arm(MINUTE_MS))
        held.clock.advance(59)
        switch.check()
        assert states(held) == {OrderState.SUBMITTED}
        await switch.arm(0)


async def test_what_the_venue_does_not_cancel_is_canceled_again(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadman, "DELAYS_S", (0.0,))
    async with switched(dsn) as (held, switch):
        await rest(held, 2)
        held.venue.script("cancel", Fault.REFUSED, Fault.NONE, Fault.REFUSED, Fault.REFUSED)
        await switch.arm(1)
        held.clock.advance(1)
        switch.check()
        await done(held)
        assert states(held) == {OrderState.CANCELED}


async def test_while_the_venue_is_not_there_it_waits_for_it(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadman, "DELAYS_S", (0.0,))
    async with switched(dsn) as (held, switch):
        await rest(held)
        await switch.arm(1)
        held.desk.obstacle = "not connected"
        held.clock.advance(1)
        switch.check()
        await until(lambda: bool(held.told("cancel_all_after")))
        assert "cancel" not in held.venue.requests
        held.desk.obstacle = None
        await done(held)
        assert states(held) == {OrderState.CANCELED}


async def test_armed_again_while_it_cancels_it_stays_armed(dsn: str) -> None:
    async with switched(dsn) as (held, switch):
        await rest(held)
        await switch.arm(1)
        held.clock.advance(1)
        held.venue.gate.clear()
        switch.check()
        await until(lambda: "cancel" in held.venue.requests)
        due_ns = await switch.arm(MINUTE_MS)
        held.venue.gate.set()
        await held.desk.finish(10.0)
        assert await deadlines.deadline(held.desk.pool, 1) == due_ns
        assert states(held) == {OrderState.CANCELED}


async def test_what_cannot_be_written_down_changes_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: Any) -> None:
        raise OmsError("engine_unavailable", "gone")

    async with switched(dsn) as (held, switch):
        await rest(held)
        await held.run("cancel_all_after", timeout_ms=MINUTE_MS)
        with monkeypatch.context() as patched:
            patched.setattr(deadlines, "set_deadline", unavailable)
            assert await held.refusal("cancel_all_after", timeout_ms=0) == "engine_unavailable"
        held.clock.advance(60)
        switch.check()
        await done(held)
        assert states(held) == {OrderState.CANCELED}


async def test_only_who_may_cancel_everything_may_arm_it_and_validating_does_not(dsn: str) -> None:
    async with switched(dsn) as (held, _):
        code = "strategy_permission_denied"
        assert await held.refusal("cancel_all_after", principal=key(5, can_trade=True), timeout_ms=1) == code
        assert await held.refusal("cancel_all_after", principal=key(can_read=True), timeout_ms=1) == "permission_denied"
        assert (await held.run("cancel_all_after", timeout_ms=1, validate=True)).ok
        assert await deadlines.deadline(held.desk.pool, 1) is None
