"""Orders against a small market: what is taken, locked, settled and told."""

import pytest

from loadtest.exchange.decimals import ONE
from loadtest.exchange.orders import Status, TimeInForce, Type
from loadtest.exchange.params import BinanceError
from tests.loadtest.exchange.floor import SYMBOL, Floor, units

# The farthest level of a generated market is never taken.
BIDS, ASKS = [(99, 5), (98, 5), (50, 1)], [(101, 2), (102, 3), (110, 50), (200, 1)]


def floor() -> Floor:
    return Floor(BIDS, ASKS)


def refusal(the: Floor, *arguments: object, **change: object) -> str:
    """Why an order is not taken; nothing has changed by it."""
    before = (the.owned(the.first), the.book(), len(the.trading.ledger.orders), len(the.events))
    with pytest.raises(BinanceError) as refused:
        the.place(*arguments, **change)  # type: ignore[arg-type]  # passed through
    assert (the.owned(the.first), the.book(), len(the.trading.ledger.orders), len(the.events)) == before
    return f"{refused.value.code} {refused.value}"


def test_a_limit_order_rests_with_its_money_locked_until_it_is_cancelled() -> None:
    the = floor()
    order = the.limit("buy", 2, 100)
    assert (order.status, order.working) == (Status.NEW, True)
    assert the.owned(the.first) == {"BTC": (1_000, 0), "USDT": (999_800, 200)}
    assert the.book()[0][0] == (100, 2)
    the.cancel(order)
    assert order.status is Status.CANCELED
    assert the.owned(the.first)["USDT"] == (1_000_000, 0)
    assert the.book()[0][0] == (99, 5)
    assert the.trading.open_orders(the.first) == []
    with pytest.raises(BinanceError, match="Unknown order sent"):
        the.cancel(order)
    assert the.told(the.first) == [("NEW", "NEW"), ("CANCELED", "CANCELED")]


def test_a_marketable_order_pays_the_prices_it_finds_and_rests_with_the_rest() -> None:
    the = floor()
    order = the.limit("buy", 6, 102)
    assert (order.status, order.executed, order.remaining) == (Status.PARTIALLY_FILLED, 5 * ONE, ONE)
    assert [(fill.price / ONE, fill.qty / ONE, fill.maker) for fill in order.fills] == [
        (101, 2, False),
        (102, 3, False),
    ]
    assert the.owned(the.first) == {"BTC": (1_000 + 5 * 0.999, 0), "USDT": (1_000_000 - 508 - 102, 102)}
    assert the.book() == ([(102, 1), *BIDS], ASKS[2:])
    assert [(trade.price / ONE, trade.buyer_is_maker) for trade in the.printed] == [(101, False), (102, False)]
    assert the.told(the.first) == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "PARTIALLY_FILLED")]


def test_users_trade_with_each_other_in_price_and_time_order() -> None:
    the = floor()
    early = the.limit("sell", 1, 100)
    late = the.limit("sell", 1, 100)
    taker = the.limit("buy", 1.5, 100, of=the.second)
    assert (early.status, late.status, taker.status) == (Status.FILLED, Status.PARTIALLY_FILLED, Status.FILLED)
    maker_fill, taker_fill = early.fills[0], taker.fills[0]
    assert (maker_fill.trade_id, maker_fill.maker, maker_fill.fee_asset) == (taker_fill.trade_id, True, "USDT")
    assert (maker_fill.fee, taker_fill.fee) == (units(0.1), units(0.002)), "each pays what his account says"
    assert the.owned(the.second)["BTC"][0] == pytest.approx(1_000 + 1.5 * 0.998)


def test_the_crowd_at_a_price_comes_first_when_it_was_there_first() -> None:
    the = floor()
    order = the.limit("buy", 1, 99)
    the.crowd_takes("sell", 4.5)
    assert order.executed == 0
    the.crowd_takes("sell", 0.7)
    assert (order.executed / ONE, order.status) == (0.2, Status.PARTIALLY_FILLED)
    the.crowd_takes("sell", 0.8)
    assert order.status is Status.FILLED


