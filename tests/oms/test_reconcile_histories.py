"""After any history of lost answers, missed, repeated and reordered events, strangers, late fills, crashes, restarts,
two quiet runs make our orders and deals the venue's, and nothing is booked twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.book import EXTERNAL
from oms.model import OrderState, Side
from oms.postgres import Embedded
from oms.states import CancelFailed, CancelRequested
from oms.store import history
from oms.venues import base
from oms.venues.base import VenueOrder, VenueTrade
from tests.oms import database
from tests.oms.desk.desks import Clock
from tests.oms.desk.scripted_venue import DONE, Fault
from tests.oms.reconciled import Scene, order_of, scene

Step = tuple[str, int, int]
Act = Callable[[int, int], Coroutine[Any, Any, None]]
FAULTS = (Fault.NONE, Fault.LOST, Fault.DROPPED, Fault.LATE, Fault.REFUSED, Fault.PRETENDED)
STEPS = (
    "place", "crash", "cancel", "fill", "end", "external", "tell", "lose", "shuffle", "repeat", "run", "broken_run",
    "restart",
)  # fmt: skip
ENDS: dict[str, OrderState] = {"canceled": OrderState.CANCELED, "expired": OrderState.EXPIRED}


class History:
    """What happened so far; a restart ends one scene and begins another with the same venue."""

    def __init__(self, here: Scene) -> None:
        self.here = here
        self.here.venue.streaming = False  # it is told by the steps

    async def step(self, name: str, a: int, b: int) -> None:
        steps: tuple[Act, ...] = (
            self.place, self.crash, self.cancel, self.fill, self.end, self.external, self.tell, self.lose,
            self.shuffle, self.repeat, self.run, self.broken_run,
        )  # fmt: skip
        (step,) = [step for step in steps if step.__name__ == name]
        await step(a, b)
        self.here.clock.advance(0.5)
        await asyncio.sleep(0)

    @property
    def there(self) -> list[VenueOrder]:
        return list(self.here.venue.orders.values())

    async def place(self, a: int, b: int) -> None:
        self.here.venue.script("place", FAULTS[b % 4])
        await self.here.ours(qty=Decimal(2), side=(Side.BUY, Side.SELL)[a % 2])

    async def crash(self, a: int, b: int) -> None:
        """As if the process had died before it sent an order, or before it heard of it."""
        order = self.here.book.create(order_of(self.here, qty=Decimal(2), side=(Side.BUY, Side.SELL)[a % 2]))
        await self.here.desk.commit()
        if b % 2:
            await self.here.venue.place(order, order.client_order_id)

    async def cancel(self, a: int, b: int) -> None:
        resting = [
            each for each in self.here.book.open_orders.values() if each.state in {"SUBMITTED", "PARTIALLY_FILLED"}
        ]
        if not resting:
            return
        order = resting[a % len(resting)]
        self.here.desk.record(order.id, CancelRequested())
        self.here.venue.script("cancel", FAULTS[b % 6])
        try:
            said = await self.here.venue.cancel(self.here.book.orders[order.id])
        except base.Ambiguous:
            pass
        except base.Refused:
            self.here.desk.record(order.id, CancelFailed())
        else:
            assert said is not None
            self.here.around.hearing.said(order.id, said)
        await self.here.desk.commit()

    async def fill(self, a: int, b: int) -> None:
        """Also of what is over: late."""
        able = [each for each in self.there if each.filled < each.qty]
        if able:
            order = able[a % len(able)]
            qty = min(order.qty - order.filled, Decimal(("0.5", "1", "2")[b % 3]))
            self._say(self.here.venue.fill(order.exchange_order_id, qty))
            self._say(self.here.venue.orders[order.exchange_order_id])

    async def end(self, a: int, b: int) -> None:
        able = [each for each in self.there if each.status not in DONE]
        if able:
            self.here.venue.end(able[a % len(able)].exchange_order_id, "canceled" if b % 2 else "expired")
            self._say(self.here.venue.orders[able[a % len(able)].exchange_order_id])

    async def external(self, a: int, b: int) -> None:
        self._say(self.here.venue.external(None if b % 2 else f"stranger-{len(self.there)}", qty="2"))

    def _say(self, said: VenueOrder | VenueTrade) -> None:
        self.here.venue.untold.append(said)

    async def tell(self, a: int, b: int) -> None:
        self.here.venue.deliver()

    async def lose(self, a: int, b: int) -> None:
        self.here.venue.untold.clear()

    async def shuffle(self, a: int, b: int) -> None:
        untold = self.here.venue.untold
        untold.rotate(a)
        if b % 2:
            untold.reverse()

    async def repeat(self, a: int, b: int) -> None:
        said: list[VenueOrder | VenueTrade] = [*self.here.venue.executed, *self.there]
        if said:
            self._say(said[a % len(said)])

    async def run(self, a: int, b: int) -> None:
        self.here.venue.arrive()  # what is late is not later than a venue takes requests
        report = await self.here.run(after_s=(1.0, 6.0)[b % 2])
        assert report.ok

    async def broken_run(self, a: int, b: int) -> None:
        self.here.venue.script(("open_orders", "find", "trades", "balances")[a % 4], Fault.DROPPED)
        await self.here.run(after_s=(1.0, 6.0)[b % 2])
        self.here.venue.behave()  # it may not have been asked that

    async def quiet(self) -> None:
        """Nothing happens any more but what settles what did."""
        self.here.venue.arrive()
        await self.here.desk.finish(5.0)
        for _ in range(2):
            assert (await self.here.run()).ok
            await self.here.desk.finish(5.0)

    # What must be so

    async def check(self) -> None:
        here = self.here
        executed = here.venue.executed
        deals = await history.deals(here.desk.pool, history.Filter(accounts={1: ()}, page_size=500))
        whole = Counter[tuple[str, int]]()
        for deal in deals:  # a fill that flips a position is two deals
            whole[deal.exchange_trade_id, deal.order_id] += 1
        assert {trade for trade, _ in whole} == {trade.exchange_trade_id for trade in executed}
        assert len(whole) == len(executed)
        signed = {side: sum((each.qty for each in executed if each.side is side), Decimal(0)) for side in Side}
        assert sum(each.side.sign * each.qty for each in deals) == signed[Side.BUY] - signed[Side.SELL]
        assert sum(each.qty for each in here.book.positions.values()) == signed[Side.BUY] - signed[Side.SELL]
        for there in self.there:
            order = here.book.by_exchange_id(there.symbol, there.exchange_order_id)
            if order is None:  # a stranger's that nobody told of, and that left nothing
                assert there.status in DONE
                assert not there.filled
                continue
            assert order.filled == there.filled
            ended = there.status in ENDS and there.exchange_order_id in here.venue.pretended
            said = OrderState.CANCELED if ended and order.state is OrderState.CANCELED else expected(there)
            assert order.state is said, (order, there)
            assert (order.reason == EXTERNAL) is (there.client_order_id not in here.venue.placed)
        for order in here.book.orders.values():
            if order.exchange_order_id is None:
                assert order.state is OrderState.REJECTED
                assert order.client_order_id not in here.venue.placed
        assert len(set(here.venue.placed)) == len(here.venue.placed)
        await self._check_stored()

    async def _check_stored(self) -> None:
        stored = await history.orders(self.here.desk.pool, history.Filter(accounts={1: ()}, page_size=500))
        assert {order.id: order for order in stored} == dict(self.here.book.orders)
        events = await history.events_after(self.here.desk.pool, 1, 0)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def expected(there: VenueOrder) -> OrderState:
    if there.filled >= there.qty:
        return OrderState.FILLED
    if there.status in ENDS:
        return ENDS[there.status]
    return OrderState.PARTIALLY_FILLED if there.filled else OrderState.SUBMITTED


async def play(postgres: Embedded, steps: list[Step]) -> None:
    dsn = await database.make_database(postgres.dsn)
    clock = Clock()
    rest = iter(steps)
    venue = None
    try:
        while True:
            async with scene(dsn, clock) as here:
                if venue is not None:
                    here.venue.go_on_from(venue)
                history_ = History(here)
                if venue is None:  # trades are read of symbols the account has traded; a stranger's others are not seen
                    await history_.step("place", 0, 0)
                for name, a, b in rest:
                    if name == "restart":
                        break
                    await history_.step(name, a, b)
                else:
                    await history_.quiet()
                    await history_.check()
                    return
                venue = here.venue
    finally:
        await database.drop_database(postgres.dsn, dsn)


NUMBERS = st.integers(0, 11)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STEPS), NUMBERS, NUMBERS), min_size=5, max_size=30))
def test_two_quiet_runs_make_ours_what_the_venue_has(postgres: Embedded, steps: list[Step]) -> None:
    asyncio.run(play(postgres, steps))
