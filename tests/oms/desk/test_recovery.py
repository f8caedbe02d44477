"""Commands of a process that ended are answered by what their orders have become."""

from __future__ import annotations

import pytest

from oms.desk.changing import Changing
from oms.desk.dispatch import Dispatcher
from oms.desk.orders import Orders
from oms.desk.recovery import recover
from oms.states import Accepted, Ambiguous, CancelRequested, Happening, Refused, ReplaceRequested
from oms.writes import CommandRow
from tests.oms import orders_made
from tests.oms.desk.desks import setting, stored_command
from tests.oms.orders_made import T0_NS

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
        ("cancel_all_orders", {}, None, [ACCEPTED], "outcome_unknown"),
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
        row = CommandRow(
            id=7, api_key_id=1, account_id=1, command=command, payload=payload, payload_hash=b"h",
            created_ns=T0_NS, request_id="r", order_id=order_id,
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
        if order_id:
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
