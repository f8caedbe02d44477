"""Queues of users' orders."""

from loadtest.exchange.accounts import DEFAULT_NAME, Accounts
from loadtest.exchange.market import Spec
from loadtest.exchange.orders import Order, Request, Type
from loadtest.exchange.resting import Resting

ACCOUNT = Accounts({}).named(DEFAULT_NAME)


def _order(price: int, qty: int) -> Order:
    return Order(1, ACCOUNT, Spec("BTC", "USDT", 1, 1), Request("a", True, Type.LIMIT, price=price), 0, "a", qty)


def test_the_best_price_first_then_the_oldest() -> None:
    resting = Resting(descending=True)
    assert not resting
    orders = [_order(10, 1), _order(12, 2), _order(10, 3)]
    for order in orders:
        resting.add(order, 0)
    assert [entry.order for entry in resting.entries()] == [orders[1], orders[0], orders[2]]
    assert (resting.total(10), resting.total(12), resting.total(11)) == (4, 2, 0)


def test_filled_and_removed_orders_leave_their_price() -> None:
    resting = Resting(descending=False)
    first, second = _order(10, 4), _order(10, 5)
    resting.add(first, 0)
    resting.add(second, 0)
    resting.filled(first, 3)
    first.executed = 3
    assert resting.total(10) == 6
    resting.filled(first, 1)
    assert [entry.order for entry in resting.at(10)] == [second]
    resting.remove(second)
    assert not resting
    assert resting.total(10) == 0


def test_the_crowd_ahead_shrinks_by_trades_and_by_leaving() -> None:
    resting = Resting(descending=False)
    resting.add(_order(10, 1), 50)
    resting.add(_order(10, 1), 80)
    resting.passed(10, 20)
    assert [entry.ahead for entry in resting.at(10)] == [30, 60]
    resting.clamp(10, 40)
    assert [entry.ahead for entry in resting.at(10)] == [30, 40]
    resting.passed(10, 35)
    assert [entry.ahead for entry in resting.at(10)] == [0, 5]
    resting.clamp(11, 0)
