"""Orders found by any of their ids, and forgotten only when closed and many."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from oms.model import OrderState
from oms.tracking import OrderIndex
from tests.oms.orders_made import order, trade


def test_an_order_is_found_by_every_id_it_has_had() -> None:
    index = OrderIndex(10)
    first = order(exchange_order_id="x1")
    index.put(first)
    index.put(msgspec.structs.replace(first, exchange_order_id="x2", version=2))
    for exchange_order_id in ("x1", "x2"):
        found = index.by_exchange_id("BTC/USDT", exchange_order_id)
        assert found is not None
        assert found.version == 2
    assert index.by_exchange_id("ETH/USDT", "x1") is None


def test_an_id_that_the_venue_gives_again_is_that_of_the_newest_order() -> None:
    index = OrderIndex(2)
    old, new = (order(number, state=OrderState.CANCELED, exchange_order_id="x1") for number in (1, 2))
    index.put(old)
    index.put(new)
    index.put(msgspec.structs.replace(old, version=2))
    assert index.by_exchange_id("BTC/USDT", "x1") == new
    index.put(order(3, state=OrderState.CANCELED))
    assert list(index.all) == [2, 3]  # the old one is forgotten, and only what was its own
    assert index.by_exchange_id("BTC/USDT", "x1") == new


def test_a_revived_order_is_not_forgotten() -> None:
    index = OrderIndex(1)
    gone = order(1, state=OrderState.CANCELED)
    index.put(gone)
    index.put(msgspec.structs.replace(gone, state=OrderState.PARTIALLY_FILLED, version=2))
    index.put(order(2, state=OrderState.CANCELED))
    index.put(order(3, state=OrderState.CANCELED))
    assert list(index.all) == [1, 3]
    assert list(index.open) == [1]


def test_what_is_executed_is_counted_exactly() -> None:
    index = OrderIndex(10)
    index.put(order())
    for number, (qty, price) in enumerate([("0.1", "100"), ("0.2", "100.000000000000000001")]):
        executed = index.count_in(order(), trade(f"t{number}", qty, price), f"t{number}")
    assert executed.filled == Decimal("0.3")
    assert executed.notional == Decimal("30.0000000000000000002")
    assert executed.average_price == Decimal("100.000000000000000001")  # rounded to what a column keeps


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=60), st.integers(0, 4))
def test_indices_agree_with_what_is_remembered(puts: list[tuple[int, bool]], remembered_max: int) -> None:
    index = OrderIndex(remembered_max)
    for number, is_open in puts:
        state = OrderState.SUBMITTED if is_open else OrderState.CANCELED
        index.put(order(number, state=state, exchange_order_id=f"x{number}"))
    newest = dict(puts)
    assert set(index.open) == {number for number, is_open in newest.items() if is_open}
    assert len(index.all) - len(index.open) <= remembered_max
    for number in range(1, 13):
        here = index.all.get(number)
        assert index.by_client_id(f"c{number}") is here
        assert index.by_exchange_id("BTC/USDT", f"x{number}") is here
