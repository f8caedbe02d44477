"""All accounts of a database: loaded where they were left, and changes taken over while they are traded on."""

from __future__ import annotations

import pytest

from oms.engine import Engine, Parts
from oms.errors import OmsError
from oms.model import Event, TradingState
from oms.payloads import Payloads
from oms.store import admin
from oms.store.pool import Pool
from tests.oms.serving import World, lose_database, sending
from tests.waiting import until


def parts(world: World, pool: Pool) -> Parts:
    return Parts(
        dsn=world.dsn,
        pool=pool,
        market=world.market,
        payloads=Payloads(pool),
        vault=world.vault,
        venue_of=world.venue_of,
        clock_ns=world.clock,
    )  # fmt: skip


def is_open(engine: Engine) -> bool:
    return all(trader.desk.obstacle is None for trader in engine.traders.values())


@pytest.fixture
async def world(dsn: str) -> World:
    world = World(dsn)
    await world.account()
    return world


async def test_ids_and_sequences_go_on_where_they_were(world: World, pool: Pool) -> None:
    async with world.ready() as oms:
        for _ in range(3):
            await oms.execute(world.admin, sending())
        before = oms._engine.trader(1).desk.book.sequences if oms._engine else None
    engine = Engine(parts(world, pool))
    heard: list[Event] = []
    await engine.start(heard.extend)
    try:
        desk = engine.trader(1).desk
        assert desk.book.sequences == before
        assert [order.id for order in desk.book.open_orders.values()] == [1, 2, 3]
        assert (desk.ids.order(), desk.ids.command()) == (4, 4)
        with pytest.raises(OmsError):
            engine.trader(2)
    finally:
        await engine.stop(1.0)


async def test_other_credentials_open_the_venue_anew(world: World, pool: Pool) -> None:
    engine = Engine(parts(world, pool))
    await engine.start(lambda events: None)
    try:
        await until(lambda: is_open(engine))
        await engine.refresh()
        assert world.opened == [(1, {})]
        await admin.set_credentials(pool, 1, world.vault.seal(1, {"apiKey": "k"}))
        await engine.refresh()
        await until(lambda: is_open(engine))
        assert world.opened == [(1, {}), (1, {"apiKey": "k"})]
    finally:
        await engine.stop(1.0)


async def test_sealed_under_a_lost_key_stops_one_account_only(world: World, pool: Pool) -> None:
    other = await world.account("other")
    await admin.set_credentials(pool, other, b"sealed under another key")
    engine = Engine(parts(world, pool))
    await engine.start(lambda events: None)
    try:
        await until(lambda: engine.trader(1).desk.obstacle is None)
        assert engine.trader(other).desk.obstacle is not None
    finally:
        await engine.stop(0.1)


async def test_the_kill_switch_is_read_at_the_start(world: World, pool: Pool) -> None:
    await admin.set_setting(pool, "trading_state", "reducing")
    engine = Engine(parts(world, pool))
    await engine.start(lambda events: None)
    await engine.stop(0.1)
    assert engine._everywhere is TradingState.REDUCING


async def test_it_says_when_the_database_is_lost(world: World) -> None:
    async with world.ready() as oms:
        engine = oms._engine
        await lose_database(oms)
        assert engine is not None
        assert engine.lost.is_set()