def test_own_orders_never_trade_with_each_other() -> None:
    the = floor()
    resting = the.limit("sell", 1, 100)
    order = the.limit("buy", 3, 101)
    assert resting.status is Status.EXPIRED_IN_MATCH
    assert (order.executed / ONE, order.fills[0].price / ONE) == (2, 101)
    assert ("TRADE_PREVENTION", "EXPIRED_IN_MATCH") in the.told(the.first)


def test_immediate_or_cancel_and_fill_or_kill() -> None:
    the = floor()
    killed = the.limit("buy", 3, 101, time_in_force=TimeInForce.FOK)
    assert (killed.status, killed.executed) == (Status.EXPIRED, 0)
    part = the.limit("buy", 3, 101, time_in_force=TimeInForce.IOC)
    assert (part.status, part.executed / ONE) == (Status.EXPIRED, 2)
    whole = the.limit("buy", 3, 102, time_in_force=TimeInForce.FOK)
    assert whole.status is Status.FILLED
    assert the.owned(the.first)["USDT"] == (1_000_000 - 202 - 306, 0)


def test_post_only() -> None:
    the = floor()
    assert "immediately match" in refusal(the, "buy", Type.LIMIT_MAKER, 1, 101)
    assert the.place("buy", Type.LIMIT_MAKER, 1, 100).status is Status.NEW
    assert "immediately match" in refusal(the, "sell", Type.LIMIT_MAKER, 1, 100), "also against an own order"


def test_market_orders_by_size_and_by_cost() -> None:
    the = floor()
    by_size = the.place("buy", Type.MARKET, 3)
    assert (by_size.status, by_size.quote_executed / ONE) == (Status.FILLED, 304)
    by_cost = the.place("buy", Type.MARKET, quote_qty=units(250))
    assert (by_cost.executed / ONE, by_cost.quote_executed / ONE) == (2.4, 2 * 102 + 0.4 * 110), "whole steps only"
    assert by_cost.status is Status.FILLED
    assert the.owned(the.first)["USDT"][1] == 0


def test_a_market_order_the_book_cannot_fill_expires_with_what_it_got() -> None:
    the = floor()
    order = the.place("sell", Type.MARKET, 11)
    assert (order.status, order.executed / ONE) == (Status.EXPIRED, 10), "a generated market keeps its last level"
    assert the.owned(the.first)["BTC"] == (990, 0)


@pytest.mark.parametrize(
    ("arguments", "change", "why"),
    [
        (("buy", Type.LIMIT, 10_001, 100), {}, "-2010 Account has insufficient balance for requested action."),
        (("sell", Type.LIMIT, 1_001, 100), {}, "-2010 Account has insufficient balance for requested action."),
        (("sell", Type.STOP_LOSS, 1_001), {"stop_price": 90 * ONE}, "-2010 Account has insufficient balance"),
        (("buy", Type.LIMIT, 0.05, 100), {}, "-1013 Filter failure: LOT_SIZE"),
        (("buy", Type.LIMIT, 1, 100.5), {}, "-1013 Filter failure: PRICE_FILTER"),
        (("buy", Type.LIMIT, 0.1, 49), {}, "-1013 Filter failure: NOTIONAL"),
    ],
)
def test_refusals_change_nothing(arguments: tuple[object, ...], change: dict[str, object], why: str) -> None:
    assert refusal(floor(), *arguments, **change).startswith(why)


def test_a_client_id_is_one_open_orders_own() -> None:
    the = floor()
    first = the.limit("buy", 1, 99, client_id="mine")
    assert refusal(the, "buy", Type.LIMIT, 1, 99, client_id="mine") == "-2010 Duplicate order sent."
    assert the.limit("buy", 1, 99, client_id="mine", of=the.second).status is Status.NEW
    the.cancel(first)
    again = the.limit("buy", 1, 99, client_id="mine")
    assert the.trading.find(the.first, SYMBOL, None, "mine") is again
    assert the.trading.find(the.first, SYMBOL, first.id, None) is first
    assert the.trading.find(the.second, SYMBOL, first.id, None) is None, "nobody sees another's order"


