"""What may be sent: each limit refuses with its code, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from oms import risk
from oms.errors import OmsError
from oms.model import (
    Account,
    Instrument,
    Order,
    OrderType,
    Position,
    PositionMode,
    Quote,
    Risk,
    Side,
    TradingState,
)
from oms.risk import Situation

NOW_NS = 1_700_000_000_000_000_000
ACCOUNT = Account(id=1, name="a", exchange="sim", epoch="e")
LIMITS = Risk(account_id=1)
BTC = Instrument(symbol="BTC/USDT", base="BTC", quote="USDT")
QUOTE = Quote(bid=Decimal(99), ask=Decimal(101), last=Decimal(100), t_in_ns=NOW_NS)


def an_order(**terms: Any) -> Order:
    plain = Order(
        id=1, account_id=1, symbol="BTC/USDT", side=Side.BUY, order_type=OrderType.LIMIT, qty=Decimal(1),
        price=Decimal(100), client_order_id="c1", created_ns=NOW_NS, updated_ns=NOW_NS,
    )  # fmt: skip
    return replace(plain, **terms)


def a_market_order(**terms: Any) -> Order:
    return an_order(order_type=OrderType.MARKET, price=None, **terms)


def held(qty: str, **terms: Any) -> Position:
    return Position(
        id=7, account_id=1, symbol="BTC/USDT", strategy_id=0, qty=Decimal(qty), entry_price=Decimal(100),
        net_key="1:BTC/USDT", opened_ns=NOW_NS, updated_ns=NOW_NS, **terms,
    )  # fmt: skip


def situation(**changes: Any) -> Situation:
    limits = replace(LIMITS, **changes.pop("limits", {}))
    plain = Situation(
        account=ACCOUNT, risk=limits, everywhere=TradingState.ACTIVE, instrument=BTC, quote=QUOTE, position=None,
        others=(), sent_last_s=0, now_ns=NOW_NS,
    )  # fmt: skip
    return plain._replace(**changes)


def refusal(order: Order, **changes: Any) -> OmsError:
    with pytest.raises(OmsError) as caught:
        risk.check(order, situation(**changes))
    return caught.value


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"max_order_qty": Decimal("0.9")}, "max_order_qty"),
        ({"max_order_notional": Decimal(99)}, "max_order_notional"),
        ({"max_position_notional": Decimal(99)}, "max_position_notional"),
        ({"max_open_orders": 0}, "max_open_orders"),
        ({"allow_new_positions": False}, "allow_new_positions"),
        ({"trading_state": TradingState.HALTED}, "trading_state"),
        ({"trading_state": TradingState.REDUCING}, "trading_state"),
    ],
)
def test_each_limit_refuses_what_is_above_it_and_nothing_else(limits: dict[str, Any], limit: str) -> None:
    risk.check(an_order(), situation())
    error = refusal(an_order(), limits=limits)
    assert error.code == "risk_blocked"
    assert error.details is not None
    assert error.details["limit"] == limit


def test_a_limit_lets_through_what_meets_it() -> None:
    edge = {"max_order_qty": Decimal(1), "max_order_notional": Decimal(100), "max_position_notional": Decimal(100),
            "max_open_orders": 1, "max_orders_per_s": 1, "price_collar_bps": 0}  # fmt: skip
    risk.check(an_order(), situation(limits=edge))


def test_too_many_a_second_are_told_when_to_come_again() -> None:
    error = refusal(an_order(), limits={"max_orders_per_s": 3}, sent_last_s=3)
    assert (error.code, error.retry_after_ms) == ("rate_limited", 1_000)


def test_a_blocked_account_sends_nothing() -> None:
    assert refusal(an_order(), account=replace(ACCOUNT, blocked=True)).code == "account_blocked"


def test_the_kill_switch_of_all_is_as_strict_as_that_of_the_account() -> None:
    assert refusal(an_order(), everywhere=TradingState.HALTED).code == "risk_blocked"
    states = list(TradingState)
    for mine in states:
        for ours in states:
            strictest = states[max(states.index(mine), states.index(ours))]
            assert risk.trading_state(replace(LIMITS, trading_state=mine), ours) is strictest


def test_while_reducing_or_without_new_positions_one_may_reduce() -> None:
    sell = an_order(side=Side.SELL)
    for limits in ({"trading_state": TradingState.REDUCING}, {"allow_new_positions": False}):
        risk.check(sell, situation(limits=limits, position=held("1")))
        assert refusal(sell, limits=limits, position=held("0.5")).code == "risk_blocked"
        assert refusal(an_order(), limits=limits, position=held("1")).code == "risk_blocked"


def test_reduce_only_counts_what_may_be_executed_before_it() -> None:
    sell = an_order(side=Side.SELL, reduce_only=True)
    risk.check(sell, situation(position=held("1")))
    assert refusal(sell).code == "reduce_only_violation"
    assert refusal(sell, position=held("-1")).code == "reduce_only_violation"
    before = an_order(id=2, client_order_id="c2", side=Side.SELL, qty=Decimal("0.1"))
    assert refusal(sell, position=held("1"), others=[before]).code == "reduce_only_violation"
    risk.check(sell, situation(position=held("1.1"), others=[before]))
    for elsewhere in ({"side": Side.BUY}, {"symbol": "ETH/USDT"}):
        risk.check(sell, situation(position=held("1"), others=[replace(before, **elsewhere)]))


@pytest.mark.parametrize("reason", sorted(risk.CLOSING))
@pytest.mark.parametrize(
    "limits",
    [{"trading_state": TradingState.HALTED}, {"trading_state": TradingState.REDUCING}, {"max_open_orders": 0},
     {"allow_new_positions": False}, {"max_order_qty": Decimal("0.1")}, {"max_order_notional": Decimal(1)},
     {"max_position_notional": Decimal(1)}],
)  # fmt: skip
def test_no_limit_and_no_kill_switch_keeps_a_position_from_being_closed(reason: str, limits: dict[str, Any]) -> None:
    closing = a_market_order(side=Side.SELL, reduce_only=True, reason=reason, position_id=7)
    risk.check(closing, situation(limits=limits, position=held("1")))
    risk.check(closing, situation(limits=limits, position=held("1"), everywhere=TradingState.HALTED))
    beyond = refusal(closing, limits=limits, position=held("0.9"))
    assert beyond.code == "reduce_only_violation"
    risk.check(closing, situation(limits={"max_orders_per_s": 1}, position=held("1"), sent_last_s=9))
    halted = refusal(replace(closing, reason=""), position=held("1"), everywhere=TradingState.HALTED)
    assert halted.details == {"limit": "trading_state"}
    assert refusal(closing, position=held("1"), account=replace(ACCOUNT, blocked=True)).code == "account_blocked"


def test_what_reduces_another_position_of_the_symbol_is_not_in_the_way() -> None:
    external = held("1", reason="external")
    external = replace(external, id=8, net_key="1:BTC/USDT:external")
    closing = a_market_order(side=Side.SELL, reduce_only=True, reason="close_position", position_id=8)
    resting = an_order(id=2, client_order_id="c2", side=Side.SELL)
    reducing = replace(closing, reason="")
    beside = [replace(resting, position_id=8)]
    risk.check(reducing, situation(position=external, others=[resting]))
    assert refusal(reducing, position=external, others=beside).code == "reduce_only_violation"
    risk.check(closing, situation(position=external, others=beside))  # who closes it has seen to what rests


@pytest.mark.parametrize(
    ("mode", "counts"),
    [(PositionMode.NETTING, True), (PositionMode.STRATEGY_NETTING, False), (PositionMode.HEDGE, False)],
)
def test_whose_orders_go_to_the_same_position_depends_on_the_mode(mode: PositionMode, *, counts: bool) -> None:
    account = replace(ACCOUNT, position_mode=mode)
    sell = an_order(side=Side.SELL, reduce_only=True, position_id=7)
    other = an_order(id=2, client_order_id="c2", side=Side.SELL, strategy_id=5)
    where = situation(account=account, position=held("1"), others=[other])
    if counts:
        with pytest.raises(OmsError, match="left to be reduced"):
            risk.check(sell, where)
    else:
        risk.check(sell, where)
    with pytest.raises(OmsError, match="left to be reduced"):
        risk.check(sell, where._replace(others=[replace(other, position_id=7)]))


@pytest.mark.parametrize(
    "quote",
    [None, replace(QUOTE, stale=True), replace(QUOTE, t_in_ns=NOW_NS - 5_000_000_001),
     replace(QUOTE, bid=None, ask=None, last=None)],
)  # fmt: skip
def test_what_is_priced_off_the_market_needs_a_fresh_price(quote: Quote | None) -> None:
    assert refusal(a_market_order(), quote=quote).code == "stale_market_data"
    assert refusal(an_order(), quote=quote, limits={"price_collar_bps": 50}).code == "stale_market_data"
    risk.check(an_order(), situation(quote=quote))  # a limit without a collar is not priced off anything


def test_a_price_may_be_through_the_market_as_far_as_the_collar() -> None:
    collar = {"price_collar_bps": 100}
    for side, edge, beyond in ((Side.BUY, "102.01", "102.02"), (Side.SELL, "98.01", "98.00")):
        risk.check(an_order(side=side, price=Decimal(edge)), situation(limits=collar))
        assert refusal(an_order(side=side, price=Decimal(beyond)), limits=collar).code == "risk_blocked"
        risk.check(an_order(side=side, price=Decimal(200 if side is Side.SELL else 1)), situation(limits=collar))


def test_a_market_order_is_valued_at_what_it_would_get() -> None:
    assert refusal(a_market_order(), limits={"max_order_notional": Decimal(100)}).code == "risk_blocked"
    risk.check(a_market_order(side=Side.SELL), situation(limits={"max_order_notional": Decimal(99)}))
    one_sided = replace(QUOTE, ask=None)
    risk.check(a_market_order(), situation(quote=one_sided, limits={"max_order_notional": Decimal(100)}))


def test_an_inverse_contract_is_worth_a_fixed_amount() -> None:
    inverse = replace(BTC, inverse=True, spot=False, contract_size=Decimal(100))
    assert risk.notional(inverse, Decimal(3), Decimal(50_000)) == 300
    assert risk.notional(replace(inverse, inverse=False), Decimal(3), Decimal(2)) == 600


def test_exposure_counts_open_orders_and_lets_a_position_shrink() -> None:
    limits = {"max_position_notional": Decimal(150)}
    other = an_order(id=2, client_order_id="c2")
    assert refusal(an_order(), limits=limits, others=[other]).code == "risk_blocked"
    risk.check(an_order(side=Side.SELL), situation(limits=limits, position=held("9")))
    assert refusal(an_order(side=Side.SELL, qty=Decimal(20)), limits=limits, position=held("9")).code == "risk_blocked"


@pytest.mark.parametrize(
    ("terms", "rules", "field"),
    [
        ({"qty": Decimal("1.05")}, {"qty_step": Decimal("0.1")}, "qty"),
        ({"qty": Decimal("0.5")}, {"qty_min": Decimal(1)}, "qty"),
        ({"price": Decimal("1.05")}, {"price_step": Decimal("0.1")}, "price"),
        ({"qty": Decimal("1.1")}, {"qty_max": Decimal(1)}, "qty"),
        ({"filled": Decimal("0.6")}, {"qty_min": Decimal("0.5")}, "qty"),
        ({"order_type": OrderType.MARKET, "price": None}, {"market_qty_max": Decimal("0.9")}, "qty"),
        ({"price": Decimal(9)}, {"price_min": Decimal(10)}, "price"),
        ({"price": Decimal(101)}, {"price_max": Decimal(100)}, "price"),
        ({"qty": Decimal("0.1")}, {"notional_min": Decimal("10.01")}, "qty"),
        ({"filled": Decimal("0.9")}, {"notional_min": Decimal("10.01")}, "qty"),
        ({}, {"notional_max": Decimal("99.9")}, "qty"),
        ({"order_type": OrderType.STOP, "price": None, "trigger_price": Decimal("1.05")},
         {"price_step": Decimal("0.1")}, "trigger_price"),
        ({"expires_ns": NOW_NS}, {}, "expires_at"),
    ],
)  # fmt: skip
def test_the_rules_of_the_market_are_refused_by_field(terms: dict[str, Any], rules: dict[str, Any], field: str) -> None:
    error = refusal(an_order(**terms), instrument=replace(BTC, **rules))
    assert (error.code, error.details) == ("validation_error", {"field": field})


def test_what_meets_the_limits_of_the_market_may_be_sent() -> None:
    rules = replace(BTC, price_min=Decimal(100), price_max=Decimal(100), qty_min=Decimal(1), qty_max=Decimal(1),
                    notional_min=Decimal(100), notional_max=Decimal(100), market_qty_max=Decimal("0.1"))  # fmt: skip
    risk.check(an_order(), situation(instrument=rules))
    risk.check(an_order(qty=Decimal(9), filled=Decimal(8)), situation(instrument=rules))
    unpriced = replace(rules, market_qty_max=Decimal(1), notional_max=Decimal(1))
    risk.check(a_market_order(), situation(instrument=unpriced))


def test_a_step_of_18_digits_does_not_exceed_the_precision() -> None:
    tiny = replace(BTC, qty_step=Decimal("1E-18"), price_step=Decimal("1E-18"))
    risk.check(an_order(qty=Decimal(10**17) + Decimal("1E-18")), situation(instrument=tiny))


def test_a_sell_is_worth_what_the_market_gives_however_low_its_own_price() -> None:
    limits = {"max_order_notional": Decimal(50)}
    cheap = an_order(side=Side.SELL, price=Decimal(1))
    assert refusal(cheap, limits=limits).code == "risk_blocked"
    assert refusal(cheap, limits={"max_position_notional": Decimal(50)}).code == "risk_blocked"
    assert refusal(cheap, limits=limits, quote=None).code == "stale_market_data"
    risk.check(cheap, situation(limits={"max_order_notional": Decimal(120)}))
    risk.check(an_order(price=Decimal(1)), situation(limits=limits))  # a buy gets no more than it names


def a_stop(**terms: Any) -> Order:
    return an_order(**{"order_type": OrderType.STOP, "price": None, "trigger_price": Decimal(1), **terms})


@pytest.mark.parametrize("limit", ["max_order_notional", "max_position_notional"])
def test_a_stop_that_the_market_is_beyond_is_worth_what_it_would_get_at_once(limit: str) -> None:
    for terms in ({}, {"order_type": OrderType.STOP_LIMIT, "price": Decimal(2)}, {"side": Side.SELL}):
        order = a_stop(**terms)
        worth = Decimal(99) if order.side is Side.SELL else Decimal(101)
        below = {limit: worth - Decimal("0.01")}
        assert refusal(order, limits=below).details == {"limit": limit}
        assert refusal(order, limits=below, quote=None).code == "stale_market_data"
        risk.check(order, situation(limits={limit: worth}))
        risk.check(order, situation(quote=None))  # nothing is bounded by what it is worth


def test_a_stop_that_waits_is_worth_its_trigger() -> None:
    limits = {"max_order_notional": Decimal(149)}
    assert refusal(a_stop(trigger_price=Decimal(150)), limits=limits).code == "risk_blocked"
    dear = a_stop(order_type=OrderType.STOP_LIMIT, price=Decimal(140), trigger_price=Decimal(150))
    assert refusal(dear, limits=limits).code == "risk_blocked"
    risk.check(a_stop(trigger_price=Decimal(149)), situation(limits=limits))


def test_an_order_that_takes_a_profit_is_worth_what_it_waits_for_and_a_sell_no_less_than_the_market() -> None:
    wanted = {"order_type": OrderType.TAKE_PROFIT, "price": None, "trigger_price": Decimal(50)}
    for terms, worth, quote in (
        ({}, "50", None),  # a buy gets it for no more, so no price is asked for
        ({"order_type": OrderType.TAKE_PROFIT_LIMIT, "price": Decimal(60)}, "60", None),
        ({"side": Side.SELL}, "99", QUOTE),
        ({"side": Side.SELL, "trigger_price": Decimal(150)}, "150", QUOTE),
    ):
        order = an_order(**{**wanted, **terms})
        risk.check(order, situation(quote=quote, limits={"max_order_notional": Decimal(worth)}))
        below = {"max_order_notional": Decimal(worth) - Decimal("0.01")}
        assert refusal(order, quote=quote, limits=below).details == {"limit": "max_order_notional"}


def test_the_collar_of_a_take_profit_limit_is_laid_where_the_market_is_when_it_can_be_executed() -> None:
    collar = {"price_collar_bps": 100}
    for side, trigger, edge, beyond in (
        (Side.BUY, 50, "50.5", "50.51"), (Side.BUY, 200, "102.01", "102.02"),
        (Side.SELL, 200, "198", "197.99"), (Side.SELL, 1, "98.01", "98.00"),
    ):  # fmt: skip
        terms = {"order_type": OrderType.TAKE_PROFIT_LIMIT, "side": side, "trigger_price": Decimal(trigger)}
        risk.check(an_order(price=Decimal(edge), **terms), situation(limits=collar))
        error = refusal(an_order(price=Decimal(beyond), **terms), limits=collar)
        assert (error.code, (error.details or {})["limit"]) == ("risk_blocked", "price_collar_bps")


def test_the_collar_of_a_stop_limit_is_laid_where_the_market_is_when_it_can_be_executed() -> None:
    collar = {"price_collar_bps": 100}
    for side, trigger, edge, beyond in (
        (Side.BUY, 200, "202", "202.01"), (Side.BUY, 1, "102.01", "102.02"),
        (Side.SELL, 50, "49.5", "49.49"), (Side.SELL, 200, "98.01", "98.00"),
    ):  # fmt: skip
        terms = {"order_type": OrderType.STOP_LIMIT, "side": side, "trigger_price": Decimal(trigger)}
        risk.check(an_order(price=Decimal(edge), **terms), situation(limits=collar))
        error = refusal(an_order(price=Decimal(beyond), **terms), limits=collar)
        assert (error.code, (error.details or {})["limit"]) == ("risk_blocked", "price_collar_bps")
    stale = an_order(order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(1))
    assert refusal(stale, limits=collar, quote=None).code == "stale_market_data"


def test_numbers_in_a_refusal_have_no_digits_that_say_nothing() -> None:
    padded = Decimal("0.500000000000000000")
    assert refusal(an_order(), limits={"max_order_qty": padded}).message == "qty is above 0.5"
    worth = refusal(an_order(qty=Decimal("1.00")), limits={"max_order_notional": padded}).message
    assert worth == "worth 100 USDT, above 0.5"
    step = refusal(an_order(qty=Decimal("1.1")), instrument=replace(BTC, qty_step=padded)).message
    assert step == "qty: must be a multiple of 0.5"
    reducing = an_order(side=Side.SELL, reduce_only=True)
    assert refusal(reducing, position=held("0.500")).message == "only 0.5 is left to be reduced"


TIGHTER: dict[str, tuple[Any, ...]] = {  # values of each limit, from the tightest
    "allow_new_positions": (False, True),
    "max_order_qty": (Decimal("0.1"), Decimal(3), None),
    "max_order_notional": (Decimal(1), Decimal("1.5"), None),
    "max_open_orders": (0, 200, None),
    "max_position_notional": (Decimal(1), Decimal(10), None),
    "price_collar_bps": (0, 5, None),
    "max_orders_per_s": (1, 7, None),
    "max_market_data_age_ms": (1, 5_000),
    "trading_state": (TradingState.HALTED, TradingState.REDUCING, TradingState.ACTIVE),
}


def test_more_is_let_through_by_a_limit_that_is_raised_or_taken_away() -> None:
    assert {"account_id", *TIGHTER} == set(Risk.__struct_fields__)
    for name, values in TIGHTER.items():
        for before, old in enumerate(values):
            for after, new in enumerate(values):
                was, then = replace(LIMITS, **{name: old}), replace(LIMITS, **{name: new})
                assert risk.loosened(was, then) == ([name] if after > before else []), (name, old, new)
    for before, old in enumerate(TIGHTER["trading_state"]):
        for after, new in enumerate(TIGHTER["trading_state"]):
            assert risk.eases(old, new) is (after > before)
