"""Random orders under random faults: nothing twice at the exchange, and whatever is in doubt can be found out."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from random import Random

import pytest
from msgspec.structs import replace

from loadtest.exchange.server import ExchangeServer
from oms.model import Order
from oms.venues.base import Ambiguous, Refused
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client
from tests.oms.venues.tools import Ears, config, hurried, order

STEPS = 40
REQUESTS = ("POST order", "DELETE order", "POST order/cancelReplace")
FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("lose", {}),
    ("lose", {"accepted": False}),
    ("fail", {"accepted": True}),
    ("fail", {"accepted": False}),
    ("fail", {"status": 400, "code": -1007, "accepted": True}),
    ("late", {"ms": 800}),
    ("reject", {}),
)


class Trader:
    """Sends, and keeps count of what it sent and of the orders that it cannot rule out."""

    def __init__(self, venue: CcxtVenue, random: Random) -> None:
        self.venue = venue
        self.random = random
        self.sent = 0
        self.names = 0
        self.doubtful: list[Order] = []
        self.resting: list[Order] = []
        self.refused: list[str] = []

    def new(self) -> Order:
        self.names += 1
        return order(self.names, client_order_id=f"n{self.names}", qty=Decimal(1))

    async def step(self) -> None:
        self.sent += 1
        former = self.random.choice(self.resting) if self.resting else None
        choice = self.random.choice(("place", "cancel", "replace")) if former else "place"
        if choice == "cancel" and former is not None:
            await self.cancel(former)
            return
        asked = self.new()
        try:
            if choice == "replace" and former is not None:
                self.resting.remove(former)
                told = await self.venue.replace(former, asked.price, asked.qty, asked.client_order_id)
            else:
                told = await self.venue.place(asked, asked.client_order_id)
            self.resting.append(replace(asked, exchange_order_id=told.exchange_order_id))
        except Ambiguous:
            self.doubtful.append(asked)
        except Refused:
            self.refused.append(asked.client_order_id)

    async def cancel(self, former: Order) -> None:
        try:
            await self.venue.cancel(former)
            self.resting.remove(former)
        except Ambiguous:
            self.resting.remove(former)
        except Refused:
            pass


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_done_twice(exchange: ExchangeServer, admin: Client, ears: Ears, seed: int) -> None:
    random = Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        venue = CcxtVenue(config(exchange.base_url))
        stack.push_async_callback(venue.close)
        await venue.start(ears)
        trader = Trader(venue, random)
        for _ in range(STEPS):
            if random.random() < 0.5:
                name, more = random.choice(FAULTS)
                await admin.fault(name, request=random.choice(REQUESTS), **more)
            with hurried(venue, 400):
                await trader.step()
        ledger = exchange.trading.ledger
        accepted = [each.request.client_id for each in ledger.orders]
        assert len(ledger.requests) == trader.sent
        assert len(accepted) == len(set(accepted))
        assert not set(accepted) & set(trader.refused)
        await admin.fault("clear")
        for asked in trader.doubtful:
            found = await venue.find(asked)
            assert (found is not None) == (asked.client_order_id in accepted)
        still_open = {each.client_order_id for each in await venue.open_orders(None)}
        assert {each.client_order_id for each in trader.resting} <= still_open
