"""What a portfolio is valued from: sums of deals, balances and positions that belong together, opening prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.private import Treasury
from oms.errors import OmsError
from oms.model import Deal, Instrument, Permission, Position, Principal, Side
from oms.valuing import Pair, Sums, first_price
from tests.oms import full_rows
from tests.oms.desk.scripted_venue import Fault
from tests.oms.orders_made import INVERSE, LINEAR, SPOT
from tests.oms.serving import World, lose_database, one, sending
from tests.waiting import until

D = Decimal
ADMIN = World.admin


def deal(symbol: str, side: Side, qty: Any, price: Any, **fields: Any) -> Deal:
    given = {"fee": D(0), "more_fees": {}, "realized_pnl": D(0), "position_id": 1, **fields}
    return full_rows.deal(1, symbol=symbol, side=side, qty=D(qty), price=D(price), **given)


def position(traded: Instrument) -> Position:
    return Position(
        id=1, account_id=1, symbol=traded.symbol, strategy_id=0, qty=D(1), entry_price=D(1), inverse=traded.inverse,
        contract_size=traded.contract_size, opened_ns=1, updated_ns=1,
    )  # fmt: skip


def test_spot_moves_both_currencies_and_fees_their_own() -> None:
    sums = Sums(0)
    fees = {"fee": D("0.1"), "fee_currency": "BNB", "more_fees": {"USDT": D(2)}}
    sums.add(deal("BTC/USDT", Side.BUY, 3, 10, **fees), position(SPOT))
    sums.add(deal("BTC/USDT", Side.SELL, 1, 20), position(SPOT))
    assert sums.paid == {"BTC": D(2), "USDT": D(-12), "BNB": D("-0.1")}
    assert (sums.realized, sums.contracts) == ({}, {})


def test_contracts_gain_in_what_they_settle_in() -> None:
    sums = Sums(0)
    sums.add(deal(LINEAR.symbol, Side.BUY, 300, 10), position(LINEAR))
    sums.add(deal(LINEAR.symbol, Side.SELL, 100, 20, realized_pnl=D(10)), position(LINEAR))
    sums.add(deal(INVERSE.symbol, Side.SELL, 2, 50, realized_pnl=D("0.5")), position(INVERSE))
    assert (sums.realized, sums.paid) == ({"USDT": D(10), "BTC": D("0.5")}, {})
    linear, inverse = sums.contracts.values()
    assert (linear.qty, linear.worth, linear.contract_size) == (D(200), D(10), D("0.01"))
    assert (inverse.qty, inverse.worth, inverse.inverse) == (D(-2), D(4), True)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 9)), max_size=5), st.integers(0, 100))
def test_the_opening_price_is_that_of_the_first_candle_since(candles: list[tuple[int, int]], at_ms: int) -> None:
    rows: list[list[Decimal | None]] = [[D(began), D(opened), D(0)] for began, opened in sorted(candles)]
    since = [opened for began, opened in sorted(candles) if began >= at_ms]
    assert first_price(rows, at_ms) == (since[0] if since else None)


@pytest.fixture
async def world(dsn: str) -> World:
    """With one account that has money."""
    world = World(dsn)
    await world.account()
    world.venue().held = {"USDT": D(1000), "BTC": D(1), "EUR": D(5), "XYZ": D(2), "OLD": D(0)}
    euro = msgspec.structs.replace(SPOT, symbol="USDT/EUR", base="USDT", quote="EUR")
    world.venue().instruments["USDT/EUR"] = euro
    return world


async def test_an_account_is_read_with_what_its_deals_changed(world: World) -> None:
    heard: list[int] = []
    async with world.ready() as oms:
        room: Treasury = oms
        room.listen(1, lambda: heard.append(1))
        before = await room.holdings(1, "USDT", 0)
        assert (before.exchange, before.positions, before.paid) == ("sim", (), {})
        assert before.balances == {"USDT": D(1000), "BTC": D(1), "EUR": D(5), "XYZ": D(2)}
        assert before.pairs == {"BTC": Pair("BTC/USDT", False), "EUR": Pair("USDT/EUR", True)}
        world.venue().fill_on_place.append(D(1))
        assert (await one(oms, sending())).ok
        await until(lambda: oms.trader(1).desk.book.positions)
        (after,) = [await oms.holdings(1, "USDT", 0)]
        assert [each.qty for each in after.positions] == [D(1)]
        assert after.paid == {"BTC": D(1), "USDT": D(-100)}
        assert heard
        assert (await oms.holdings(1, "USDT", world.clock() + 10**15)).paid == {}, "since a later moment"


async def test_a_venue_that_does_not_answer_leaves_balances_unknown(world: World) -> None:
    async with world.ready() as oms:
        for fault in (Fault.REFUSED, Fault.DROPPED):
            world.venue().script("balances", fault)
            assert (await oms.holdings(1, "USDT", 0)).balances is None
        assert (await oms.holdings(1, "USDT", 0)).balances is not None


async def test_opening_prices_are_asked_for_in_candles_that_begin_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any], bool]] = []

    async def call(func: str, arguments: dict[str, Any], *, public: bool) -> bytes:
        asked.append((func, arguments, public))
        return b"[[1770474600000,101.5,0,0,0,0]]"

    async with world.ready() as oms:
        monkeypatch.setattr(world.venue(), "call", call)
        assert await oms.opening_price(1, "BTC/USDT", 1_770_474_600_000_000_000) == D("101.5")
        await oms.opening_price(1, "BTC/USDT", 1_770_472_800_000_000_000 + 60_000_000_000)
    func, arguments, public = asked[0]
    assert (func, list(arguments), public) == (
        "fetch_ohlcv", ["symbol", "timeframe", "since", "limit", "params"], True,
    )  # fmt: skip
    assert [each["timeframe"] for _, each, _ in asked] == ["30m", "1m"]


async def test_who_may_see_all_of_an_account_and_what_is_said_while_the_database_is_away(world: World) -> None:
    def code(principal: Principal, account_id: int = 1) -> str | None:
        try:
            oms.require_whole(principal, account_id)
        except OmsError as error:
            return error.code
        return None

    def who(**fields: Any) -> Principal:
        permission = Permission(account_id=1, **fields)
        return Principal(user_id=2, user_name="ann", api_key_id=2, permissions={1: permission})

    async with world.ready() as oms:
        assert (code(ADMIN), code(ADMIN, 9), code(who())) == (None, "account_not_found", None)
        assert code(who(strategies=frozenset({1}))) == "strategy_permission_denied"
        assert code(who(can_read=False, can_trade=True)) == "permission_denied"
        world.venue().gate.clear()
        await lose_database(oms)
        await until(lambda: not oms.is_ready)
        with pytest.raises(OmsError) as refused:
            await oms.holdings(1, "USDT", 0)
        assert refused.value.code == "engine_unavailable"
        world.venue().gate.set()
