"""The whole OMS: commands through it, its database lost and back, its process ended and begun again, changes heard."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from oms.engine import Engine
from oms.errors import OmsError
from oms.journal import DESK_LOCK
from oms.model import Account, Environment, OrderState, Permission, Principal
from oms.postgres import PostgresError
from oms.signers import Signers
from oms.signing import Signed, commands_key, sign, signed_text
from oms.store import admin, history
from oms.store.migrate import MigrationError
from oms.store.pool import Pool, connect
from tests.oms.desk.desks import ADMIN
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.oms.desk.trading_made import code
from tests.oms.serving import World, asking, is_ready, lose_database, one, sending
from tests.waiting import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in doubt is asked about at once, and two misses need not be apart."""
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.01,))
    monkeypatch.setattr("oms.desk.settling.APART_NS", 0)
    monkeypatch.setattr("oms.service.RETRY_S", (0.01,))
    monkeypatch.setattr("oms.trader.RETRY_S", (0.01,))


@pytest.fixture
async def world(dsn: str) -> World:
    """With one account."""
    world = World(dsn)
    await world.account()
    return world


@pytest.mark.every_server
async def test_an_order_is_sent_changed_canceled_and_told_of(world: World, pool: Pool) -> None:
    async with world.ready() as oms:
        assert (await one(oms, sending())).order_id == 1
        assert (await one(oms, asking("change_order", order_id=1, new_price="101"))).ok
        assert (await one(oms, asking("cancel_order", order_id=1))).ok
        events = await history.events_after(pool, 1, 0)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert (await history.orders_by_ids(pool, [1]))[1].state is OrderState.CANCELED
    assert await pool.fetchval("SELECT DISTINCT order_id FROM oms_exchange_payloads") == 1  # what the venue said


async def test_a_body_is_answered_in_its_order(world: World) -> None:
    async with world.ready() as oms:
        answers = await oms.execute(
            Principal(user_id=1, user_name="a", api_key_id=1, is_admin=True),
            [sending(), {"command": "dance"}, sending(account_id=9)],
            idempotency_key="k",
        )
        assert [code(answer) for answer in answers] == [None, "validation_error", "account_not_found"]
        with pytest.raises(OmsError):
            await oms.execute(Principal(user_id=1, user_name="a", api_key_id=1), [])


async def test_nothing_is_taken_before_the_venue_was_heard(world: World, pool: Pool) -> None:
    world.venue().script("open_orders", Fault.DROPPED)
    world.venue().gate.clear()
    async with world.serving() as oms:
        assert code(await one(oms, sending(request_id="r"))) == "exchange_unavailable"
        assert [*oms.obstacles] == [1]
        assert (oms.is_ready, oms.are_accounts_ready) == (True, False)
        (row,) = oms.readiness()
        assert (row.account_id, row.reconciled, row.obstacle) == (1, False, oms.obstacles[1])
        world.venue().gate.set()
        await until(lambda: is_ready(oms))
        assert (await one(oms, sending(request_id="r"))).ok
        assert oms.are_accounts_ready
        assert [(row.reconciled, row.obstacle) for row in oms.readiness()] == [(True, None)]


async def test_an_account_needs_somewhere_for_its_orders_to_go(world: World) -> None:
    def nowhere(account: Account, credentials: Mapping[str, Any]) -> ScriptedVenue:
        if account.exchange == "elsewhere":
            raise OmsError("unsupported_engine", "no exchange elsewhere is configured")
        return ScriptedVenue()

    async with world.ready() as oms:
        oms._parts = msgspec.structs.replace(oms._parts, venue_of=nowhere)
        account = Account(id=0, name="a", exchange="sim", environment=Environment.LIVE, epoch="")
        await oms.require_venue(account)
        with pytest.raises(OmsError, match="elsewhere"):
            await oms.require_venue(msgspec.structs.replace(account, exchange="elsewhere"))


@pytest.mark.every_server
async def test_the_database_lost_refuses_and_back_goes_on_with_what_was_committed(world: World, pool: Pool) -> None:
    async with world.ready() as oms:
        await one(oms, sending(client_order_id="before"))
        world.venue().gate.clear()
        lost = asyncio.create_task(one(oms, sending(client_order_id="during", request_id="r")))
        await until(lambda: world.venue().requests.count("place") == 2)
        await lose_database(oms)
        answer = await lost
        assert code(answer) == "engine_unavailable"
        world.venue().gate.set()
        await until(lambda: is_ready(oms))
        (again,) = await oms.execute(Principal(user_id=1, user_name="a", api_key_id=1, is_admin=True), sending(
            client_order_id="during", request_id="r"))  # fmt: skip
        assert (code(again), again.replayed) == ("exchange_error", True)  # proved: the request never arrived
        assert world.venue().placed == ["before"]
        assert (await one(oms, asking("cancel_order", order_id=1))).ok


