"""Runs against the simulated exchange by ccxt's own classes, over real connections: ours is what its ledger says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from loadtest.exchange.server import ExchangeServer
from oms.book import EXTERNAL
from oms.desk.orders import Orders
from oms.keeper import Keeper
from oms.model import Order, OrderState, OrderType, Side
from oms.report import Cause
from oms.states import Accepted, Ambiguous
from oms.store import history
from oms.venues import base
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client, synthetic
from tests.oms.desk.desks import Clock
from tests.oms.reconciled import Scene, order_of, scene
from tests.oms.venues.tools import LOW, config
from tests.waiting import until


class Hurried(Clock):
    """The present, and as much later as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self._ahead_ns

    def advance(self, seconds: float) -> None:
        self._ahead_ns += int(seconds * 1e9)


class Live:
    """A desk that trades on the exchange, and somebody else with the same keys."""

    def __init__(self, here: Scene, exchange: ExchangeServer, admin: Client) -> None:
        self.here, self.admin = here, admin
        self.venue = CcxtVenue(config(exchange.base_url))
        self.stranger = CcxtVenue(config(exchange.base_url))
        here.desk.venue = self.venue
        self.keeper = Keeper(here.runs, here.around.hearing)

    async def send(self, **changes: Any) -> Order:
        desk = self.here.desk
        order = self.here.book.create(order_of(self.here, **{"price": LOW, **changes}))
        await desk.commit()
        try:
            said = await self.venue.place(order, order.client_order_id)
        except base.Ambiguous as error:
            desk.record(order.id, Ambiguous(message=error.message))
        else:
            desk.record(order.id, Accepted(exchange_order_id=said.exchange_order_id, time_ns=said.time_ns))
        await desk.commit()
        return order

    async def run(self) -> None:
        self.here.clock.advance(6.0)
        report = await self.keeper.request()
        assert report.ok, report

    async def agree(self) -> None:
        """Every order and fill of the ledger is ours, once."""
        _, ledger = await self.admin.get("/admin/ledger", account="default")
        orders = {order.exchange_order_id: order for order in self.here.book.orders.values()}
        for there in ledger["orders"]:
            assert orders[str(there["order_id"])].filled == Decimal(there["executed_qty"]), there
        deals = await history.deals(self.here.desk.pool, history.Filter(accounts={1: ()}))
        fills = [(str(each["trade_id"]), Decimal(each["qty"]), Decimal(each["price"])) for each in ledger["fills"]]
        assert sorted((each.exchange_trade_id, each.qty, each.price) for each in deals) == sorted(fills)


@pytest.fixture
async def live(dsn: str) -> AsyncIterator[Live]:
    async with trading(dsn) as made:
        yield made


@asynccontextmanager
async def trading(dsn: str) -> AsyncIterator[Live]:
    async with synthetic() as exchange, Client(exchange) as admin, scene(dsn, Hurried()) as here:
        made = Live(here, exchange, admin)
        try:
            await made.venue.start(made.keeper)
            assert (await made.keeper.request(Cause.START)).ok
            await made.stranger.start(Deaf())
            yield made
        finally:
            await made.keeper.stop()
            await made.venue.close()
            await made.stranger.close()


class Deaf:
    """Hears nothing."""

    def on_order(self, order: base.VenueOrder) -> None:
        return

    def on_trade(self, trade: base.VenueTrade) -> None:
        return

    def on_stream(self, connected: bool) -> None:
        return


async def test_what_was_filled_while_the_stream_was_cut_is_booked_once(live: Live) -> None:
    order, other = await live.send(qty=Decimal(2)), await live.send()
    await live.admin.fault("fill_unseen", symbol="BTCUSDT", client_order_id=order.client_order_id, qty="0.5")
    await until(lambda: live.here.filled(order) == Decimal("0.5"))
    await until(lambda: live.keeper.is_live)
    status, _ = await live.admin.post("/admin/fill", symbol="BTCUSDT", client_order_id=other.client_order_id)
    assert status == 200
    await until(lambda: live.here.state(other) is OrderState.FILLED)
    await live.run()
    await live.run()
    await live.agree()
    assert not live.here.events("position_mismatch")


async def test_what_a_stranger_does_is_taken_in_heard_or_not(live: Live) -> None:
    by_hand = order_of(live.here, price=LOW, client_order_id="by-hand")
    await live.stranger.place(by_hand, "by-hand")
    await until(lambda: live.here.book.by_client_id("by-hand"))
    status, _ = await live.admin.post("/admin/fill", symbol="BTCUSDT", client_order_id="by-hand", qty="0.25")
    assert status == 200
    await until(lambda: live.here.book.positions)
    market = order_of(live.here, order_type=OrderType.MARKET, side=Side.SELL, price=None, qty=Decimal("0.1"))
    await live.venue.close()  # nothing is heard any more
    live.here.desk.venue = live.stranger
    await live.stranger.place(market, "unheard")
    assert live.here.book.by_client_id("unheard") is None
    await live.run()
    unheard = live.here.book.by_client_id("unheard")
    assert unheard is not None
    assert (unheard.reason, unheard.state, unheard.filled) == (EXTERNAL, OrderState.FILLED, Decimal("0.1"))
    await live.agree()
    assert [position.reason for position in live.here.book.positions.values()] == [EXTERNAL]


async def test_an_answer_that_was_lost_is_looked_up(live: Live) -> None:
    await live.admin.fault("lose", request="POST order")
    await live.admin.fault("skip", stream="user@default", count=5)
    taken = await live.send()
    await live.admin.fault("lose", request="POST order", accepted=False)
    never = await live.send()
    assert {live.here.state(taken), live.here.state(never)} == {OrderState.UNKNOWN}
    await live.run()
    assert live.here.state(taken) is OrderState.SUBMITTED
    assert live.here.state(never) is OrderState.UNKNOWN
    await live.run()
    assert live.here.state(never) is OrderState.REJECTED
    await live.agree()


async def test_a_balance_that_no_fill_explains_is_told(live: Live) -> None:
    order = await live.send(order_type=OrderType.MARKET, price=None, qty=Decimal("0.1"))
    await until(lambda: live.here.state(order) is OrderState.FILLED)
    await live.run()
    await live.run()
    assert not live.here.events("position_mismatch")
    await live.admin.post("/admin/fund", asset="BTC", amount="-1")
    await live.run()
    assert not live.here.events("position_mismatch")
    await live.run()
    await live.here.desk.commit()
    assert len(live.here.events("position_mismatch")) == 1


async def test_a_cancel_that_was_answered_and_not_done_is_found_and_can_be_asked_for_again(live: Live) -> None:
    here = live.here
    orders = Orders(here.desk, here.around.hearing, here.around.settler)
    order = await live.send()
    await live.admin.fault("pretend")
    assert (await orders.cancel(order.id)).error is None  # that is what the exchange said
    assert here.state(order) is OrderState.CANCELED
    here.clock.advance(6.0)
    report = await live.keeper.request()
    assert (report.contradicted, [each.after for each in report.resolved]) == ([order.id], ["SUBMITTED"])
    assert here.book.orders[order.id].flags == ("revived",)
    assert order.id in here.book.open_orders
    assert (await orders.cancel(order.id)).error is None
    await live.run()
    assert here.state(order) is OrderState.CANCELED
    assert not await live.venue.open_orders(None)
    await live.agree()
