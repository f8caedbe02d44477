"""Holdings against deals, as runs see them: told when seen twice, across restarts, and never because of no answer."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from oms.model import Instrument, Side
from oms.report import Report
from oms.venues.base import VenuePosition
from tests.oms.desk.scripted_venue import Fault
from tests.oms.orders_made import LINEAR
from tests.oms.reconciled import Scene, scene


async def bought(here: Scene, qty: str, **changes: object) -> None:
    """An order of ours, filled and told."""
    order = await here.ours(**{"qty": Decimal(qty), **changes})
    here.venue.fill(order.exchange_order_id or "", qty)
    await asyncio.sleep(0)
    assert here.filled(order) == Decimal(qty)


def told(here: Scene) -> list[tuple[str, str, str]]:
    """What was said to be wrong: of what, expected, actual."""
    data = [msgspec.json.decode(event.data) for event in here.events("position_mismatch")]
    return [(each["symbol"] or each["currency"], each["expected"], each["actual"]) for each in data]


async def test_balances_that_deals_explain_are_no_news(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.held = {"BTC": Decimal(10), "USDT": Decimal(1000), "DOGE": Decimal(3)}
        await here.run()
        await bought(here, "2")
        here.venue.held = {"BTC": Decimal(12), "USDT": Decimal(800)}
        assert [(await here.run()).mismatches for _ in range(2)] == [[], []]
        assert not told(here)


async def test_a_balance_that_no_deal_explains_is_told_once_when_it_is_seen_twice(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.held = {"BTC": Decimal(10)}
        await bought(here, "2")
        here.venue.held = {"BTC": Decimal(12)}
        await here.run()
        here.venue.held = {"BTC": Decimal("11.5")}
        first = await here.run()
        assert [(each.currency, each.expected, each.actual) for each in first.mismatches] == [
            ("BTC", Decimal(12), Decimal("11.5"))
        ]
        assert not told(here)
    async with scene(dsn) as here:  # what was accounted for is remembered, what was seen once is not
        here.venue.held = {"BTC": Decimal("11.5")}
        await here.run()
        assert not told(here)
        await here.run()
        assert told(here) == [("BTC", "12", "11.5")]
        assert not (await here.run()).mismatches
        assert len(told(here)) == 1
        assert here.events("position_mismatch")[0].channel == "positions"


async def test_right_after_a_deal_balances_are_left_alone(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.held = {"BTC": Decimal(10)}
        await here.run()
        await bought(here, "2")
        for _ in range(3):
            assert not (await here.run(after_s=1.0)).mismatches
        assert not told(here)
        await here.run()
        await here.run()
        assert told(here) == [("BTC", "12", "10")]


async def test_what_the_oms_nets_itself_changes_no_balance(dsn: str) -> None:
    async with scene(dsn, position_mode="hedge") as here:
        here.venue.held = {"BTC": Decimal(10)}
        await here.run()
        await bought(here, "2")
        await bought(here, "2", side=Side.SELL)
        here.book.close_by(1, 2, Decimal(2), here.desk.now_ns())
        await here.desk.commit()
        for _ in range(3):
            assert not (await here.run()).mismatches


@pytest.fixture
def contract() -> Instrument:
    return LINEAR


async def test_positions_of_contracts_are_held_against_the_venues(dsn: str, contract: Instrument) -> None:
    async with scene(dsn) as here:
        here.venue.instruments[contract.symbol] = contract
        here.venue.held = {"USDT": Decimal(100)}
        await here.run()
        await bought(here, "3", symbol=contract.symbol)
        here.venue.positions_held = [VenuePosition(symbol=contract.symbol, qty=Decimal(3))]
        assert not (await here.run()).mismatches
        here.venue.positions_held = []
        await here.run()
        assert not told(here)
        report = await here.run()
        assert told(here) == [(contract.symbol, "3", "0")]
        assert len(report.mismatches) == 1
        assert here.book.positions[1].qty == 3  # nothing is made up


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.REFUSED])
async def test_a_report_that_failed_is_not_flat(dsn: str, contract: Instrument, fault: Fault) -> None:
    async with scene(dsn) as here:
        here.venue.instruments[contract.symbol] = contract
        await bought(here, "3", symbol=contract.symbol)
        for _ in range(3):
            here.venue.script("positions", fault)
            report: Report = await here.run()
            assert not report.mismatches
            assert report.ok is (fault is Fault.REFUSED)
        assert not told(here)
