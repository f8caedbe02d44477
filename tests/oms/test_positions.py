"""The arithmetic of positions, against figures done by hand and a model that keeps every lot."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from oms.model import Deal, Instrument, Position, PositionMode, PositionState, Side
from oms.positions import FlipError, change_of, fee_base, fold, net_key, opened, split, taking_off
from tests.oms.orders_made import INVERSE, LINEAR, SPOT, T0_NS, account
from tests.oms.rebuilt import rebuild

AMOUNTS = st.decimals("0.000000000000000001", "1000000", places=18)
PRICES = st.decimals("0.00000001", "10000000", places=8)
SIDES = st.sampled_from(Side)
INSTRUMENTS = st.sampled_from([SPOT, LINEAR, INVERSE])


def deal(
    side: Side, qty: str | Decimal, price: str | Decimal = "100", fee: str | Decimal = "0", **changes: object
) -> Deal:
    ordinary = {
        "id": 1,
        "account_id": 1,
        "order_id": 1,
        "position_id": 1,
        "symbol": "BTC/USDT",
        "side": side,
        "qty": Decimal(qty),
        "price": Decimal(price),
        "fee": Decimal(fee),
        "exchange_trade_id": "t",
        "executed_ns": T0_NS,
        "created_ns": T0_NS + 1,
    }
    return Deal(**{**ordinary, **changes})  # type: ignore[arg-type]  # a test's shorthand


def folded(instrument: Instrument, *deals: Deal) -> Position:
    position = opened(deals[0], instrument, None)
    for each in deals:
        position, _ = fold(position, each, fee_base(instrument))
    return position


BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("mode", "own", "external"),
    [
        (PositionMode.NETTING, "1:BTC/USDT", "1:BTC/USDT:external"),
        (PositionMode.STRATEGY_NETTING, "1:BTC/USDT:7", "1:BTC/USDT:external"),
        (PositionMode.HEDGE, None, None),
    ],
)
def test_what_nets_with_what(mode: PositionMode, own: str | None, external: str | None) -> None:
    assert net_key(account(mode), "BTC/USDT", 7) == own
    assert net_key(account(mode), "BTC/USDT", 7, external=True) == external


def test_linear_figures() -> None:
    position = folded(LINEAR, deal(BUY, "1", "100"), deal(BUY, "3", "200"))
    assert (position.qty, position.entry_price, position.realized_pnl) == (Decimal(4), Decimal(175), Decimal(0))
    position = folded(LINEAR, deal(BUY, "1", "100"), deal(BUY, "3", "200"), deal(SELL, "2", "275"))
    assert (position.qty, position.entry_price, position.realized_pnl) == (Decimal(2), Decimal(175), Decimal(2))
    short = folded(SPOT, deal(SELL, "2", "100"), deal(BUY, "2", "90"))
    assert (short.qty, short.realized_pnl, short.state) == (Decimal(0), Decimal(20), PositionState.CLOSED)
    assert short.closed_ns == T0_NS


def test_a_position_has_the_side_that_opened_it_also_once_it_is_closed() -> None:
    for opening, closing, side in ((BUY, SELL, "long"), (SELL, BUY, "short")):
        assert folded(LINEAR, deal(opening, "2")).side == side
        assert folded(LINEAR, deal(opening, "2"), deal(closing, "1")).side == side
        assert folded(LINEAR, deal(opening, "2"), deal(closing, "2")).side == side


def test_inverse_figures() -> None:
    position = folded(INVERSE, deal(BUY, "1", "100"), deal(BUY, "1", "300"))
    assert position.entry_price == Decimal(150)
    closed = folded(INVERSE, deal(BUY, "2", "100"), deal(SELL, "2", "200"))
    assert closed.realized_pnl == Decimal(1)  # (1/100 - 1/200) x 2 x 100
    short = folded(INVERSE, deal(SELL, "2", "200"), deal(BUY, "2", "100"))
    assert short.realized_pnl == Decimal(1)


def test_a_spot_fee_in_base_comes_out_of_what_is_held() -> None:
    bought = folded(SPOT, deal(BUY, "1", fee="0.001", fee_currency="BTC"))
    assert (bought.qty, bought.entry_price, bought.fees) == (Decimal("0.999"), Decimal(100), {"BTC": Decimal("0.001")})
    other = folded(SPOT, deal(BUY, "1", fee="0.001", fee_currency="BNB"), deal(BUY, "1", fee="2", fee_currency="USDT"))
    assert (other.qty, other.fees) == (Decimal(2), {"BNB": Decimal("0.001"), "USDT": Decimal(2)})
    swap = folded(LINEAR, deal(BUY, "1", fee="0.001", fee_currency="BTC"))
    assert swap.qty == 1


def test_a_deal_through_zero_must_be_split() -> None:
    held = folded(SPOT, deal(BUY, "1"))
    over = deal(SELL, "3", fee="0.3", fee_currency="USDT")
    with pytest.raises(FlipError):
        fold(held, over, "BTC")
    closing, opening = split(over, held.qty, "BTC")
    assert opening is not None
    assert [(part.qty, part.fee) for part in (closing, opening)] == [
        (Decimal(1), Decimal("0.1")),
        (Decimal(2), Decimal("0.2")),
    ]
    assert split(deal(SELL, "1"), held.qty, "BTC") == (deal(SELL, "1"), None)
    assert split(deal(BUY, "9"), held.qty, "BTC") == (deal(BUY, "9"), None)


def test_fees_in_several_currencies_all_count_and_are_all_shared() -> None:
    three = {"BNB": Decimal("0.3"), "USDT": Decimal("0.000000000000000001")}
    held = folded(SPOT, deal(BUY, "1", more_fees=three))
    assert held.fees == three
    over = deal(SELL, "3", fee="0.3", fee_currency="USDT", more_fees=three)
    closing, opening = split(over, held.qty, "BTC")
    assert opening is not None
    assert closing.more_fees == {"BNB": Decimal("0.1"), "USDT": Decimal(0)}
    assert opening.more_fees == {"BNB": Decimal("0.2"), "USDT": Decimal("0.000000000000000001")}
    closed, _ = fold(held, closing, "BTC")
    assert closed.fees == {"BNB": Decimal("0.4"), "USDT": Decimal("0.100000000000000001")}


@given(
    INSTRUMENTS,
    SIDES,
    AMOUNTS,
    SIDES,
    AMOUNTS,
    st.decimals(0, "0.5", places=4),
    st.sampled_from(["BTC", "USDT", None]),
)
@example(LINEAR, Side.SELL, Decimal(2), Side.BUY, Decimal(5), Decimal("0.1"), None)
def test_the_parts_of_a_split_make_the_whole_and_the_first_closes(
    instrument: Instrument,
    held_side: Side,
    held: Decimal,
    side: Side,
    qty: Decimal,
    fee_share: Decimal,
    fee_currency: str | None,
) -> None:
    base = fee_base(instrument)
    fee = (qty * fee_share).quantize(Decimal("1E-18"))
    whole = deal(side, qty, fee=fee, fee_currency=fee_currency)
    first, second = split(whole, held_side.sign * held, base)
    position = folded(instrument, deal(held_side, held))
    position, _ = fold(position, first, base)
    if second is None:
        assert first == whole
        return
    assert position.state is PositionState.CLOSED
    assert (first.qty + second.qty, first.fee + second.fee) == (whole.qty, whole.fee)
    assert min(first.qty, second.qty, first.fee, second.fee) >= 0
    assert change_of(first, base) + change_of(second, base) == change_of(whole, base)


class Lots:
    """The same PnL in exact fractions, by cash: what was paid, what was got, and what is left at its mean cost."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.qty = self.cost = self.realized = Fraction(0)  # cost of what is held, signed as it is

    def value(self, price: Fraction) -> Fraction:
        return -1 / price if self.instrument.inverse else price

    def trade(self, change: Fraction, price: Fraction) -> None:
        if self.qty * change >= 0:
            self.cost += change * self.value(price)
        else:
            share = -change / self.qty
            self.realized += (-change * self.value(price) - share * self.cost) * Fraction(self.instrument.contract_size)
            self.cost -= share * self.cost
        self.qty += change


