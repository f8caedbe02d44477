"""32 clients at once on one account and strategy: each request is one command, and the venue's books are ours."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from oms.desk.results import CommandResult
from oms.service import Oms
from oms.store import admin, history
from oms.store.history import Filter
from oms.store.pool import Pool
from tests.oms.desk.scripted_venue import Fault
from tests.oms.serving import World, asking, one, sending
from tests.waiting import until

CLIENTS = 32
COMMANDS = 12  # of each client


@pytest.fixture
async def world(dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> World:
    """An account with a strategy and no limit of open orders."""
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.01,))
    monkeypatch.setattr("oms.desk.settling.APART_NS", 0)
    world = World(dsn)
    await world.account()
    await admin.add_strategy(pool, 1, "grid")
    await pool.execute("UPDATE account_risk SET max_open_orders = NULL")
    return world


async def test_the_same_request_of_many_at_once_is_one_order(world: World) -> None:
    async with world.ready() as oms:
        answers = await asyncio.gather(*(one(oms, sending(request_id="r")) for _ in range(CLIENTS)))
        assert {(answer.ok, answer.command_id, answer.order_id) for answer in answers} == {(True, 1, 1)}
        assert Counter(answer.replayed for answer in answers) == {False: 1, True: CLIENTS - 1}
        assert len(world.venue().placed) == 1


class Client:
    """Sends, changes and cancels what anybody sent, as fast as it is answered."""

    def __init__(self, oms: Oms, number: int) -> None:
        self.oms = oms
        self.number = number
        self.choose = random.Random(number)
        self.answers: list[tuple[str, CommandResult]] = []

    async def work(self) -> None:
        for index in range(COMMANDS):
            body = self.body(f"{self.number}-{index}")
            answer, again = await asyncio.gather(one(self.oms, body), one(self.oms, body))
            assert (answer.command_id, answer.ok) == (again.command_id, again.ok)
            self.answers.append((body["command"], answer))

    def body(self, request_id: str) -> dict[str, Any]:
        some = self.choose.randint(1, CLIENTS * COMMANDS // 4)
        match self.choose.randint(0, 3):
            case 0:
                return asking("cancel_order", request_id=request_id, order_id=some)
            case 1:
                price, qty = str(self.choose.randint(90, 110)), str(self.choose.randint(1, 3))
                return asking("change_order", request_id=request_id, order_id=some, new_price=price, new_qty=qty)
            case _:
                side = self.choose.choice(["buy", "sell"])
                return sending(request_id=request_id, strategy_id=1, qty="1", side=side)


@pytest.mark.parametrize("native", [True, False])
async def test_many_clients_on_one_account_leave_the_venues_books_and_ours_the_same(
    world: World, pool: Pool, native: bool
) -> None:
    venue = world.venue()
    venue.can_replace = native
    venue.fill_on_place.extend([Decimal("0.2"), Decimal("0.5"), Decimal(1)] * 20)
    venue.fill_on_cancel.extend([Decimal("0.1")] * 10)
    venue.script("place", *[Fault.NONE, Fault.NONE, Fault.LOST, Fault.DROPPED] * 10)
    venue.script("cancel", *[Fault.NONE, Fault.LOST, Fault.REFUSED] * 5)
    venue.script("replace", *[Fault.NONE, Fault.LOST] * 5)
    async with world.ready(wait_s=60.0) as oms:
        clients = [Client(oms, number) for number in range(CLIENTS)]
        await asyncio.gather(*(client.work() for client in clients))
        assert oms._engine is not None
        desk = oms._engine.trader(1).desk
        await until(lambda: all(desk.book.orders[each].filled == _filled(world, each) for each in desk.book.orders))
        world.clock.advance(6)
        assert (await oms.reconcile(1)).ok

        orders = await history.orders(pool, Filter(accounts={1: ()}, page_size=500))
        assert len(set(venue.placed)) == len(venue.placed)
        sent = [answer for client in clients for command, answer in client.answers if command == "send_order"]
        assert len({answer.order_id for answer in sent}) == len(sent) == len(orders)
        still = {order.exchange_order_id: order.remaining for order in orders if order.is_open}
        there = {
            each.exchange_order_id: each.qty - each.filled for each in venue.orders.values() if each.status == "open"
        }
        assert still == there
        deals = await history.deals(pool, Filter(accounts={1: ()}, page_size=500))
        assert {deal.exchange_trade_id for deal in deals} == {trade.exchange_trade_id for trade in venue.executed}
        events = await history.events_after(pool, 1, 0, limit=100_000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        commands = await pool.fetch("SELECT status, count(*) FROM oms_commands GROUP BY 1")
        assert sum(row["count"] for row in commands) == CLIENTS * COMMANDS
        assert "running" not in {row["status"] for row in commands}


def _filled(world: World, order_id: int) -> Decimal:
    """What the venue has executed of an order of ours, under all names it has had."""
    name = f"tw-e-main-{order_id}"
    mine = [each for each in world.venue().orders.values() if (each.client_order_id or "").partition(".")[0] == name]
    return sum((each.filled for each in mine), Decimal(0))
