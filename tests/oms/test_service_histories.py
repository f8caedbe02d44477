"""Any history of commands, faults, lost answers, late fills, restarts and lost databases against a model of the venue.

In each mode of positions, on a spot market and on contracts. When it is quiet again the venue's books and ours agree:
every order known once, every fill booked once, nothing sent twice, every event there once; positions are what their
deals make of them. What a client was told holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from oms.book import EXTERNAL
from oms.desk import naming
from oms.desk.desk import Desk
from oms.desk.results import CommandResult
from oms.desk.settling import DOUBTFUL
from oms.desk.shrinking import too_large
from oms.model import Instrument, Order, Position, PositionMode
from oms.postgres import Embedded
from oms.service import Oms
from oms.states import REVIVED
from oms.store import admin, history
from oms.store.history import Filter
from oms.store.pool import open_pool
from oms.venues.base import VenueOrder, VenueTrade
from tests.oms import database
from tests.oms.desk.desks import ADMIN
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.oms.orders_made import INVERSE, LINEAR, SPOT
from tests.oms.rebuilt import rebuild
from tests.oms.serving import World, asking, is_ready, lose_database, sending
from tests.waiting import until

T = TypeVar("T")
EVERYTHING = Filter(accounts={1: ()}, page_size=500)
ROUNDS_MAX = 12  # of quiet, until nothing is in doubt
WRITES = st.sampled_from([Fault.NONE, Fault.NONE, Fault.LOST, Fault.DROPPED, Fault.LATE, Fault.REFUSED, Fault.CRASH])
CANCELS = st.one_of(WRITES, st.just(Fault.PRETENDED))
READS = st.sampled_from([Fault.NONE, Fault.DROPPED])
QTY = st.sampled_from(["0.3", "1", "2"])
SIDES = st.sampled_from(["buy", "sell"])
WHICH = st.integers(0, 30)
FIGURES = ("qty", "side", "entry_price", "realized_pnl", "fees", "state", "opened_ns", "closed_ns")


class Trading(RuleBasedStateMachine):
    """One account. Commands are not waited for: they end when it is quiet."""

    server: Embedded
    mode: PositionMode
    instrument: Instrument

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.answers: list[tuple[dict[str, Any], asyncio.Task[list[CommandResult]]]] = []
        self.dsn = self.do(database.make_database(self.server.dsn))
        self.world = World(self.dsn)
        self.venue = self.world.venues[1] = ScriptedVenue(instruments=(self.instrument,))
        self.do(self.open())
        self.stack = AsyncExitStack()
        self.oms: Oms = self.do(self.begin())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def open(self) -> None:
        """The account, with strategies 1 and 2."""
        account_id = await self.world.account(position_mode=self.mode)
        async with await open_pool(self.dsn, size_max=1) as pool:
            for name in ("one", "two"):
                await admin.add_strategy(pool, account_id, name)

    async def begin(self) -> Oms:
        self.venue.gate.set()
        oms = await self.stack.enter_async_context(self.world.serving(stop_s=0.0, wait_s=3.0))
        await until(lambda: is_ready(oms))
        return oms

    def teardown(self) -> None:
        try:
            self.do(self.quiet())
            self.do(self.agree())
        finally:
            self.do(self.end())
            self.loop.close()

    async def end(self) -> None:
        await self.stack.aclose()
        await asyncio.gather(*(task for _, task in self.answers), return_exceptions=True)
        await database.drop_database(self.server.dsn, self.dsn)
        await self.loop.shutdown_asyncgens()

    # What clients do

    def ask(self, body: dict[str, Any]) -> None:
        async def asked() -> None:
            self.answers.append((body, asyncio.create_task(self.oms.execute(ADMIN, body))))
            for _ in range(3):
                await asyncio.sleep(0.001)

        self.do(asked())

    def next_id(self) -> str:
        return f"r{len(self.answers)}"

    @rule(qty=QTY, price=st.integers(98, 102), side=SIDES, strategy=st.integers(0, 2), fault=WRITES, filled=WHICH)
    def send(self, qty: str, price: int, side: str, strategy: int, fault: Fault, filled: int) -> None:
        self.venue.script("place", fault)
        if filled < 8:
            self.venue.fill_on_place.append(Decimal(qty) if filled < 3 else Decimal("0.1"))
        order: dict[str, Any] = {"symbol": self.instrument.symbol, "qty": qty, "price": str(price), "side": side}
        order["reduce_only"] = filled % 2 == 0
        self.ask(sending(request_id=self.next_id(), strategy_id=strategy, **order))

    @rule(sides=st.lists(SIDES, min_size=1, max_size=3), qty=QTY, strategy=st.integers(0, 2))
    def hold(self, sides: list[str], qty: str, strategy: int) -> None:
        """Positions, which the next steps may close or net: when it is quiet, and filled at once."""
        self.do(self.quiet())
        for side in sides:
            self.send(qty, 100, side, strategy, Fault.NONE, 1)
        self.do(self.answered())

    async def answered(self) -> None:
        await asyncio.gather(*(task for _, task in self.answers))

    @rule(which=WHICH, price=st.integers(98, 102), fault=WRITES, filled=st.booleans())
    def close(self, which: int, price: int, fault: Fault, filled: bool) -> None:
        if held := self.held():
            self.venue.script("place", fault)
            if filled:
                self.venue.fill_on_place.append(Decimal("0.1"))
            position = held[which % len(held)]
            body: dict[str, Any] = {"position_id": position.id, "order_type": "limit", "price": str(price)}
            self.ask(asking("close_position", request_id=self.next_id(), **body))

    @rule(which=WHICH, other=WHICH)
    def net(self, which: int, other: int) -> None:
        """Two positions, where there are two: what is opposite is closed by each other, what is not is merged."""
        held = self.held()
        if len(held) < 2:
            return
        one = held.pop(which % len(held))
        two = held[other % len(held)]
        if one.qty * two.qty < 0:
            body = asking("close_by", request_id=self.next_id(), position_id_a=one.id, position_id_b=two.id)
        else:
            pair = {"source_position_id": one.id, "target_position_id": two.id}
            body = asking("merge_positions", request_id=self.next_id(), **pair)
        self.ask(body)

    @property
    def desk(self) -> Desk:
        assert self.oms._engine is not None
        return self.oms._engine.trader(1).desk

    def held(self) -> list[Position]:
        """What is open, as far as we know by now."""
        return list(self.desk.book.positions.values()) if self.oms._engine else []

    @rule(order=WHICH, price=st.integers(98, 102), qty=QTY, fault=CANCELS, second=WRITES, native=st.booleans())
    def change(self, order: int, price: int, qty: str, fault: Fault, second: Fault, native: bool) -> None:
        self.venue.can_replace = native
        self.venue.script("replace" if native else "cancel", _of_replace(fault) if native else fault)
        if not native:
            self.venue.script("place", second)
        body: dict[str, Any] = {"order_id": order + 1, "new_price": str(price), "new_qty": qty}
        self.ask(asking("change_order", request_id=self.next_id(), **body))

    @rule(order=WHICH, fault=CANCELS, filled=WHICH, silent=st.booleans())
    def cancel(self, order: int, fault: Fault, filled: int, silent: bool) -> None:
        self.venue.silent_cancel = silent
        self.venue.script("cancel", fault)
        if filled < 4:
            self.venue.fill_on_cancel.append(Decimal("0.1"))
        self.ask(asking("cancel_order", request_id=self.next_id(), order_id=order + 1))

    @rule()
    def cancel_all(self) -> None:
        self.ask(asking("cancel_all_orders", request_id=self.next_id()))

    @precondition(lambda self: self.answers)
    @rule(which=WHICH)
    def ask_again(self, which: int) -> None:
        self.ask(self.answers[which % len(self.answers)][0])

    # What the venue does

    def at_venue(self, which: int) -> VenueOrder | None:
        orders = list(self.venue.orders.values())
        return orders[which % len(orders)] if orders else None

    @rule(which=WHICH, late=st.booleans())
    def fill(self, which: int, late: bool) -> None:
        order = self.at_venue(which)
        if order is not None and order.filled < order.qty and (late or order.status == "open"):
            self.do(self.at_once(lambda: self.venue.fill(order.exchange_order_id, min(Decimal("0.1"), _left(order)))))

    @rule(which=WHICH, status=st.sampled_from(["canceled", "expired"]))
    def ends(self, which: int, status: Any) -> None:
        order = self.at_venue(which)
        if order is not None:
            self.do(self.at_once(lambda: self.venue.end(order.exchange_order_id, status)))

    @rule(which=WHICH)
    def repeats(self, which: int) -> None:
        said: list[VenueOrder | VenueTrade] = [*self.venue.orders.values(), *self.venue.executed]
        if said and self.venue.streaming:
            self.venue.untold.append(said[which % len(said)])
            self.do(self.at_once(self.venue.deliver))

    @rule(faults=st.lists(READS, max_size=4), told_at_once=st.booleans(), reveals=st.booleans())
    def mood(self, faults: list[Fault], told_at_once: bool, reveals: bool) -> None:
        self.venue.script("find", *faults)
        self.venue.script("trades", *faults[:1])
        self.venue.told_at_once = told_at_once
        self.venue.reveals_client_id = reveals

    @rule(up=st.booleans())
    def stream(self, up: bool) -> None:
        self.do(self.at_once(lambda: self.connect(up)))

    def connect(self, up: bool) -> None:
        if up is not self.venue.streaming:
            self.venue.streaming = up
            if self.venue._listener is not None:
                self.venue._listener.on_stream(up)

    async def at_once(self, work: Any) -> None:
        work()
        await asyncio.sleep(0.001)

    # What befalls us

    @rule()
    def lose(self) -> None:
        self.do(self.lost())

    async def lost(self) -> None:
        lost = self.oms._engine
        await lose_database(self.oms)
        await until(lambda: self.oms._engine not in {None, lost})

    @rule()
    def restart(self) -> None:
        self.do(self.restarted())

    async def restarted(self) -> None:
        await self.stack.aclose()
        self.oms = await self.begin()

    @rule()
    def rest(self) -> None:
        self.do(self.quiet())

    # What must hold

    async def quiet(self) -> None:
        """No fault any more, what was late arrives, and time passes."""
        venue = self.venue
        venue._script.clear()
        venue.fill_on_place.clear()
        venue.fill_on_cancel.clear()
        venue.arrive()
        self.connect(True)
        venue.deliver()
        settled, doubtful, requests = False, list[Order](), None
        for _ in range(ROUNDS_MAX):
            self.world.clock.advance(6)
            await until(lambda: is_ready(self.oms))
            await self.oms.reconcile(1)
            assert self.oms._engine is not None
            requests = self.oms._engine.requests
            doubtful = [order for order in self.desk.book.open_orders.values() if order.state in DOUBTFUL]
            settled = not doubtful and not requests._entries and not requests._tasks
            if settled:
                break
            await asyncio.sleep(0.03)
        assert settled, (doubtful, requests and requests._entries)
        self.world.clock.advance(6)
        await self.oms.reconcile(1)

    async def agree(self) -> None:
        await until(lambda: not too_large(self.desk, {self.instrument.symbol}) and not self.desk._tasks)
        await self.desk.commit()
        orders = await history.orders(self.oms.pool, EVERYTHING)
        deals = await history.deals(self.oms.pool, EVERYTHING)
        assert len(set(self.venue.placed)) == len(self.venue.placed), "sent twice"
        trades = sorted((trade.exchange_trade_id or "", trade.qty, trade.price) for trade in self.venue.executed)
        whole: dict[str, Decimal] = {}
        for deal in deals:  # one that closed a position and opened the next is two
            if not deal.order_id:
                continue  # netted here
            whole[deal.exchange_trade_id] = whole.get(deal.exchange_trade_id, Decimal(0)) + deal.qty
        assert sorted((deal, qty) for deal, qty in whole.items()) == [trade[:2] for trade in trades]
        assert all(order.reason != EXTERNAL for order in orders), "one of ours was taken for somebody else's"
        for order in orders:
            self.agrees(order)
        ours = {id_ for order in orders for id_ in self.selves(order)}
        assert ours == set(self.venue.orders), "an order of the venue is nobody's"
        held = sum((trade.side.sign * trade.qty for trade in self.venue.executed), Decimal(0))
        positions = await history.positions(self.oms.pool, EVERYTHING)
        assert sum(position.qty for position in positions) == held
        again = rebuild(sorted(deals, key=lambda deal: deal.id), lambda _: self.instrument)
        assert again.keys() == {position.id for position in positions}
        for position in positions:
            made = again[position.id]
            assert [getattr(made, name) for name in FIGURES] == [getattr(position, name) for name in FIGURES]
        await self.in_order()
        await self.kept_word(orders)

    def selves(self, order: Order) -> dict[str, VenueOrder]:
        """What the venue has of an order: each time it was created."""
        account = self.desk.account
        return {
            there.exchange_order_id: there
            for there in self.venue.orders.values()
            if there.client_order_id == order.client_order_id
            or naming.order_id_of(account, there.client_order_id or "") == order.id
        }

    def agrees(self, order: Order) -> None:
        selves = self.selves(order)
        assert sum((there.filled for there in selves.values()), Decimal(0)) == order.filled, order
        still = [there for there in selves.values() if there.status == "open"]
        assert len(still) == order.is_open, (order, selves)
        for there in still:
            assert there.exchange_order_id == order.exchange_order_id
            assert (_left(there), there.price) == (order.qty - order.filled, order.price), (order, selves)

    async def in_order(self) -> None:
        events = await history.events_after(self.oms.pool, 1, 0, limit=100_000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        for channel in ("orders", "deals", "positions"):
            numbers = [event.channel_sequence for event in events if event.channel == channel]
            assert numbers == list(range(1, len(numbers) + 1))

    async def kept_word(self, orders: list[Order]) -> None:
        """One request is one command, and what was said to be done is."""
        by_id = {order.id: order for order in orders}
        said: dict[str, CommandResult] = {}
        for body, task in self.answers:
            (answer,) = task.result() if task.done() else (None,)
            if answer is None or answer.running or answer.command_id is None or _is_gone(answer):
                continue
            former = said.setdefault(body["request_id"], answer)
            assert (former.command_id, former.order_id, former.ok) == (answer.command_id, answer.order_id, answer.ok)
            if answer.ok and body["command"] == "send_order":
                assert self.selves(by_id[answer.order_id or 0])
            if answer.ok and body["command"] == "cancel_order":
                order = by_id[answer.order_id or 0]
                assert not order.is_open or REVIVED in order.flags  # the venue had said that it was done


def _of_replace(fault: Fault) -> Fault:
    return Fault.NONE if fault is Fault.PRETENDED else fault


def _left(order: VenueOrder) -> Decimal:
    return order.qty - order.filled


def _is_gone(answer: CommandResult) -> bool:
    return answer.error is not None and answer.error["code"] == "engine_unavailable"


@pytest.mark.parametrize(
    ("mode", "instrument"),
    [
        (PositionMode.NETTING, SPOT),
        (PositionMode.NETTING, INVERSE),
        (PositionMode.STRATEGY_NETTING, LINEAR),
        (PositionMode.HEDGE, INVERSE),
    ],
    ids=["netting-spot", "netting-inverse", "strategy_netting-linear", "hedge-inverse"],
)
def test_any_history_ends_in_agreement(
    postgres: Embedded, monkeypatch: pytest.MonkeyPatch, mode: PositionMode, instrument: Instrument
) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.005,))
    monkeypatch.setattr("oms.desk.changing.LOOKS_S", (0.0, 0.001, 0.001))
    monkeypatch.setattr("oms.service.RETRY_S", (0.005,))
    monkeypatch.setattr("oms.trader.RETRY_S", (0.005,))
    monkeypatch.setattr("oms.keeper.BACKOFF_S", (0.005,))
    monkeypatch.setattr("oms.desk.shrinking.RETRY_S", 0.005)
    for name, value in (("server", postgres), ("mode", mode), ("instrument", instrument)):
        monkeypatch.setattr(Trading, name, value, raising=False)
    run_state_machine_as_test(
        Trading,
        settings=settings(
            max_examples=3, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
