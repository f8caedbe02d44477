"""One door: a row and an event for each change, numbered without a hole."""

from __future__ import annotations

from decimal import Decimal

import pytest

from oms.memory import Memory
from oms.model import Position, PositionState
from oms.writes import Sequences
from tests.oms.orders_made import T0_NS, order
from tests.oms.resources.served import alert_of


def position(number: int = 1, **changes: object) -> Position:
    ordinary = {
        "id": number,
        "account_id": 1,
        "symbol": "BTC/USDT",
        "strategy_id": 0,
        "qty": Decimal(1),
        "entry_price": Decimal(100),
        "net_key": "k",
        "opened_ns": T0_NS,
        "updated_ns": T0_NS,
    }
    return Position(**{**ordinary, **changes})  # type: ignore[arg-type]  # a test's shorthand


def test_numbers_go_on_from_those_stored_on_each_channel_and_over_all() -> None:
    memory = Memory(1, Sequences(event=10, orders=4, deals=3, positions=3), 10)
    memory.put_order(order(), "order_created", T0_NS, None)
    memory.put_position(position(), T0_NS, None)
    memory.put_order(order(version=2), "order_updated", T0_NS, 5)
    writes = memory.take()
    assert [(event.channel, event.sequence, event.channel_sequence) for event in writes.events] == [
        ("orders", 11, 5),
        ("positions", 12, 4),
        ("orders", 13, 6),
    ]
    assert writes.orders == {1: order(version=2)}
    assert writes.sequences[1].old == Sequences(event=10, orders=4, deals=3, positions=3)
    assert writes.sequences[1].new == Sequences(event=13, orders=6, deals=3, positions=4)


def test_what_cannot_be_told_changes_nothing() -> None:
    memory = Memory(1, Sequences(), 10)
    never_ns = 10**21
    with pytest.raises((OverflowError, ValueError)):
        memory.put_order(order(expires_ns=never_ns), "order_created", T0_NS, None)
    with pytest.raises((OverflowError, ValueError)):
        memory.put_position(position(opened_ns=never_ns), T0_NS, None)
    assert not memory.take()
    assert not memory.orders.all
    assert not memory.positions
    assert memory.sequences == Sequences()


def test_takings_follow_each_other() -> None:
    memory = Memory(1, Sequences(), 10)
    takings = []
    for version in (1, 2):
        memory.put_order(order(version=version), "order_updated", T0_NS, None)
        takings.append(memory.take())
    first, second = takings
    first.extend(second)
    assert first.sequences[1].new.event == 2


def test_one_open_position_a_key() -> None:
    memory = Memory(1, Sequences(), 10)
    memory.put_position(position(1), T0_NS, None)
    with pytest.raises(ValueError, match="is the open position 1"):
        memory.hold(position(2))
    memory = Memory(1, Sequences(), 10)
    memory.put_position(position(1), T0_NS, None)
    memory.put_position(position(1, state=PositionState.CLOSED, qty=Decimal(0)), T0_NS, None)
    memory.put_position(position(2), T0_NS, None)
    assert memory.by_net_key("k") == position(2)
    assert memory.by_net_key(None) is None
    assert [event.event for event in memory.take().events] == [
        "position_updated",
        "position_closed",
        "position_updated",
    ]


def test_views_cannot_be_written_to() -> None:
    memory = Memory(1, Sequences(), 10)
    for view in (memory.positions, memory.orders.all, memory.orders.open):
        with pytest.raises(TypeError):
            view[1] = None  # type: ignore[index]  # the point of it


def test_a_rule_that_is_met_is_told_and_one_that_is_only_changed_is_not() -> None:
    memory = Memory(1, Sequences(event=10, orders=4), 10)
    memory.put_alert(alert_of(1), T0_NS, is_met=True)
    memory.put_alert(alert_of(2), T0_NS, is_met=False)
    writes = memory.take()
    (event,) = writes.events
    assert (event.channel, event.sequence, event.channel_sequence, event.event) == ("alerts", 11, 1, "alert_triggered")
    assert list(writes.alerts) == [1, 2]
    assert writes.sequences[1].new == Sequences(event=11, orders=4, alerts=1)
