"""Commands of a process that ended are answered by what their orders have become."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from msgspec.structs import replace

from oms.desk.changing import Changing
from oms.desk.dispatch import Dispatcher
from oms.desk.orders import Orders
from oms.desk.recovery import recover
from oms.model import OrderState, Permission, Role, Scope
from oms.states import Accepted, Ambiguous, CancelRequested, Happening, Refused, ReplaceRequested
from oms.store import admin, state
from oms.writes import CommandRow
from tests.oms import orders_made
from tests.oms.desk.desks import Setting, setting, stored_command
from tests.oms.desk.scripted_venue import Fault, ScriptedVenue
from tests.oms.desk.trading_made import code, send, trading
from tests.oms.orders_made import T0_NS
from tests.waiting import until

ACCEPTED = Accepted(exchange_order_id="x1", time_ns=T0_NS)
SEND = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "1", "price": "100"}
CHANGE = {"order_id": 1, "new_price": "101"}


@pytest.mark.parametrize(
    ("command", "payload", "order_id", "happened", "expected"),
    [
        ("send_order", SEND, None, [], "engine_unavailable"),
        ("send_order", SEND, 1, [ACCEPTED], None),
        ("send_order", SEND, 1, [Refused(code="insufficient_funds", message="x")], "insufficient_funds"),
        ("send_order", SEND, 1, [Ambiguous(message="x"), ACCEPTED], None),
        ("cancel_order", {"order_id": 1}, 1, [ACCEPTED, CancelRequested()], None),
        ("cancel_order", {"order_id": 1}, 1, [ACCEPTED], "outcome_unknown"),
        ("cancel_order", {"order_ids": [1, 2]}, None, [ACCEPTED], "outcome_unknown"),
        ("cancel_order", {"order_ids": [1, 2]}, None, [ACCEPTED, CancelRequested()], "order_not_found"),
        ("cancel_all_orders", {}, None, [ACCEPTED], "outcome_unknown"),
        ("cancel_all_orders", {}, None, [ACCEPTED, CancelRequested()], None),
        ("cancel_all_orders", {"symbol": "ETH/USDT"}, None, [ACCEPTED], None),
        ("cancel_all_orders", {"strategy_ids": [5]}, None, [ACCEPTED], None),
        ("cancel_all_orders", {"of_another_version": 1}, None, [ACCEPTED], "outcome_unknown"),
        ("change_order", CHANGE, 1, [ACCEPTED], "outcome_unknown"),
        ("change_order", {"order_id": 1, "new_price": "100"}, 1, [ACCEPTED], None),
        ("change_order", CHANGE, 1, [ACCEPTED, ReplaceRequested(anew=True)], "outcome_unknown"),
        ("send_order", {"symbol": "BTC/USDT", "of_another_version": 1}, 1, [Ambiguous(message="x"), ACCEPTED], None),
        ("change_order", {"order_id": {}}, 1, [ACCEPTED], "outcome_unknown"),
        ("cancel_order", {"nothing": "known"}, 1, [ACCEPTED, CancelRequested()], None),
        ("of_another_version", {}, None, [], "engine_unavailable"),
    ],
)
async def test_it_is_answered_by_evidence(
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    payload: dict[str, object],
    order_id: int | None,
    happened: list[Happening],
    expected: str | None,
) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    monkeypatch.setattr("oms.desk.settling.APART_NS", 0)
    async with setting(dsn) as made:
        await add_key(made)
        row = CommandRow(
            id=7, api_key_id=1, account_id=1, command=command, payload=payload, payload_hash=b"h",
            created_ns=T0_NS + 1_000, request_id="r", order_id=order_id,
        )  # fmt: skip
        order = made.book.create(orders_made.order(1))
        made.book.start_command(row)
        made.venue.streaming = False
        await made.venue.place(order, "c1")
        for happening in happened:
            made.desk.record(1, happening)
        if CancelRequested() in happened:
            made.venue.end("x1", "canceled")
        await made.desk.commit()
        if order_id or CancelRequested() in happened:
            made.settler.doubt(1)
        orders = Orders(made.desk, made.hearing, made.settler)
        changing = Changing(made.desk, made.hearing, made.settler, orders)
        answer = await recover(row, made.desk, orders, Dispatcher(orders.handlers | changing.handlers))
        assert (answer.error and answer.error["code"]) == expected
        stored = await stored_command(made.desk.pool, "r")
        assert stored is not None
        assert (stored.id, stored.status) == (7, "failed" if expected else "ok")
        assert made.venue.placed == ["c1"]
        assert "cancel" not in made.venue.requests


async def add_key(made: Setting, role: Role = Role.ADMIN) -> int:
    user = await admin.add_user(made.desk.pool, "anna", role)
    key = await admin.add_key(made.desk.pool, user.id, prefix="p", hash=b"h", scopes=frozenset(Scope))
    return key.id


async def test_of_several_orders_each_is_told_by_what_became_of_it_and_nothing_of_what_one_may_not_see(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.desk.settling.DELAYS_S", (0.0,))
    async with trading(dsn) as made:
        key_id = await add_key(made, Role.TRADER)
        mine = Permission(account_id=1, can_trade=True, strategies=frozenset({5}))
        await admin.grant(made.desk.pool, key_id, mine)
        made.desk.strategies = frozenset({5, 6})
        for strategy_id in (5, 5, 6):
            await send(made, strategy_id=strategy_id)
        row = CommandRow(
            id=70, api_key_id=key_id, account_id=1, command="cancel_order", payload={"order_ids": [1, 2, 3, 9]},
            payload_hash=b"h", created_ns=T0_NS + 1_000, request_id="r",
        )  # fmt: skip
        made.book.start_command(row)
        made.desk.record(1, CancelRequested())
        await made.desk.commit()
        orders = Orders(made.desk, made.hearing, made.settler)
        answering = asyncio.create_task(recover(row, made.desk, orders, Dispatcher(made.handlers)))
        made.venue.end("x1", "canceled")
        answer = await answering
        told = [(each["order_id"], (each["error"] or {}).get("code")) for each in answer.more["orders"]]
        assert told == [(1, None), (2, "outcome_unknown"), (3, "order_not_found"), (9, "order_not_found")]
        stored = await stored_command(made.desk.pool, "r")
        assert stored is not None
        assert stored.result is not None
        assert [each["order_id"] for each in stored.result["orders"]] == [1, 2, 3, 9]


async def ended_while_changing(dsn: str, venue: ScriptedVenue) -> None:
    """Order 1, of 1 at 100 and filled by 0.25, was to become 9 at 101 when the process ended."""
    async with trading(dsn, venue=venue) as made:
        await send(made)
        made.venue.fill("x1", "0.25")
        await made.settler.settle(1)
        changing = asyncio.create_task(made.run("change_order", order_id=1, new_price="101", new_qty="9"))
        await until(lambda: made.order().state is OrderState.PENDING_REPLACE and made.settler._asked)
        made.settler.stop()
        await made.desk.commit()
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)


def terms(made: Setting) -> list[object]:
    return [made.order().state, made.order().qty, made.order().price]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Fault.LOST, [OrderState.PARTIALLY_FILLED, 9, 101]), (Fault.LATE, [OrderState.PARTIALLY_FILLED, 9, 101]),
     (Fault.DROPPED, [OrderState.CANCELED, 1, 100])],
)  # fmt: skip
async def test_a_change_under_way_counts_as_what_it_may_become_until_it_is_known_what_it_became(
    dsn: str, monkeypatch: pytest.MonkeyPatch, fault: Fault, expected: list[object]
) -> None:
    venue = ScriptedVenue()
    venue.script("place", Fault.NONE, fault)
    await ended_while_changing(dsn, venue)
    again = ScriptedVenue()
    again.go_on_from(venue)
    async with trading(dsn, venue=again) as made:
        assert terms(made) == [OrderState.PENDING_REPLACE, 1, 100]
        made.book.risk = replace(made.book.risk, max_position_notional=Decimal(1000))
        (row,) = (await state.load(made.desk.pool)).running
        orders = Orders(made.desk, made.hearing, made.settler)
        answering = asyncio.create_task(recover(row, made.desk, orders, Dispatcher(made.handlers)))
        await asyncio.sleep(0)
        assert code(await send(made, qty="2")) == "risk_blocked"
        assert not await made.settler.settle(1) or fault is Fault.LOST
        again.arrive()
        made.clock.advance(7)
        assert await made.settler.settle(1)
        answer = await answering
        assert terms(made) == expected
        assert answer.ok is (fault is not Fault.DROPPED)
        assert len(again.placed) == (1 if fault is Fault.DROPPED else 2)
        assert (await send(made, qty="2")).ok is (fault is Fault.DROPPED)
