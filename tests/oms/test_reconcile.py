"""What the venue holds against what we have: evidence decides, every fill is booked once, no report is not flat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from oms.keeper import Keeper
from oms.model import OrderState
from oms.report import Cause
from oms.states import ReplaceRequested
from oms.store import history, progress
from oms.venues.base import VenueOrder
from tests.oms.desk.scripted_venue import Fault
from tests.oms.orders_made import T0_NS
from tests.oms.reconciled import Scene, order_of, scene
from tests.waiting import until


@pytest.fixture
async def here(dsn: str) -> AsyncIterator[Scene]:
    async with scene(dsn) as made:
        yield made


def silent(here: Scene) -> None:
    """What happens from now on is not told."""
    here.venue.streaming = False


async def test_a_quiet_account_is_looked_at_and_nothing_is_written(here: Scene) -> None:
    report = await here.run(Cause.START)
    assert report.ok
    assert here.caught_up == 1
    assert (report.orders_checked, report.trades_read, report.finished_ns) == (0, 0, report.started_ns)
    assert not here.around.events
    stored = await progress.last_reconciliation(here.desk.pool, 1)
    assert stored is not None
    assert (stored.status, stored.cause, stored.report["account_id"]) == ("ok", "start", 1)


async def test_what_was_missed_is_booked_once_and_before_it_is_said_to_be_caught_up(here: Scene) -> None:
    silent(here)
    order = await here.ours(qty=Decimal(2))
    assert order.exchange_order_id is not None
    here.venue.fill(order.exchange_order_id, "0.5")
    here.venue.fill(order.exchange_order_id, "0.7")
    report = await here.run(Cause.RECONNECT)
    assert (report.ok, report.deals_booked, here.filled(order)) == (True, 2, Decimal("1.2"))
    assert len(here.events("deal_created")) == 2
    assert (await here.run()).deals_booked == 0
    assert here.state(order) is OrderState.PARTIALLY_FILLED


async def test_an_order_that_is_not_listed_is_asked_about(here: Scene) -> None:
    silent(here)
    filled, canceled, resting = [await here.ours() for _ in range(3)]
    here.venue.fill(filled.exchange_order_id or "", "1")
    here.venue.end(canceled.exchange_order_id or "", "canceled")
    report = await here.run()
    assert [here.state(each) for each in (filled, canceled, resting)] == ["FILLED", "CANCELED", "SUBMITTED"]
    assert {(each.order_id, each.before, each.after) for each in report.resolved} == {
        (filled.id, "SUBMITTED", "FILLED"),
        (canceled.id, "SUBMITTED", "CANCELED"),
    }
    assert not report.undecided


async def test_a_list_that_leaves_an_order_out_proves_nothing(here: Scene) -> None:
    order = await here.ours()
    (there,) = here.venue.orders.values()
    here.venue.orders = {}
    assert (await here.run()).undecided == [order.id]
    here.venue.orders = {there.exchange_order_id: there}
    assert not (await here.run()).undecided
    here.venue.orders = {}
    assert (await here.run()).undecided == [order.id]  # what was found in between is not missed for the second time
    assert here.state(order) is OrderState.SUBMITTED
    report = await here.run()
    assert here.state(order) is OrderState.CANCELED
    assert [(each.before, each.after) for each in report.resolved] == [("SUBMITTED", "CANCELED")]


@pytest.mark.parametrize(("fault", "state"), [(Fault.LOST, OrderState.SUBMITTED), (Fault.DROPPED, OrderState.REJECTED)])
async def test_an_unknown_order_is_resolved_by_evidence_only(here: Scene, fault: Fault, state: OrderState) -> None:
    silent(here)
    here.venue.script("place", fault)
    order = await here.ours()
    assert order.state is OrderState.UNKNOWN
    reports = [await here.run() for _ in range(2)]
    assert here.state(order) is state
    assert reports[0].undecided == ([order.id] if fault is Fault.DROPPED else [])
    assert here.venue.placed == ([order.client_order_id] if fault is Fault.LOST else [])


async def test_what_changed_just_now_is_left_alone(here: Scene) -> None:
    order = await here.ours()
    here.venue.orders = {}
    assert not (await here.run(after_s=4.0)).undecided
    assert "find" not in here.venue.requests
    here.venue.script("place", Fault.DROPPED)
    unknown = await here.ours()
    async with here.desk.lock(order.id):
        report = await here.run(after_s=4.0)
    assert (report.orders_checked, report.undecided) == (2, [])
    assert here.state(unknown) is OrderState.UNKNOWN


async def test_trades_are_read_on_from_where_they_were_read_with_an_overlap(here: Scene, dsn: str) -> None:
    order = await here.ours()
    await here.run()
    assert here.venue.since_ns["BTC/USDT"] == order.created_ns - 300 * 10**9 - (86_400 - 6) * 10**9
    await here.run(after_s=100)
    assert here.venue.since_ns["BTC/USDT"] == order.created_ns - 294 * 10**9
    await here.run(Cause.PERIODIC, after_s=100)
    assert here.venue.since_ns["BTC/USDT"] == order.created_ns - 194 * 10**9
    cursors = await progress.cursors(here.desk.pool, 1)
    assert cursors["trades:BTC/USDT"] == str(here.clock.now_ns)


async def test_a_symbol_once_traded_is_looked_at_again_at_each_connection_but_not_each_period(here: Scene) -> None:
    order = await here.ours()
    here.venue.end(order.exchange_order_id or "", "canceled")
    await asyncio.sleep(0)
    await here.run()
    await here.run(Cause.PERIODIC, after_s=3600)
    here.venue.since_ns.clear()
    await here.run(Cause.PERIODIC, after_s=3600)
    assert not here.venue.since_ns
    await here.run(Cause.RECONNECT)
    assert here.venue.since_ns


async def test_the_symbols_of_open_positions_are_looked_at_each_period(here: Scene) -> None:
    order = await here.ours()
    here.venue.fill(order.exchange_order_id or "", "1")
    await asyncio.sleep(0)
    assert not here.book.open_orders
    for _ in range(3):
        here.venue.since_ns.clear()
        await here.run(Cause.PERIODIC, after_s=3600)
        assert here.venue.since_ns


@pytest.mark.parametrize("method", ["open_orders", "find", "trades", "balances"])
async def test_a_venue_that_does_not_answer_proves_nothing(here: Scene, method: str) -> None:
    silent(here)
    order, gone = await here.ours(), await here.ours()
    here.venue.fill(order.exchange_order_id or "", "1")
    here.venue.end(gone.exchange_order_id or "", "canceled")
    here.venue.script(method, Fault.DROPPED)  # type: ignore[arg-type]  # a name of the Literal
    report = await here.run()
    assert report.error == f"no answer to {method}"
    assert here.caught_up == (1 if method == "balances" else 0)
    stored = await progress.last_reconciliation(here.desk.pool, 1)
    assert stored is not None
    assert (stored.status, stored.report["error"]) == ("failed", report.error)
    assert (await here.run()).ok
    assert (here.state(order), here.state(gone)) == ("FILLED", "CANCELED")
    assert here.filled(order) == 1


async def test_what_one_request_is_refused_stops_no_other(here: Scene) -> None:
    silent(here)
    one, two = await here.ours(), await here.ours()
    for each in (one, two):
        here.venue.end(each.exchange_order_id or "", "canceled")
    here.venue.script("find", Fault.REFUSED)
    here.venue.script("trades", Fault.REFUSED)
    here.venue.script("balances", Fault.REFUSED)
    report = await here.run()
    assert report.ok
    assert report.refused == [
        f"order {one.id}: find refused", "trades of BTC/USDT: trades refused", "balances: balances refused"
    ]  # fmt: skip
    assert (report.undecided, here.state(two)) == ([one.id], OrderState.CANCELED)
    assert "trades:BTC/USDT" not in await progress.cursors(here.desk.pool, 1)


async def test_an_account_is_active_while_something_is_open_or_has_just_changed(here: Scene) -> None:
    assert here.runs.is_active
    await here.run()
    assert not here.runs.is_active
    order = await here.ours()
    await here.run()
    assert here.runs.is_active
    here.venue.end(order.exchange_order_id or "", "canceled")
    await asyncio.sleep(0)
    assert not here.book.open_orders
    assert here.runs.is_active
    await here.run()
    assert not here.runs.is_active


async def test_an_order_of_which_the_list_claims_more_than_trades_show_is_asked_about(here: Scene) -> None:
    silent(here)
    order = await here.ours(qty=Decimal(2))
    here.venue.fill(order.exchange_order_id or "", "1")
    late, here.venue.executed = here.venue.executed, []
    assert here.state(order) is OrderState.SUBMITTED
    await here.run()
    assert here.venue.requests.count("trades") == 2
    here.venue.executed = late
    await here.run()
    assert here.filled(order) == 1


async def test_after_a_restart_everything_is_where_it_was(dsn: str) -> None:
    async with scene(dsn) as before:
        silent(before)
        resting, sent = await before.ours(), await before.ours()
        before.venue.script("place", Fault.LOST)
        lost = await before.ours()
        before.venue.fill(sent.exchange_order_id or "", "1")
    async with scene(dsn) as after:
        after.venue.orders, after.venue.executed = before.venue.orders, before.venue.executed
        assert after.state(lost) is OrderState.UNKNOWN
        assert (await after.run(Cause.START)).ok
        assert [after.state(each) for each in (resting, sent, lost)] == ["SUBMITTED", "FILLED", "SUBMITTED"]
        deals = await history.deals(after.desk.pool, history.Filter(accounts={1: ()}))
        assert [deal.order_id for deal in deals] == [sent.id]
        assert after.clock.now_ns > T0_NS


async def test_what_was_rejected_for_being_absent_and_arrives_later_is_open_again(here: Scene) -> None:
    here.venue.script("place", Fault.LATE)
    order = await here.ours()
    await here.run()
    await here.run()
    assert here.state(order) is OrderState.REJECTED
    here.venue.streaming = False
    here.venue.arrive()  # later than any venue should take a request
    assert not (await here.run(after_s=1.0)).contradicted
    report = await here.run()
    assert report.contradicted == [order.id]
    assert [(each.before, each.after) for each in report.resolved] == [("REJECTED", "SUBMITTED")]
    (there,) = here.venue.orders
    assert order.id in here.book.open_orders
    assert (here.book.orders[order.id].exchange_order_id, here.book.orders[order.id].flags) == (there, ("revived",))
    assert not (await here.run()).contradicted


async def test_a_list_that_still_has_an_order_that_was_canceled_revives_nothing(here: Scene) -> None:
    order = await here.ours()
    listed = await here.venue.open_orders(None)
    here.venue.end(order.exchange_order_id or "", "canceled")
    await asyncio.sleep(0)

    async def stale(symbol: str | None) -> list[VenueOrder]:
        return listed

    here.venue.open_orders = stale  # type: ignore[method-assign]  # a replica that lags
    assert (await here.run()).contradicted == [order.id]
    assert here.state(order) is OrderState.CANCELED
    assert not here.around.settler._alive


async def test_an_order_of_another_to_which_the_venue_gave_the_same_id_revives_nothing(here: Scene) -> None:
    order = await here.ours()
    assert order.exchange_order_id is not None
    here.venue.end(order.exchange_order_id, "canceled")
    await asyncio.sleep(0)
    there = here.venue.orders[order.exchange_order_id]
    here.venue.orders[order.exchange_order_id] = replace(there, status="open", client_order_id="stranger")
    assert (await here.run()).contradicted == [order.id]
    assert here.state(order) is OrderState.CANCELED


async def test_an_id_that_the_venue_gives_again_while_its_order_is_open_here_is_the_newer_ones(here: Scene) -> None:
    former = await here.ours()
    silent(here)
    (forgotten,) = here.venue.orders.values()  # by a test network that began anew
    newer = here.book.create(order_of(here, qty=Decimal(2)))
    given = replace(forgotten, client_order_id=newer.client_order_id, qty=Decimal(2))
    here.venue.orders[given.exchange_order_id] = given
    here.around.hearing.on_order(given)
    here.around.hearing.on_trade(here.venue.fill(given.exchange_order_id, "1"))
    for _ in range(2):
        await here.run()
    filled = [here.book.orders[each.id].filled for each in (former, newer)]
    assert [*filled, here.state(former)] == [0, 1, OrderState.CANCELED]


async def test_what_an_order_was_before_it_was_replaced_is_told_when_it_is_open_still(here: Scene) -> None:
    order = await here.ours()
    former = here.venue.orders[order.exchange_order_id or ""]
    here.desk.record(order.id, ReplaceRequested(anew=True))
    new = await here.venue.place(here.book.orders[order.id], here.desk.name_of(here.book.orders[order.id]))
    here.around.settler.replaced(here.book.orders[order.id], new, new.qty)
    await here.desk.commit()
    assert (await here.run()).contradicted == [order.id]
    assert here.book.orders[order.id].exchange_order_id == new.exchange_order_id
    here.venue.end(former.exchange_order_id, "canceled")
    assert not (await here.run()).contradicted


async def test_missed_fills_are_published_before_what_is_told_after_them(here: Scene) -> None:
    keeper = Keeper(here.runs, here.around.hearing)
    await here.venue.start(keeper)
    assert (await keeper.request(Cause.START)).ok
    order = await here.ours(qty=Decimal(2))
    here.venue.streaming = False
    keeper.on_stream(False)
    missed = here.venue.fill(order.exchange_order_id or "", "0.5")
    here.venue.streaming = True
    keeper.on_stream(True)
    told = here.venue.fill(order.exchange_order_id or "", "0.25")
    await until(lambda: keeper.is_live)
    await here.desk.commit()
    deals = [msgspec.json.decode(event.data)["exchange_trade_id"] for event in here.events("deal_created")]
    assert deals == [missed.exchange_trade_id, told.exchange_trade_id]
    await keeper.stop()


async def test_a_venue_that_is_not_there_yet_is_a_failed_run(dsn: str) -> None:
    async with scene(dsn) as made:
        made.desk._venue = None
        made.desk.obstacle = "the exchange has not been heard yet"
        report = await made.run()
        assert report.error == "the exchange has not been heard yet"


async def test_what_the_venue_claims_beyond_every_trade_it_shows_is_told(dsn: str) -> None:
    async with scene(dsn) as here:
        here.venue.streaming = False
        said = here.venue.external("a", qty="3")
        here.venue.fill(said.exchange_order_id, "1")
        hidden = here.venue.executed.pop()
        report = await here.run()
        (order_id,) = report.imported
        assert report.undecided == [order_id]
        here.venue.executed.append(hidden)
        assert not (await here.run()).undecided
        assert here.book.orders[order_id].filled == 1