def test_a_stop_waits_and_trades_when_its_price_is_traded() -> None:
    the = floor()
    the.crowd_takes("buy", 0.5)
    assert "trigger immediately" in refusal(the, "sell", Type.STOP_LOSS, 1, stop_price=units(101))
    stop = the.place("sell", Type.STOP_LOSS, 3, stop_price=units(99))
    assert (stop.status, stop.working, the.owned(the.first)["BTC"]) == (Status.NEW, False, (997, 3))
    the.crowd_takes("sell", 1)
    assert (stop.status, stop.quote_executed / ONE) == (Status.FILLED, 297)


def test_a_profit_is_taken_when_its_price_is_traded() -> None:
    the = floor()
    the.crowd_takes("buy", 0.5)
    assert "trigger immediately" in refusal(the, "sell", Type.TAKE_PROFIT, 1, stop_price=units(101))
    assert "trigger immediately" in refusal(the, "buy", Type.TAKE_PROFIT, 1, stop_price=units(101))
    profit = the.place("sell", Type.TAKE_PROFIT, 3, stop_price=units(102))
    the.crowd_takes("sell", 1)
    assert (profit.status, profit.working) == (Status.NEW, False)
    the.crowd_takes("buy", 2)
    assert (profit.status, profit.executed) == (Status.FILLED, units(3))


def test_a_stop_limit_rests_once_its_price_was_traded() -> None:
    the = floor()
    stop = the.place("buy", Type.STOP_LOSS_LIMIT, 3, 101, stop_price=units(102))
    profit = the.place("buy", Type.TAKE_PROFIT_LIMIT, 3, 97, stop_price=units(98))
    the.crowd_takes("buy", 2.5)
    assert (stop.status, stop.working) == (Status.NEW, True)
    assert the.book()[0][0] == (101, 3)
    assert (profit.status, profit.working) == (Status.NEW, False)
    the.cancel(profit)
    assert the.owned(the.first)["USDT"] == (1_000_000 - 303, 303)


def test_a_triggered_stop_that_cannot_be_paid_expires() -> None:
    the = Floor(BIDS, [(101, 1), (2_000, 1_000), (3_000, 1)])
    stop = the.place("buy", Type.STOP_LOSS, 900, stop_price=units(101))
    the.crowd_takes("buy", 1)
    assert (stop.status, the.owned(the.first)["USDT"]) == (Status.EXPIRED, (1_000_000, 0))


def test_a_stop_may_set_off_another() -> None:
    the = floor()
    second = the.place("sell", Type.STOP_LOSS, 1, stop_price=units(98))
    first = the.place("sell", Type.STOP_LOSS, 6, stop_price=units(99))
    the.crowd_takes("sell", 1)
    assert [first.status, second.status] == [Status.FILLED, Status.FILLED]


def test_an_order_that_has_ended_can_still_be_filled_by_hand() -> None:
    the = floor()
    order = the.limit("buy", 2, 100)
    the.cancel(order)
    the.trading.fill_by_hand(order, units(100), units(0.5), the.now_ms)
    assert (order.status, order.executed / ONE) == (Status.CANCELED, 0.5)
    the.trading.fill_by_hand(order, units(99), units(1.5), the.now_ms)
    assert order.status is Status.FILLED
    assert the.owned(the.first)["USDT"] == (1_000_000 - 50 - 148.5, 0)
    assert the.told(the.first)[-2:] == [("TRADE", "CANCELED"), ("TRADE", "FILLED")]


def test_deposits_are_told() -> None:
    the = floor()
    the.trading.deposit(the.first, "USDT", 5 * ONE, 7)
    assert [report["e"] for _, report in the.events] == ["balanceUpdate", "outboundAccountPosition"]
    assert the.owned(the.first)["USDT"] == (1_000_005, 0)