async def test_a_database_that_comes_back_in_several_tries_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails meanwhile: the start of its server, or a statement on one that is not yet what it was."""
    away = ConnectionRefusedError("gone again")
    failures = [asyncpg.ReadOnlySQLTransactionError("a replica still"), away, away]
    revived = [PostgresError("its folder is locked"), None]

    async def revive() -> None:
        if (error := revived.pop(0) if revived else None) is not None:
            raise error

    async with world.ready(revive=revive) as oms:
        make = oms._new_engine

        async def new_engine() -> Engine:
            if failures:
                raise failures.pop(0)
            return await make()

        monkeypatch.setattr(oms, "_new_engine", new_engine)
        with capture_logs() as logs:
            await lose_database(oms)
            await until(lambda: not failures and not revived and is_ready(oms))
        told = [(line["log_level"], line.get("error")) for line in logs if "not back" in line["event"]]
        assert told.count(("warning", "gone again")) == 1
        assert (await one(oms, sending())).ok


async def test_changes_are_heard_after_a_statement_failed(
    world: World, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.store.changes.RETRY_S", 0.01)
    failures = [asyncpg.ReadOnlySQLTransactionError("failed over")]
    async with world.ready() as oms:
        assert oms._engine is not None
        refresh = oms._engine.refresh

        async def refreshing() -> None:
            if failures:
                raise failures.pop()
            await refresh()

        monkeypatch.setattr(oms._engine, "refresh", refreshing)
        number = await world.account("second")
        await until(lambda: not failures and number in oms._running().traders)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DROPPED])
@pytest.mark.every_server
async def test_what_was_sent_when_the_process_ended_is_found_out(world: World, fault: Fault) -> None:
    venue = world.venue()
    async with world.ready(stop_s=0.0) as oms:
        venue.streaming = False
        venue.script("place", fault)
        venue.script("find", *[Fault.DROPPED] * 1_000)
        sent = asyncio.create_task(one(oms, sending(request_id="r")))
        await until(lambda: venue.requests.count("place") == 1)
    assert code(await sent) == "engine_unavailable"
    venue._script.clear()
    async with world.ready() as oms:
        answer = await one(oms, sending(request_id="r"))
        assert answer.replayed
        assert code(answer) == (None if fault is Fault.LOST else "exchange_error")
        assert len(venue.placed) == (fault is Fault.LOST)


@pytest.mark.every_server
async def test_fills_while_nobody_listened_are_booked_before_anything_is_taken(world: World) -> None:
    async with world.ready() as oms:
        await one(oms, sending())
    world.venue().fill("x1", "0.4")
    async with world.ready() as oms:
        assert oms._engine is not None
        assert oms._engine.trader(1).desk.book.orders[1].filled == Decimal("0.4")


async def test_accounts_trade_side_by_side(world: World) -> None:
    await world.account("other")
    async with world.ready() as oms:
        world.venue(1).gate.clear()
        waiting = asyncio.create_task(one(oms, sending()))
        assert (await one(oms, sending(account_id=2))).ok
        assert not waiting.done()
        world.venue(1).gate.set()
        assert (await waiting).ok


async def test_permissions_are_of_the_key(world: World) -> None:
    async with world.ready() as oms:
        reader = Principal(user_id=2, user_name="r", api_key_id=2, permissions={1: Permission(account_id=1)})
        nobody = Principal(user_id=3, user_name="n", api_key_id=3)
        assert code(await one(oms, sending(), reader)) == "permission_denied"
        assert code(await one(oms, sending(), nobody)) == "account_not_found"
        assert oms.exchange_of(reader, 1) == "sim"
        assert (oms.readable(reader), oms.readable(nobody)) == ([1], [])
        with pytest.raises(OmsError) as unknown:
            oms.exchange_of(nobody, 1)
        assert unknown.value.code == "account_not_found"
        assert world.venue().requests.count("place") == 0


async def test_changes_by_others_are_in_force_soon_and_ours_at_once(world: World, pool: Pool) -> None:
    async with world.ready() as oms:
        await admin.set_setting(pool, "trading_state", "halted")
        await until(lambda: oms._engine and oms._engine._everywhere == "halted")
        assert code(await one(oms, sending())) == "risk_blocked"
        await admin.set_setting(pool, "trading_state", "active")
        number = (await admin.add_account(pool, "new", "sim", epoch="e9")).id
        await admin.set_credentials(pool, number, oms.vault.seal(number, {"apiKey": "k"}))
        await oms.changed()
        await until(lambda: is_ready(oms))
        assert (await one(oms, sending(account_id=number))).ok
        assert (number, {"apiKey": "k"}) in world.opened
        strategy = await admin.add_strategy(pool, 1, "grid")
        await oms.changed()
        assert (await one(oms, sending(strategy_id=strategy.id))).ok


async def test_another_desk_of_the_same_database_begins_when_the_first_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.service.TAKEN_WAIT_S", 0.01)
    monkeypatch.setattr("oms.journal.LOCK_WAIT_S", 0.2)
    async with world.ready() as first, contextlib.AsyncExitStack() as stack:
        late = await stack.enter_async_context(world.serving())
        assert (await one(first, sending(request_id="a"))).ok
        refused = await one(late, sending(request_id="b"))
        assert refused.error is not None
        assert (refused.error["code"], refused.error["retry_after_ms"]) == ("engine_unavailable", 1_000)
        assert "another process" in refused.error["message"]
        assert not late.is_ready
        assert late.auth.version, "who may come in is known before"
        await first.stop()
        await until(lambda: is_ready(late))
        assert (await one(late, sending(request_id="b"))).ok
        again = await one(late, sending(request_id="a"))
        assert again.ok, "what the first one did is known"


async def test_what_the_desk_before_us_may_have_carried_out_is_not_signed_for_us(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that one knows which messages came to it, until it ended."""
    monkeypatch.setattr("oms.service.TAKEN_WAIT_S", 0.01)
    monkeypatch.setattr("oms.journal.LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(Signers, "_secret", lambda *_: b"secret")

    def signed() -> Signed:
        unsigned = Signed("", world.clock() // 1_000_000, secrets.token_urlsafe(16), b"{}")
        return unsigned._replace(sig=sign(commands_key(b"secret", ""), signed_text(unsigned)))

    async with world.ready() as first, contextlib.AsyncExitStack() as stack:
        late = await stack.enter_async_context(world.serving())
        world.clock.advance(1)
        message = signed()
        assert (await first.execute(ADMIN, sending(), signature=message))[0].ok
        world.clock.advance(1)
        await first.stop()
        await until(lambda: is_ready(late))
        with pytest.raises(OmsError, match="within") as refused:
            await late.execute(ADMIN, sending(), signature=message)
        assert (refused.value.details or {})["reason"] == "timestamp_out_of_window"
        assert (await late.execute(ADMIN, sending(), signature=signed()))[0].ok


async def test_tables_are_changed_when_nobody_writes_any_more(empty_dsn: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
    former = await connect(empty_dsn)
    try:
        await former.execute("SELECT pg_advisory_lock($1)", DESK_LOCK)
        async with contextlib.AsyncExitStack() as stack:
            beginning = asyncio.create_task(stack.enter_async_context(World(empty_dsn).serving()))
            async with asyncio.timeout(10):
                while not await former.fetchval(waiting, DESK_LOCK):  # noqa: ASYNC110  # the server's, not an event of ours
                    await asyncio.sleep(0.01)
            assert await former.fetchval("SELECT to_regclass('accounts') IS NULL")
            await former.close()
            assert (await beginning).is_ready
    finally:
        await former.close()


async def test_a_desk_that_waits_can_be_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.service.TAKEN_WAIT_S", 0.01)
    async with world.ready() as first:
        async with world.serving() as late:
            assert not late.is_ready
        assert (await one(first, sending())).ok


@pytest.mark.every_server
async def test_a_database_without_tables_is_made_or_refused(empty_dsn: str) -> None:
    world = World(empty_dsn)
    with pytest.raises(MigrationError):
        async with world.serving(migrates=False):
            pass
    async with world.serving() as oms:
        assert oms.obstacles == {}


async def test_a_report_can_be_asked_for_and_orders_given_away(world: World, pool: Pool) -> None:
    async with world.ready() as oms:
        strategy = await admin.add_strategy(pool, 1, "grid")
        await oms.changed()
        await one(oms, sending())
        assert (await oms.reconcile(1)).ok
        owner = Principal(user_id=1, user_name="a", api_key_id=1, is_admin=True)
        orders, _ = await oms.reassign(owner, 1, strategy.id, order_ids=[1], position_ids=[])
        assert [order.strategy_id for order in orders] == [strategy.id]
        with pytest.raises(OmsError):
            await oms.reconcile(7)


async def test_an_account_that_takes_signed_commands_only(world: World, pool: Pool) -> None:
    await world.account("other")
    account, _ = await admin.accounts(pool)
    async with world.ready() as oms:
        await admin.set_account(pool, msgspec.structs.replace(account, requires_signing=True))
        await oms.changed()
        answers = await oms.execute(ADMIN, [sending(), sending(account_id=2), sending(account_id=9)])
        assert [code(answer) for answer in answers] == ["permission_denied", None, "account_not_found"]
        stranger = Principal(user_id=5, user_name="x", api_key_id=5, permissions={})
        assert code(await one(oms, sending(), stranger)) == "account_not_found", "it is not even there"
        with pytest.raises(OmsError, match="before keys could sign"):
            await oms.execute(ADMIN, sending(account_id=2), signature=Signed("s", 1, "n" * 16, b""))
        with pytest.raises(OmsError, match="before keys could sign"):
            oms.require_right(ADMIN, Signed("s", 1, "n" * 16, b""))
        await admin.set_account(pool, account)
        await oms.changed()
        assert (await one(oms, sending())).ok
