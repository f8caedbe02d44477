"""What the nouns say of themselves."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from oms.model import TERMINAL, Order, OrderState, OrderType, Side

ORDER = Order(
    id=1, account_id=1, symbol="BTC/USDT", side=Side.BUY, order_type=OrderType.LIMIT, qty=Decimal(2),
    client_order_id="c1", created_ns=1, updated_ns=1,
)  # fmt: skip


def test_a_side_has_a_sign_and_an_opposite() -> None:
    assert [side.sign for side in (Side.BUY, Side.SELL)] == [1, -1]
    assert Side.BUY.opposite.opposite is Side.BUY


@pytest.mark.parametrize("state", OrderState)
def test_an_order_is_open_until_its_state_is_terminal(state: OrderState) -> None:
    assert msgspec.structs.replace(ORDER, state=state).is_open == (state not in TERMINAL)


def test_an_overfill_leaves_nothing_remaining() -> None:
    assert msgspec.structs.replace(ORDER, filled=Decimal("0.5")).remaining == Decimal("1.5")
    assert msgspec.structs.replace(ORDER, filled=Decimal(3)).remaining == 0
