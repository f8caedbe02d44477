"""What deals make of holdings: exact, of contracts and of currencies, and a difference told once it is seen twice."""

from __future__ import annotations

from decimal import Decimal

from oms.holdings import Seen, compare_balances, compare_positions, flows
from oms.model import Deal, Position, Side
from oms.report import Mismatch
from oms.venues.base import VenuePosition
from tests.oms.orders_made import LINEAR, SPOT, T0_NS


def off(by: int, symbol: str = "A") -> Mismatch:
    return Mismatch(symbol=symbol, expected=Decimal(1), actual=Decimal(1 + by))


def deal(side: Side, qty: str, price: str, fee: str, fee_currency: str | None) -> Deal:
    return Deal(
        id=1, account_id=1, order_id=1, position_id=1, symbol=SPOT.symbol, side=side, qty=Decimal(qty),
        price=Decimal(price), exchange_trade_id="t", fee=Decimal(fee), fee_currency=fee_currency, executed_ns=T0_NS,
        created_ns=T0_NS,
    )  # fmt: skip


def position(id_: int, qty: int, symbol: str = LINEAR.symbol) -> Position:
    return Position(
        id=id_, account_id=1, symbol=symbol, strategy_id=id_, qty=Decimal(qty), entry_price=Decimal(1),
        opened_ns=T0_NS, updated_ns=T0_NS,
    )  # fmt: skip


def test_a_difference_is_told_when_it_is_seen_twice_and_then_once() -> None:
    seen = Seen()
    assert seen.again([off(1)]) == []
    assert seen.again([off(2), off(1, "B")]) == []
    assert seen.again([off(2), off(1, "B")]) == [off(2), off(1, "B")]
    assert seen.again([off(2), off(1, "B")]) == []
    assert seen.again([off(1, "B")]) == []
    assert [seen.again([off(2)]), seen.again([off(2)])] == [[], [off(2)]]


def test_positions_are_compared_net_and_only_where_asked() -> None:
    ours = [position(1, 3), position(2, -1), position(3, 5, "ETH/USDT:USDT")]
    theirs = [VenuePosition(symbol=LINEAR.symbol, qty=Decimal(2))]
    assert compare_positions(ours, theirs, {LINEAR.symbol}) == []
    assert compare_positions(ours, theirs, {LINEAR.symbol, "ETH/USDT:USDT"}) == [
        Mismatch(symbol="ETH/USDT:USDT", expected=Decimal(5), actual=Decimal(0))
    ]
    assert compare_positions([], theirs, {LINEAR.symbol})[0].actual == 2


def test_a_spot_deal_moves_base_quote_and_what_the_fee_is_paid_in() -> None:
    deals = [
        (deal(Side.BUY, "2", "100", "0.002", "BTC"), SPOT),
        (deal(Side.SELL, "1", "110", "0.11", "USDT"), SPOT),
        (deal(Side.SELL, "0.5", "100", "0.0001", "BNB"), SPOT),
        (deal(Side.SELL, "0.1", "100", "0.01", None), SPOT),
    ]
    assert flows(deals) == {"BTC": Decimal("0.398"), "USDT": Decimal("-30.12"), "BNB": Decimal("-0.0001")}


def test_balances_are_compared_with_what_deals_made_of_those_before() -> None:
    before, after = {"BTC": Decimal(1), "USDT": Decimal(100)}, {"BTC": Decimal("1.50"), "USDT": Decimal(7)}
    changed = {"BTC": Decimal("0.5")}
    assert compare_balances(before, changed, after, {"BTC"}) == []
    assert compare_balances(before, changed, after, {"BTC", "USDT", "ETH"}) == [
        Mismatch(currency="USDT", expected=Decimal(100), actual=Decimal(7))
    ]
    (gone,) = compare_balances(before, changed, {}, {"BTC"})
    assert (gone.expected, gone.actual) == (Decimal("1.5"), Decimal(0))
