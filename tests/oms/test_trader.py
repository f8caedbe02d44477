"""One account from its load to its stop: opened again and again, refused meanwhile, stops and deadlines armed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from msgspec.structs import replace

from oms.model import TradingState
from oms.payloads import Payloads
from oms.store import admin
from oms.trader import Readiness, Trader
from oms.vault import VaultError
from oms.venues.base import Ambiguous, Listener, Venue
from tests.oms.desk.desks import setting
from tests.oms.desk.holding import SYMBOL, holding
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.waiting import until


class Moody(ScriptedVenue):
    """Cannot be started the first times."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__()
        self.errors = errors

    async def start(self, listener: Listener) -> None:
        if self.errors:
            raise self.errors.pop()
        await super().start(listener)

    async def close(self) -> None:
        await super().close()
        raise OSError("it fails at this too")


class Account:
    """A trader and the venues that were made for it."""

    def __init__(self, trader: Trader, made: list[ScriptedVenue]) -> None:
        self.trader = trader
        self.made = made


@asynccontextmanager
async def trading(dsn: str, *venues: ScriptedVenue | Exception) -> AsyncIterator[Account]:
    """An account whose venue is made of these, one after another."""
    left, made_venues = list(venues), list[ScriptedVenue]()
    async with setting(dsn) as made:

        async def make_venue() -> Venue:
            venue = left.pop(0)
            if isinstance(venue, Exception):
                raise venue
            made_venues.append(venue)
            return venue

        trader = Trader(
            made.book, made.desk.ids, journal=made.journal, make_venue=make_venue, market=made.market,
            pool=made.desk.pool, payloads=Payloads(made.desk.pool), everywhere=lambda: TradingState.ACTIVE,
            clock_ns=made.clock,
        )  # fmt: skip
        trader.start()
        try:
            yield Account(trader, made_venues)
        finally:
            await trader.stop(0.1)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.trader.RETRY_S", (0.0,))


async def test_it_is_opened_again_and_again_and_refuses_meanwhile(dsn: str) -> None:
    venue = Moody([ValueError("unforeseen"), Ambiguous("no answer")])
    venue.script("open_orders", Fault.DROPPED)
    async with trading(dsn, VaultError("sealed otherwise"), venue) as account:
        assert account.trader.desk.obstacle is not None
        assert account.trader.readiness == Readiness(1, False, False, account.trader.desk.obstacle)
        await until(lambda: account.trader.desk.obstacle is None)
        assert account.trader.readiness == Readiness(1, True, True, None)
        assert venue.errors == []
    assert account.trader.desk.obstacle is not None
    assert venue.closed


async def test_other_credentials_mean_another_venue(dsn: str) -> None:
    first, second = ScriptedVenue(), ScriptedVenue()
    async with trading(dsn, first, second) as account:
        await until(lambda: account.trader.desk.obstacle is None)
        await account.trader.reopen()
        assert account.trader.desk.obstacle is not None
        await until(lambda: account.trader.desk.obstacle is None)
        assert account.made == [first, second]
        assert first.closed
        assert account.trader.desk.venue is second


async def test_what_rests_to_reduce_what_is_gone_is_canceled_also_when_nobody_was_there(dsn: str) -> None:
    venue = ScriptedVenue()
    async with holding(dsn) as held:
        await held.trade("buy", "2")
        await held.run(
            "send_order", symbol=SYMBOL, side="sell", order_type="limit", price="130", qty="2", reduce_only=True
        )
        await held.trade("sell", "1.5")
        venue.go_on_from(held.venue)
    async with trading(dsn, venue) as account:
        await until(lambda: account.trader.desk.obstacle is None)
        await until(lambda: not account.trader.desk.book.open_orders)
        (position,) = account.trader.desk.book.positions.values()
        assert position.qty == Decimal("0.5")
        assert venue.requests.count("cancel") == 1


async def test_an_order_that_changes_is_held_against_what_there_is_to_reduce(dsn: str) -> None:
    venue = ScriptedVenue()
    async with holding(dsn, position_mode="strategy_netting") as held:
        await held.trade("buy", "2")
        terms = {"symbol": SYMBOL, "side": "sell", "order_type": "limit", "price": "130", "qty": "2"}
        reducing = (await held.run("send_order", reduce_only=True, **terms)).order_id
        venue.go_on_from(held.venue)
    async with trading(dsn, venue) as account:
        desk = account.trader.desk
        await until(lambda: desk.obstacle is None)
        assert list(desk.book.open_orders) == [reducing]
        desk.book.reassign_order(reducing or 0, 5, desk.now_ns())  # to a strategy that holds nothing
        desk.commit()
        await until(lambda: not desk.book.open_orders)


async def test_what_an_administrator_changed_is_in_force_and_a_limit_is_told(dsn: str) -> None:
    async with trading(dsn, ScriptedVenue()) as account:
        desk = account.trader.desk
        blocked = replace(desk.account, blocked=True)
        account.trader.take_over(blocked, desk.book.risk, frozenset({4}))
        assert (desk.account, desk.strategies) == (blocked, frozenset({4}))
        assert desk.book.sequences.event == 0
        account.trader.take_over(blocked, replace(desk.book.risk, max_open_orders=1), frozenset())
        await desk.commit()
        told = await desk.pool.fetchval("SELECT data FROM oms_events WHERE event = 'risk_changed'")
        assert told["max_open_orders"] == 1
        assert await admin.risk(desk.pool, 1) is not None
