"""Alerts on the whole OMS with a real database: met once, told once, and kept whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from oms.alerts.service import AlertLimits, NewAlert, price_of
from oms.errors import OmsError
from oms.model import AlertState, AlertType, Permission, Principal, Quote
from oms.outbox import Snapshot
from oms.service import Oms
from oms.store import alerts
from tests.oms.desk.desks import ADMIN
from tests.oms.serving import World, lose_database
from tests.waiting import until

SYMBOL = "BTC/USDT"
ANN = Principal(user_id=5, user_name="ann", api_key_id=5, permissions={1: Permission(account_id=1)})
BOB = Principal(user_id=6, user_name="bob", api_key_id=6, permissions={1: Permission(account_id=1)})
EVE = Principal(user_id=7, user_name="eve", api_key_id=7)
SAM = Principal(
    user_id=8, user_name="sam", api_key_id=8, permissions={1: Permission(account_id=1, strategies=frozenset({7}))}
)


@pytest.fixture
async def world(dsn: str) -> World:
    made = World(dsn)
    await made.account()
    return made


def wanted(kind: AlertType = AlertType.ABOVE, price: str | None = "100", **fields: Any) -> NewAlert:
    level = None if price is None else Decimal(price)
    return NewAlert(account_id=1, symbol=SYMBOL, type=kind, price=level, **fields)


def price(world: World, value: str, **fields: Any) -> None:
    world.market.set(SYMBOL, value, value, **fields)


async def told(oms: Oms, count: int) -> list[dict[str, Any]]:
    """What the private stream says, once it has so many."""
    view = await oms.outbox.open(ADMIN, 1, "alerts")
    await until(lambda: view.newest >= count)
    page = await view.read(0, 1_000)
    assert [event.channel_sequence for event in page.events] == list(range(1, count + 1))
    return [json.loads(event.data) for event in page.events]


async def refusal(asked: Any) -> str:
    with pytest.raises(OmsError) as refused:
        await asked
    return refused.value.code


async def test_a_rule_is_met_once_and_again_when_it_is_armed_again(world: World) -> None:
    async with world.ready() as oms:
        price(world, "99")
        made = await oms.alerts.create(ANN, wanted(message="sell"))
        assert (made.state, made.user_id, made.exchange) == (AlertState.ARMED, 5, "sim")
        for value in ("99.5", "100.5", "101", "99", "102"):
            price(world, value)
        (event,) = await told(oms, 1)
        assert (event["alert_id"], event["type"], event["message"], event["symbol"]) == (1, "above", "sell", SYMBOL)
        assert set(event) == {"alert_id", "type", "message", "symbol", "triggered_at"}
        (row,) = await alerts.every(oms.pool)
        assert (row.state, row.triggered_price) == (AlertState.TRIGGERED, Decimal("100.5"))
        assert world.market.watched[SYMBOL] == 0
        price(world, "98")
        assert (await oms.alerts.rearm(ANN, 1)).state is AlertState.ARMED
        assert (await oms.alerts.rearm(ANN, 1)).state is AlertState.ARMED
        price(world, "100")
        assert len(await told(oms, 2)) == 2


async def test_what_is_met_already_is_told_at_once(world: World) -> None:
    async with world.ready() as oms:
        price(world, "101")
        assert (await oms.alerts.create(ANN, wanted())).state is AlertState.TRIGGERED
        assert (await oms.alerts.rearm(ANN, 1)).state is AlertState.TRIGGERED
        assert len(await told(oms, 2)) == 2


async def test_a_stale_quote_meets_nothing(world: World) -> None:
    async with world.ready() as oms:
        price(world, "99")
        await oms.alerts.create(ANN, wanted())
        price(world, "102", stale=True)
        price(world, "101")
        await told(oms, 1)
        assert [row.triggered_price for row in await alerts.every(oms.pool)] == [Decimal(101)]


async def test_every_kind_is_met(world: World) -> None:
    async with world.ready() as oms:
        price(world, "100")
        for kind, level in ((AlertType.ABOVE, "110"), (AlertType.BELOW, "90"), (AlertType.CROSSES, "105")):
            await oms.alerts.create(ANN, wanted(kind, level))
        change = wanted(AlertType.PERCENT_CHANGE, None, percent=Decimal(-15), window_s=60)
        await oms.alerts.create(ANN, change)
        for value in ("106", "111", "89"):
            price(world, value)
        assert [event["type"] for event in await told(oms, 4)] == ["crosses", "above", "below", "percent_change"]


async def test_after_a_restart_and_a_lost_database_rules_wait_on(world: World) -> None:
    async with world.ready() as oms:
        price(world, "99")
        for level in ("100", "101", "102"):
            await oms.alerts.create(ANN, wanted(price=level))
        price(world, "100")
        await told(oms, 1)
        await lose_database(oms)
        await until(lambda: oms.is_ready)
        price(world, "101")
        await told(oms, 2)
    async with world.ready() as oms:
        price(world, "101.5")
        price(world, "103")
        assert [event["alert_id"] for event in await told(oms, 3)] == [1, 2, 3]
        assert await (await oms.outbox.open(ADMIN, 1, "alerts")).snapshot() == Snapshot(3, None)


async def test_it_is_written_with_its_event_or_not_at_all(world: World) -> None:
    """The database is lost with the very batch that says so: it is told once, by whichever process is then."""
    async with world.ready() as oms:
        price(world, "99")
        await oms.alerts.create(ANN, wanted())
        losing = asyncio.create_task(lose_database(oms))
        price(world, "100")
        await losing
        await until(lambda: oms.is_ready)
        price(world, "100")
        await told(oms, 1)
        (row,) = await alerts.every(oms.pool)
        assert row.state is AlertState.TRIGGERED
        assert await oms.pool.fetchval("SELECT alerts_sequence FROM accounts") == 1
        assert await oms.pool.fetchval("SELECT count(*) FROM oms_events WHERE channel = 'alerts'") == 1


async def test_who_may_do_what(world: World) -> None:
    async with world.ready() as oms:
        price(world, "99")
        made = await oms.alerts.create(ANN, wanted())
        assert await refusal(oms.alerts.create(EVE, wanted())) == "account_not_found"
        assert await refusal(oms.alerts.create(SAM, wanted())) == "strategy_permission_denied"
        assert await refusal(oms.alerts.delete(BOB, made.id)) == "permission_denied"
        assert await refusal(oms.alerts.rearm(EVE, made.id)) == "alert_not_found"
        assert await refusal(oms.alerts.delete(ANN, 99)) == "alert_not_found"
        assert (await oms.alerts.delete(ADMIN, made.id)).state is AlertState.DELETED
        assert await refusal(oms.alerts.delete(ANN, made.id)) == "alert_not_found"
        price(world, "101")
        assert await alerts.every(oms.pool) == []
        assert (await oms.alerts.create(ANN, wanted())).id == made.id + 1, "an id is given once"
        await told(oms, 1)


async def test_a_request_that_is_sent_again_makes_no_other(world: World) -> None:
    asked = wanted(message="sell", request_id="r1")
    async with world.ready() as oms:
        price(world, "99")
        first, second = await asyncio.gather(oms.alerts.create(ANN, asked), oms.alerts.create(ANN, asked))
        assert first == second == await oms.alerts.create(ANN, wanted(message="sell", exchange="sim", request_id="r1"))
        assert await alerts.every(oms.pool) == [first]
        for other in (wanted(request_id="r1"), wanted(price="101", message="sell", request_id="r1")):
            assert await refusal(oms.alerts.create(ANN, other)) == "idempotency_conflict"
        assert (await oms.alerts.create(BOB, asked)).id != first.id, "another key has requests of its own"
    async with world.ready(alert_limits=AlertLimits(per_user_max=1)) as oms:
        price(world, "99")
        assert await oms.alerts.create(ANN, asked) == first, "after a restart, and where there is room for no other"
        await oms.alerts.delete(ANN, first.id)
        assert (await oms.alerts.create(ANN, asked)).id != first.id


async def test_there_may_be_so_many(world: World) -> None:
    async with world.ready(alert_limits=AlertLimits(per_user_max=2, per_account_max=3)) as oms:
        price(world, "99")
        first, _ = [await oms.alerts.create(ANN, wanted()) for _ in range(2)]
        price(world, "100")
        assert await refusal(oms.alerts.create(ANN, wanted())) == "too_many_subscriptions", "triggered ones count"
        await oms.alerts.create(BOB, wanted())
        assert await refusal(oms.alerts.create(BOB, wanted())) == "too_many_subscriptions"
        await oms.alerts.delete(ANN, first.id)
        await oms.alerts.create(ANN, wanted())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": None}, "price"),
        ({"percent": Decimal(1)}, "percent"),
        ({"window_s": 60}, "window_s"),
        ({"kind": AlertType.PERCENT_CHANGE}, "price"),
        ({"kind": AlertType.PERCENT_CHANGE, "price": None, "percent": Decimal(1)}, "window_s"),
        ({"kind": AlertType.PERCENT_CHANGE, "price": None, "percent": Decimal(0), "window_s": 60}, "percent"),
        ({"kind": AlertType.PERCENT_CHANGE, "price": None, "percent": Decimal(-101), "window_s": 60}, "percent"),
    ],
)
async def test_a_rule_has_what_its_type_needs(world: World, changes: dict[str, Any], field: str) -> None:
    async with world.ready() as oms:
        price(world, "99")
        with pytest.raises(OmsError) as refused:
            await oms.alerts.create(ANN, wanted(**changes))
        assert (refused.value.code, refused.value.details) == ("validation_error", {"field": field})


async def test_what_has_no_quote_is_refused(world: World) -> None:
    async with world.ready() as oms:
        assert await refusal(oms.alerts.create(ANN, wanted())) == "stale_market_data"


def test_the_price_is_the_last_or_the_middle() -> None:
    def quote(bid: int | None, ask: int | None, last: int | None) -> Quote:
        numbers = [None if each is None else Decimal(each) for each in (bid, ask, last)]
        return Quote(bid=numbers[0], ask=numbers[1], last=numbers[2], t_in_ns=0)

    assert price_of(quote(1, 2, 5)) == 5
    assert price_of(quote(1, 2, None)) == Decimal("1.5")
    assert price_of(quote(1, None, None)) is None
    assert price_of(quote(None, None, 10**18)) is None
