"""The memory of one account: one door, one event a change, one booking a trade."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms.book import AccountBook, Ids
from oms.errors import OmsError
from oms.model import OrderState, PositionMode, Side
from oms.states import Accepted, Filled, ImpossibleError, Refused, VenueStatus
from oms.writes import CommandRow, CommandStatus, Sequences
from tests.oms.orders_made import INVERSE, SPOT, T0_NS, book, order, trade

NOW_NS = T0_NS + 5_000_000


def resting(into: AccountBook, order_id: int = 1, **changes: object) -> None:
    into.create(order(order_id, **changes))
    into.record(order_id, Accepted(exchange_order_id=f"x{order_id}", time_ns=T0_NS), NOW_NS)


def test_a_new_order_is_a_row_and_an_event() -> None:
    memory = book()
    memory.create(order(), command_id=7)
    writes = memory.take()
    assert writes.orders == {1: memory.orders[1]}
    (event,) = writes.events
    assert (event.event, event.sequence, event.channel_sequence, event.command_id) == ("order_created", 1, 1, 7)
    assert msgspec.json.decode(event.data)["state"] == "PENDING_SUBMIT"
    assert writes.sequences[1].old == Sequences()
    assert writes.sequences[1].new == memory.sequences == Sequences(event=1, orders=1)
    assert not memory.take()


def test_a_stale_or_impossible_happening_writes_nothing() -> None:
    memory = book()
    resting(memory)
    memory.take()
    assert memory.record(1, Accepted(exchange_order_id="x1", time_ns=T0_NS), NOW_NS) is None
    with pytest.raises(TypeError):
        memory.record(1, Filled(filled=Decimal(1), average_price=Decimal(1), time_ns=T0_NS), NOW_NS)
    memory.deal(1, trade(), SPOT, NOW_NS)
    memory.take()
    with pytest.raises(ImpossibleError):
        memory.record(1, Refused(code="x", message=""), NOW_NS)
    assert not memory.take()


def test_only_new_orders_of_the_account_can_be_created_and_each_client_id_once() -> None:
    memory = book()
    memory.create(order())
    for bad in (order(), order(2, account_id=2), order(2, state=OrderState.SUBMITTED), order(2, filled=Decimal(1))):
        with pytest.raises(ValueError, match="is not a new one"):
            memory.create(bad)
    with pytest.raises(OmsError) as refused:
        memory.create(order(2, client_order_id="c1"))
    assert refused.value.code == "duplicate_client_order_id"
    memory.create(order(2, state=OrderState.SUBMITTED, reason="external", exchange_order_id="x2"))
    assert memory.by_exchange_id("BTC/USDT", "x2") == memory.by_client_id("c2") == memory.orders[2]


def test_an_order_into_a_position_of_another_symbol_is_refused() -> None:
    memory = book()
    resting(memory)
    memory.deal(1, trade(), SPOT, NOW_NS)
    with pytest.raises(OmsError, match=r"is of BTC/USDT, not of ETH/USDT"):
        memory.create(order(2, symbol="ETH/USDT", position_id=1))


def test_a_trade_is_an_order_a_deal_and_a_position_at_once() -> None:
    memory = book()
    resting(memory)
    memory.take()
    fees: dict[str, Any] = {"fee": Decimal("0.1"), "fee_currency": "USDT", "more_fees": {"BNB": Decimal("0.01")}}
    booked = memory.deal(None, trade(qty="0.4", maker=True, **fees), SPOT, NOW_NS)
    assert booked is not None
    (deal,) = booked
    after = memory.orders[1]
    assert (after.state, after.filled, after.average_price) == ("PARTIALLY_FILLED", Decimal("0.4"), Decimal(100))
    assert memory.positions[1].qty == Decimal("0.4")
    assert memory.positions[1].fees == {"USDT": Decimal("0.1"), "BNB": Decimal("0.01")}
    writes = memory.take()
    assert (writes.deals, writes.orders, writes.positions) == ({1: deal}, {1: after}, {1: memory.positions[1]})
    assert [event.event for event in writes.events] == ["deal_created", "position_updated", "order_updated"]


def test_a_trade_is_booked_once_and_the_average_is_of_all() -> None:
    memory = book()
    resting(memory, qty=Decimal(3))
    for _ in range(2):
        memory.deal(1, trade("t1", "1", "100"), SPOT, NOW_NS)
        memory.deal(None, trade("t2", "2", "103"), SPOT, NOW_NS)
    assert memory.deal(None, trade("t2", "2", "103"), SPOT, NOW_NS) == []
    assert (memory.orders[1].filled, memory.orders[1].average_price) == (Decimal(3), Decimal(102))
    assert memory.orders[1].state is OrderState.FILLED


def test_a_trade_without_an_id_is_known_by_what_it_was() -> None:
    memory = book()
    resting(memory, qty=Decimal(3))
    (first,) = memory.deal(1, trade(None), SPOT, NOW_NS) or []
    assert first.exchange_trade_id.startswith("syn:")
    assert memory.deal(1, trade(None), SPOT, NOW_NS + 1) == []
    (second,) = memory.deal(1, trade(None, time_ns=T0_NS + 2_000_000), SPOT, NOW_NS) or []
    assert second.exchange_trade_id != first.exchange_trade_id
    again = book(orders=memory.orders.values(), deals=[first, second], positions=memory.positions.values())
    assert again.deal(1, trade(None), SPOT, NOW_NS) == []


def test_trades_without_an_id_that_are_alike_are_as_many_as_were_told_together() -> None:
    memory = book()
    resting(memory, qty=Decimal(3))
    first, second = (memory.deal(1, trade(None, nth=nth), SPOT, NOW_NS) or [] for nth in (0, 1))
    assert memory.orders[1].filled == 2
    again = book(orders=memory.orders.values(), deals=[*first, *second], positions=memory.positions.values())
    for known in (memory, again):
        assert [known.deal(1, trade(None, nth=nth), SPOT, NOW_NS) for nth in (0, 1)] == [[], []]
        assert known.deal(1, trade(None, nth=2), SPOT, NOW_NS)
        assert known.deal(1, trade(None, nth=3), SPOT, NOW_NS) == [], "the order has no room for it"
        assert known.orders[1].filled == 3


def test_a_trade_that_could_not_be_booked_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = book()
    resting(memory)
    with monkeypatch.context() as broken:
        broken.setattr("oms.book.fold", None)
        with pytest.raises(TypeError):
            memory.deal(None, trade(), SPOT, NOW_NS)
    assert len(memory.deal(None, trade(), SPOT, NOW_NS) or []) == 1


def test_trades_of_unknown_orders_are_for_the_desk_to_import() -> None:
    memory = book()
    assert memory.deal(None, trade(), SPOT, NOW_NS) is None
    assert memory.deal(99, trade(), SPOT, NOW_NS) is None
    assert not memory.take()
    memory.create(order(state=OrderState.SUBMITTED, reason="external", exchange_order_id="x1"))
    (deal,) = memory.deal(None, trade(), SPOT, NOW_NS) or []
    assert deal.reason == "external"
    assert memory.positions[deal.position_id].net_key == "1:BTC/USDT:external"
    name = memory.orders[deal.order_id].client_order_id
    again = trade("t2", exchange_order_id="x2", client_order_id=name)
    assert memory.deal(None, again, SPOT, NOW_NS) is None, "theirs of the same name is another one"


def test_a_trade_finds_its_order_by_client_id_before_the_answer_told_the_venues_id() -> None:
    memory = book()
    memory.create(order())
    assert memory.deal(None, trade(client_order_id="c1"), SPOT, NOW_NS)
    assert memory.orders[1].exchange_order_id == "x1"
    assert memory.record(1, Accepted(exchange_order_id="x1", time_ns=T0_NS), NOW_NS) is None


@pytest.mark.parametrize("bad", [{"side": Side.SELL}, {"symbol": "ETH/USDT"}, {"qty": Decimal(0)}])
def test_a_trade_that_cannot_be_of_the_order_is_refused(bad: dict[str, Any]) -> None:
    memory = book()
    resting(memory)
    memory.take()
    with pytest.raises(ValueError, match="cannot be of order 1"):
        memory.deal(1, trade(**bad), SPOT, NOW_NS)
    with pytest.raises(ValueError, match="inverse"):
        memory.deal(1, trade(price="0"), msgspec.structs.replace(INVERSE, symbol="BTC/USDT"), NOW_NS)
    assert not memory.take()


def test_an_account_that_trades_with_itself_books_both_sides_of_one_trade() -> None:
    memory = book()
    resting(memory)
    resting(memory, 2, side=Side.SELL)
    for _ in range(2):
        memory.deal(None, trade("t1"), SPOT, NOW_NS)
        memory.deal(None, trade("t1", side=Side.SELL, exchange_order_id="x2"), SPOT, NOW_NS)
    assert [memory.orders[number].filled for number in (1, 2)] == [1, 1]
    assert [deal.exchange_trade_id for deal in memory.take().deals.values()] == ["t1", "t1#2"]


def test_a_late_fill_and_an_overfill_are_accepted_and_flagged() -> None:
    memory = book()
    resting(memory)
    memory.record(1, VenueStatus(status="canceled", filled=Decimal(0), time_ns=T0_NS), NOW_NS)
    assert not memory.open_orders
    memory.deal(1, trade("t1", "0.5"), SPOT, NOW_NS)
    assert (memory.orders[1].state, memory.orders[1].flags) == ("PARTIALLY_FILLED", ("late_fill",))
    assert 1 in memory.open_orders
    memory.deal(1, trade("t2", "0.7"), SPOT, NOW_NS)
    assert (memory.orders[1].state, memory.orders[1].flags) == ("FILLED", ("late_fill", "overfill"))
    assert memory.orders[1].filled == Decimal("1.2")


def test_a_flip_is_two_deals_two_positions_and_one_trade() -> None:
    memory = book()
    resting(memory)
    memory.deal(1, trade("t1", "1"), SPOT, NOW_NS)
    resting(memory, 2, side=Side.SELL, qty=Decimal(3), stop_loss=Decimal(120))
    memory.take()
    flipped = trade("t2", "3", "110", side=Side.SELL, exchange_order_id="x2", fee=Decimal(3), fee_currency="USDT")
    booked = memory.deal(None, flipped, SPOT, NOW_NS) or []
    assert [deal.position_id for deal in booked] == [1, 2]
    assert [[deal.qty, deal.fee, deal.realized_pnl] for deal in booked] == [[1, 1, 10], [2, 2, 0]]
    assert memory.orders[2].filled == 3
    assert list(memory.positions) == [2]
    assert (memory.positions[2].qty, memory.positions[2].stop_loss) == (Decimal(-2), Decimal(120))
    events = [event.event for event in memory.take().events]
    assert events == ["deal_created", "position_closed", "deal_created", "position_updated", "order_updated"]
    assert memory.deal(None, flipped, SPOT, NOW_NS) == []


def test_in_hedge_mode_an_order_stays_with_its_own_position_and_may_name_another() -> None:
    memory = book(PositionMode.HEDGE)
    resting(memory, qty=Decimal(2))
    resting(memory, 2, side=Side.SELL)
    memory.deal(1, trade("t1"), SPOT, NOW_NS)
    memory.deal(2, trade("t2", side=Side.SELL, exchange_order_id="x2"), SPOT, NOW_NS)
    memory.deal(1, trade("t3"), SPOT, NOW_NS)
    assert {number: held.qty for number, held in memory.positions.items()} == {1: 2, 2: -1}
    assert memory.orders[1].position_id == 1
    resting(memory, 3, side=Side.SELL, position_id=1, qty=Decimal(3))
    memory.deal(3, trade("t4", "3", side=Side.SELL, exchange_order_id="x3"), SPOT, NOW_NS)
    assert {number: held.qty for number, held in memory.positions.items()} == {2: -1, 3: -1}


def test_strategies_net_for_themselves_where_the_mode_says_so() -> None:
    memory = book(PositionMode.STRATEGY_NETTING)
    for number, strategy_id in ((1, 0), (2, 5), (3, 5)):
        resting(memory, number, strategy_id=strategy_id)
        memory.deal(number, trade(f"t{number}", exchange_order_id=f"x{number}"), SPOT, NOW_NS)
    assert {held.strategy_id: held.qty for held in memory.positions.values()} == {0: 1, 5: 2}


def test_closed_orders_are_remembered_up_to_a_bound_and_can_be_adopted_again() -> None:
    memory = book(remembered_max=2)
    kept = []
    for number in (1, 2, 3):
        resting(memory, number)
        kept += memory.deal(number, trade(f"t{number}", exchange_order_id=f"x{number}"), SPOT, NOW_NS) or []
    first = memory.take().orders[1]
    assert list(memory.orders) == [2, 3]
    assert memory.by_client_id("c1") is None
    assert memory.deal(None, trade("t1"), SPOT, NOW_NS) is None
    memory.adopt(first, kept[:1])
    assert memory.deal(None, trade("t1"), SPOT, NOW_NS) == []
    assert not memory.take()
    with pytest.raises(ValueError, match="its deals come to 0"):
        memory.adopt(msgspec.structs.replace(first, id=4), [])


def test_a_command_is_stored_and_its_failure_told() -> None:
    memory = book()
    row = CommandRow(
        id=4, api_key_id=2, account_id=1, command="send_order", payload={}, payload_hash=b"h", created_ns=T0_NS
    )
    memory.start_command(row)
    assert not memory.take().events
    done = memory.finish_command(row, NOW_NS, result={"ok": True}, order_id=9)
    assert (done.status, done.order_id, done.finished_ns) == (CommandStatus.OK, 9, NOW_NS)
    error = {"code": "risk_blocked", "message": "halted"}
    memory.finish_command(row, NOW_NS, result={"ok": False, "error": error}, error=error)
    writes = memory.take()
    assert writes.commands[4].status == "failed"
    (event,) = writes.events
    assert (event.channel, event.event, event.command_id) == ("orders", "command_failed", 4)
    assert msgspec.json.decode(event.data)["error"] == error


def test_what_changes_no_row_is_told_on_its_channel() -> None:
    memory = book()
    memory.announce("positions", "position_mismatch", {"symbol": "BTC/USDT"}, NOW_NS)
    writes = memory.take()
    assert (writes.events[0].channel_sequence, writes.events[0].data) == (1, b'{"symbol":"BTC/USDT"}')
    assert writes.sequences[1].new == Sequences(event=1, positions=1)


def test_it_goes_on_where_it_was_stored() -> None:
    memory, ids = book(), Ids(orders=2, deals=2, positions=2)
    resting(memory, qty=Decimal(2))
    (deal,) = memory.deal(1, trade(), SPOT, NOW_NS) or []
    stored: dict[str, Any] = {
        "orders": list(memory.orders.values()),
        "positions": list(memory.positions.values()),
        "deals": [deal],
    }
    again = book(ids=ids, sequences=memory.sequences, **stored)
    assert again.deal(None, trade(), SPOT, NOW_NS) == []
    (second,) = again.deal(None, trade("t2"), SPOT, NOW_NS) or []
    assert (second.id, again.orders[1].filled, again.positions[1].qty) == (2, Decimal(2), Decimal(2))
    assert again.take().sequences[1].old == memory.sequences
    with pytest.raises(ValueError, match="its deals come to 0"):
        book(orders=stored["orders"])
