"""What an order is worth, and what it is made of."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.accounts import DEFAULT_NAME, Accounts
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Spec
from loadtest.exchange.orders import Fill, Order, Request, Status, Type, cost


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_lock_suffices_for_every_way_to_fill(price: int, qty: int) -> None:
    whole = cost(price, qty)
    assert 0 <= whole * ONE - price * qty < ONE
    assert price * qty // ONE <= whole


def test_what_is_paid_and_what_is_received() -> None:
    account = Accounts({}).named(DEFAULT_NAME)
    spec = Spec("BTC", "USDT", 1, 1)
    orders = [Order(1, account, spec, Request("a", buy, Type.MARKET), 0, "a", 5) for buy in (True, False)]
    assert [(order.pays_asset, order.receives_asset) for order in orders] == [("USDT", "BTC"), ("BTC", "USDT")]
    orders[0].executed = 2
    assert orders[0].remaining == 3
    assert Fill(1, orders[0], 3 * ONE, ONE // 2, 0, "BTC", True, 0).quote_qty == 3 * ONE // 2


def test_kinds() -> None:
    assert [kind for kind in Type if kind.is_limit] == [
        Type.LIMIT, Type.STOP_LOSS_LIMIT, Type.TAKE_PROFIT_LIMIT, Type.LIMIT_MAKER,
    ]  # fmt: skip
    assert [kind for kind in Type if kind.is_conditional] == [
        Type.STOP_LOSS, Type.STOP_LOSS_LIMIT, Type.TAKE_PROFIT, Type.TAKE_PROFIT_LIMIT,
    ]  # fmt: skip
    assert [status for status in Status if status.is_open] == [Status.NEW, Status.PARTIALLY_FILLED]
