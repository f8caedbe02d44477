"""Accounts as who watches them sees them: on a real database, with a scripted venue; and what positions are worth."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oms.errors import OmsError
from oms.model import Instrument, Permission, Position, Principal, Quote, Side
from oms.standing import Standings, holding_of, mark_of, plain, rounded, worth_of
from oms.venues.base import Ending, Holding
from tests.oms.orders_made import INVERSE, LINEAR, SPOT
from tests.oms.serving import World, lose_database, one, sending
from tests.waiting import until

D = Decimal


@pytest.fixture
async def world(dsn: str) -> World:
    world = World(dsn)
    await world.account()
    return world


def principal(**fields: Any) -> Principal:
    return Principal(user_id=1, user_name="a", api_key_id=1, **fields)


async def test_money_is_the_venue_s_and_positions_are_those_that_are_committed(world: World) -> None:
    venue = world.venue()
    venue.held["USDT"] = D("1000.50")
    async with world.ready() as oms:
        look = Standings(oms, world.market).look(1)
        now = await look.read()
        assert (now.figures, now.positions) == ({"balance": D("1000.50"), "equity": D("1000.5")}, {})
        world.market.set("BTC/USDT", "110", "111")
        venue.fill_on_place.append(D(2))
        await one(oms, sending(qty="2", price="100"))
        await until(lambda: oms.trader(1).desk.book.positions)
        now = await look.read()
        (held,) = now.positions.values()
        assert (held.symbol, held.side, held.volume, held.price) == ("BTC/USDT", "buy", D(2), D(100))
        assert (held.mark, held.profit) == (D(110), D(20))
        assert now.figures["equity"] == D("1220.5"), "balance, and what was bought at what it would bring"
        assert world.market.watched == {"BTC/USDT": 1}
        venue.fill_on_place.append(D(2))
        await one(oms, sending(side="sell", qty="2", price="105"))
        await until(lambda: not oms.trader(1).desk.book.positions)
        assert (await look.read()).positions == {}
        assert await look.closings([held.ticket]) == {held.ticket: Ending(price=D(105), profit=D(10))}
        await look.close()
        assert venue.inspections[0].closed
        assert world.market.watched["BTC/USDT"] == 0


async def test_a_venue_with_positions_of_its_own_tells_them_and_their_ends(world: World) -> None:
    venue = world.venue()
    held = Holding(ticket=7, symbol="EURUSD", side=Side.SELL, volume=D("0.1"), price=D("1.08"))
    venue.holdings, venue.endings = {7: held}, {7: Ending(price=D(1), profit=D(2))}
    async with world.ready() as oms:
        look = Standings(oms, world.market).look(1)
        assert (await look.read()).positions == {7: held}
        assert await look.closings([7, 8]) == {7: Ending(price=D(1), profit=D(2))}
        await look.close()


async def test_a_venue_that_is_made_anew_is_the_one_that_is_asked(world: World) -> None:
    async with world.ready() as oms:
        look = Standings(oms, world.market).look(1)
        await look.read()
        first = world.venue()
        world.venues.clear()
        await oms.trader(1).reopen()
        await until(lambda: oms.trader(1).venue not in {None, first})
        await look.read()
        assert first.inspections[0].closed
        assert len(world.venue().inspections) == 1
        await look.close()


async def test_while_the_database_or_the_venue_is_away_reading_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.ready() as oms:
        look = Standings(oms, world.market).look(1)
        assert await look.closings([1]) == {}, "nothing was read yet"
        monkeypatch.setattr(oms.trader(1), "_venue", None)
        with pytest.raises(OmsError, match="not been reached"):
            await look.read()
        engine, oms._engine = oms._engine, None
        for ask in (look.read, lambda: Standings(oms, world.market).find(principal(is_admin=True), "1")):
            with pytest.raises(OmsError) as refused:
                await ask()  # type: ignore[misc]  # the second raises before there is anything to wait for
            assert refused.value.code == "engine_unavailable"
        oms._engine = engine
        await lose_database(oms)


async def test_an_account_is_found_by_number_and_name_by_who_may_see_all_of_it(world: World) -> None:
    second = await world.account("second")
    owner = principal(permissions={1: Permission(account_id=1)})
    async with world.serving() as oms:
        standings = Standings(oms, world.market)
        assert [standings.find(owner, each) for each in ("1", "main")] == [1, 1]
        assert standings.find(principal(is_admin=True), "second") == second
        refusals = {
            "account_not_found": [(owner, "2"), (owner, "second"), (owner, "nobody"), (owner, "¹"), (owner, "9" * 30)],
            "permission_denied": [
                (principal(permissions={1: Permission(account_id=1, can_read=False, can_trade=True)}), "1")
            ],
            "strategy_permission_denied": [
                (principal(permissions={1: Permission(account_id=1, strategies=frozenset({3}))}), "main")
            ],
        }
        for code, asked in refusals.items():
            for who, reference in asked:
                with pytest.raises(OmsError) as refused:
                    standings.find(who, reference)
                assert refused.value.code == code, reference
        await oms.stop()
        standings.require(owner, 1)
        with pytest.raises(OmsError, match="no such account"):
            standings.require(owner, 2)


# --- what positions are worth -----------------------------------------------------------------------------------------


def position(qty: str, entry: str | None = "100", **changes: Any) -> Position:
    return Position(**{
        "id": 1, "account_id": 1, "symbol": "BTC/USDT", "strategy_id": 0, "qty": D(qty),
        "entry_price": None if entry is None else D(entry), "opened_ns": 0, "updated_ns": 0, **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("instrument", "changes", "currency", "worth"),
    [
        (SPOT, {}, "USDT", D(220)),
        (LINEAR, {"contract_size": D("0.01")}, "USDT", D("0.2")),
        (INVERSE, {"inverse": True, "contract_size": D(100)}, "USD", None),
        (SPOT, {}, "EUR", None),
        (None, {}, "USDT", None),
    ],
)
def test_a_position_adds_to_a_balance_in_its_own_currency(
    instrument: Instrument | None, changes: dict[str, Any], currency: str, worth: Decimal | None
) -> None:
    assert worth_of(position("2", **changes), D(110), instrument, currency) == worth


def test_a_position_could_be_closed_at_the_other_side_s_price() -> None:
    quote = Quote(bid=D(1), ask=D(2), last=D(3), t_in_ns=0)
    assert (mark_of(quote, D(5)), mark_of(quote, D(-5))) == (D(1), D(2))
    assert mark_of(Quote(bid=None, ask=None, last=D(3), t_in_ns=0), D(5)) == D(3)
    assert mark_of(Quote(bid=D(1), ask=D(2), last=D(3), t_in_ns=0, stale=True), D(5)) is None
    assert mark_of(None, D(5)) is None


def test_a_holding_counts_what_was_realised_already() -> None:
    held = holding_of(position("-2", realized_pnl=D(7), stop_loss=D("120.00")), D(90))
    assert (held.side, held.volume, held.profit, held.sl, held.tp) == (Side.SELL, D(2), D(27), D(120), None)
    assert holding_of(position("2", None), D(90)).profit is None


def test_zeros_that_say_nothing_are_left_out() -> None:
    assert [str(plain(D(each))) for each in ("1.500", "2.000000000000000000", "0E-18")] == ["1.5", "2", "0"]
    assert str(rounded(D("1.0000000000000000004"))) == "1"
