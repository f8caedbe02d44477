"""What the book nets and moves itself, without the exchange: close_by, merge, reassign, and stops."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from oms.book import AccountBook
from oms.errors import OmsError
from oms.model import Deal, Instrument, OrderState, Position, PositionMode, PositionState, Side
from tests.oms.orders_made import INVERSE, LINEAR, SPOT, T0_NS, book, order, trade
from tests.oms.rebuilt import rebuild

NOW_NS = T0_NS + 5_000_000
BUY, SELL = Side.BUY, Side.SELL
HEDGE, NETTING, BY_STRATEGY = PositionMode.HEDGE, PositionMode.NETTING, PositionMode.STRATEGY_NETTING


class Traded:
    """A book, and everything it has written."""

    def __init__(self, mode: PositionMode, instrument: Instrument = SPOT) -> None:
        self.book: AccountBook = book(mode)
        self.instrument = instrument
        self.deals: dict[int, Deal] = {}
        self.positions: dict[int, Position] = {}

    def trade(self, side: Side, qty: str, price: str, *, external: bool = False, strategy_id: int = 0) -> int:
        """One order that fills at once; the position that it went to."""
        number = len(self.book.orders) + 1
        made = {"reason": "external", "state": OrderState.SUBMITTED} if external else {}
        symbol = self.instrument.symbol
        self.book.create(order(number, symbol=symbol, side=side, qty=Decimal(qty), strategy_id=strategy_id, **made))
        told = trade(f"t{number}", qty, price, symbol=symbol, side=side, exchange_order_id=f"x{number}")
        booked = self.book.deal(number, told, self.instrument, NOW_NS)
        assert booked
        return booked[-1].position_id

    def written(self) -> list[str]:
        """The events since the last time; what they tell of is kept."""
        writes = self.book.take()
        self.deals |= writes.deals
        self.positions |= writes.positions
        return [event.event for event in writes.events]

    def check(self) -> None:
        """The positions that were written are what their deals make them."""
        self.written()
        again = rebuild(self.deals.values(), lambda _: self.instrument)
        assert again.keys() == self.positions.keys()
        for number, stored in self.positions.items():
            figures = ("qty", "entry_price", "realized_pnl", "fees", "state", "opened_ns", "closed_ns")
            assert [getattr(again[number], each) for each in figures] == [getattr(stored, each) for each in figures]
        assert {number for number, each in self.positions.items() if each.state is PositionState.OPEN} == set(
            self.book.positions
        )


@pytest.mark.parametrize("instrument", [SPOT, LINEAR])
@pytest.mark.parametrize("long_first", [True, False])
def test_close_by_realises_the_difference_exactly(instrument: Instrument, long_first: bool) -> None:
    traded = Traded(HEDGE, instrument)
    long = traded.trade(BUY, "3", "100.000000000000000001")
    short = traded.trade(SELL, "2", "110.333333333333333333")
    traded.written()
    first, second = (long, short) if long_first else (short, long)
    deals = traded.book.close_by(first, second, Decimal("1.5"), NOW_NS, command_id=8)
    size = instrument.contract_size
    assert sum(deal.realized_pnl for deal in deals) == Decimal("10.333333333333333332") * Decimal("1.5") * size
    assert deals[1].realized_pnl == 0  # at its own entry price
    assert [(deal.order_id, deal.reason) for deal in deals] == [(0, "close_by")] * 2
    assert (traded.book.positions[long].qty, traded.book.positions[short].qty) == (Decimal("1.5"), Decimal("-0.5"))
    assert traded.written() == ["deal_created", "position_updated"] * 2
    traded.book.close_by(first, second, Decimal("0.5"), NOW_NS)
    assert list(traded.book.positions) == [long]
    traded.check()


def test_close_by_of_inverse_contracts() -> None:
    traded = Traded(HEDGE, INVERSE)
    long, short = traded.trade(BUY, "2", "100"), traded.trade(SELL, "2", "200")
    deals = traded.book.close_by(long, short, Decimal(2), NOW_NS)
    assert sum(deal.realized_pnl for deal in deals) == 1  # (1/100 - 1/200) x 2 x 100
    assert not traded.book.positions
    traded.check()


def test_close_by_refuses_what_does_not_net() -> None:
    traded = Traded(HEDGE)
    long, other, short = traded.trade(BUY, "1", "100"), traded.trade(BUY, "1", "100"), traded.trade(SELL, "2", "100")
    for pair, qty, words in (
        ((long, other), "1", "same side: merge"),
        ((long, long), "1", "two of the same symbol"),
        ((long, 99), "1", "no open position 99"),
        ((long, short), "1.1", "at most 1"),
        ((long, short), "0", "above 0"),
    ):
        traded.written()
        with pytest.raises(OmsError, match=words):
            traded.book.close_by(*pair, Decimal(qty), NOW_NS)
        assert not traded.book.take()


def test_without_a_quantity_close_by_nets_as_much_as_both_have() -> None:
    traded = Traded(HEDGE)
    long, short = traded.trade(BUY, "3", "100"), traded.trade(SELL, "2", "100")
    traded.written()
    assert traded.book.may_close_by(long, short, None) == 2
    assert traded.book.may_close_by(long, short, Decimal(1)) == 1
    assert not traded.book.take()
    traded.book.close_by(long, short, None, NOW_NS)
    assert {number: each.qty for number, each in traded.book.positions.items()} == {long: Decimal(1)}
    traded.check()


@pytest.mark.parametrize("instrument", [SPOT, LINEAR, INVERSE])
@pytest.mark.parametrize("side", Side)
def test_a_merge_realises_nothing_and_means_the_prices(instrument: Instrument, side: Side) -> None:
    traded = Traded(HEDGE, instrument)
    source, target = traded.trade(side, "1", "100"), traded.trade(side, "3", "300")
    traded.book.edit_position(target, NOW_NS, stop_loss=Decimal(90))
    traded.written()
    deals = traded.book.merge(source, target, NOW_NS)
    assert [deal.realized_pnl for deal in deals] == [0, 0]
    merged = traded.book.positions[target]
    assert merged.qty == side.sign * 4
    assert merged.entry_price == (Decimal(200) if instrument.inverse else Decimal(250))
    assert merged.stop_loss == 90
    assert traded.written() == ["deal_created", "position_closed", "deal_created", "position_updated"]
    traded.check()


def test_an_average_with_more_digits_than_a_price_is_merged_without_a_remainder() -> None:
    traded = Traded(HEDGE)
    source, target = traded.trade(BUY, "3", "100"), traded.trade(BUY, "1", "100")
    traded.book.merge(traded.trade(BUY, "4", "101"), source, NOW_NS)
    deals = traded.book.merge(source, target, NOW_NS)
    assert deals[0].price == Decimal("100.571428571428571428571428571429")
    assert [deal.realized_pnl for deal in deals] == [0, 0]
    traded.check()


def test_opposite_positions_are_not_merged() -> None:
    traded = Traded(HEDGE)
    pair = traded.trade(BUY, "1", "100"), traded.trade(SELL, "1", "100")
    with pytest.raises(OmsError, match="opposite: use close_by"):
        traded.book.merge(*pair, NOW_NS)


def test_an_edit_changes_what_is_given_and_says_so() -> None:
    traded = Traded(NETTING)
    held = traded.trade(BUY, "1", "100")
    traded.book.edit_position(held, NOW_NS, stop_loss=Decimal(90), comment="careful")
    traded.written()
    after = traded.book.edit_position(held, NOW_NS, stop_loss=None, stop_gain=Decimal(120), command_id=3)
    assert (after.stop_loss, after.stop_gain, after.comment) == (None, Decimal(120), "careful")
    (event,) = traded.book.take().events
    assert (event.event, event.command_id) == ("position_updated", 3)
    assert msgspec.json.decode(event.data)["version"] == after.version == 3
    with pytest.raises(OmsError) as refused:
        traded.book.edit_position(99, NOW_NS, comment="")
    assert refused.value.code == "position_not_found"


def test_what_is_external_nets_among_itself_until_it_is_reassigned() -> None:
    traded = Traded(NETTING)
    own = traded.trade(BUY, "1", "100")
    external = traded.trade(BUY, "2", "130", external=True)
    assert external == traded.trade(BUY, "2", "130", external=True) != own
    after = traded.book.reassign_position(external, 0, NOW_NS)
    assert after == traded.book.positions[own]
    assert (after.qty, after.entry_price) == (Decimal(5), Decimal(124))
    traded.check()


@pytest.mark.parametrize(("qty", "left"), [("1", "own"), ("2", None), ("3", "external")])
def test_reassigned_to_the_other_side_it_nets_there(qty: str, left: str | None) -> None:
    traded = Traded(NETTING)
    own = traded.trade(BUY, "2", "100")
    external = traded.trade(SELL, qty, "110", external=True)
    after = traded.book.reassign_position(external, 5, NOW_NS)
    assert (after and after.id) == {"own": own, "external": external, None: None}[left]
    assert {each.net_key for each in traded.book.positions.values()} <= {"1:BTC/USDT"}
    traded.written()
    netted = min(Decimal(2), Decimal(qty))
    assert sum(deal.realized_pnl for deal in traded.deals.values()) == 10 * netted
    traded.check()


def test_reassigned_where_nothing_is_open_it_is_the_strategys_and_its_order_follows() -> None:
    traded = Traded(BY_STRATEGY)
    external = traded.trade(BUY, "1", "100", external=True)
    after = traded.book.reassign_position(external, 5, NOW_NS)
    assert after is not None
    assert (after.id, after.strategy_id, after.net_key, after.reason) == (external, 5, "1:BTC/USDT:5", "reassigned")
    moved = traded.book.reassign_order(1, 5, NOW_NS, command_id=2)
    assert (moved.strategy_id, moved.reason, moved.filled) == (5, "reassigned", Decimal(1))
    assert traded.book.target_of(moved) == after
    assert traded.written()[-2:] == ["position_updated", "order_updated"]
    own = traded.trade(BUY, "1", "100", strategy_id=5)
    assert own == external
    traded.check()


def test_in_hedge_mode_a_reassigned_position_stays_its_own() -> None:
    traded = Traded(HEDGE)
    first, second = traded.trade(BUY, "1", "100"), traded.trade(BUY, "1", "100", external=True)
    traded.book.reassign_position(second, 5, NOW_NS)
    assert {number: each.strategy_id for number, each in traded.book.positions.items()} == {first: 0, second: 5}
    traded.check()