@given(INSTRUMENTS, st.lists(st.tuples(SIDES, AMOUNTS, PRICES), min_size=1, max_size=25))
def test_pnl_is_that_of_an_exact_model(instrument: Instrument, trades: list[tuple[Side, Decimal, Decimal]]) -> None:
    lots, position, total = Lots(instrument), None, Fraction(0)
    error = Decimal(0)
    for side, qty, price in trades:
        rest: Deal | None = deal(side, qty, price)
        while rest is not None:
            part, rest = split(rest, position.qty if position else Decimal(0), None)
            position, booked = fold(position or opened(part, instrument, None), part, None)
            total += Fraction(booked.realized_pnl)
            lots.trade(Fraction(change_of(part, None)), Fraction(price))
            # A rounded entry price is off by half its last digit: what that makes in PnL is bounded by what it is of.
            error += Decimal("1E-30")
            if position.state is PositionState.CLOSED:
                position = None
    held = position.qty if position else Decimal(0)
    assert Fraction(held) == lots.qty
    turnover = sum(qty for _, qty, _ in trades) * instrument.contract_size
    # Of inverse contracts the mean is a reciprocal: its error grows with the square of the reciprocal price.
    steepest = max(1 / price**2 for _, _, price in trades) if instrument.inverse else Decimal(1)
    assert abs(total - lots.realized) <= Fraction(error * (1 + turnover * steepest) * len(trades))


@given(INSTRUMENTS, st.lists(st.tuples(SIDES, AMOUNTS, PRICES), min_size=1, max_size=25))
def test_folding_again_gives_the_same_to_the_last_digit(
    instrument: Instrument, trades: list[tuple[Side, Decimal, Decimal]]
) -> None:
    booked: list[Deal] = []
    stored: dict[int, Position] = {}
    position: Position | None = None
    for side, qty, price in trades:
        rest: Deal | None = deal(side, qty, price, fee="0.01", fee_currency="USDT")
        while rest is not None:
            part, rest = split(rest, position.qty if position else Decimal(0), None)
            part = replace(part, position_id=position.id if position else len(stored) + 1)
            position, part = fold(position or opened(part, instrument, None), part, None)
            stored[position.id] = position
            booked.append(part)
            if position.state is PositionState.CLOSED:
                position = None
    assert rebuild(booked, lambda _: instrument) == stored


def test_what_the_oms_takes_off_itself_is_against_the_position_and_of_a_name_of_its_own() -> None:
    held = folded(SPOT, deal(BUY, "2"))
    off = taking_off(held, Decimal(1), Decimal(90), "close_by", T0_NS)
    assert (off.side, off.order_id, off.reason, off.exchange_trade_id) == (SELL, 0, "close_by", "close_by:1:1")
    after, booked = fold(held, off, "BTC")
    assert (after.qty, booked.realized_pnl, after.version) == (Decimal(1), Decimal(-10), 2)
