"""Binance's words read without ccxt: held against what ccxt's own class makes of them, field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.venues import binance_spot, convert

SYMBOL = "BTC/USDT"
STEP = "0.00001000"
KINDS = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
STATUSES = (
    "NEW",
    "PARTIALLY_FILLED",
    "FILLED",
    "CANCELED",
    "PENDING_CANCEL",
    "REJECTED",
    "EXPIRED",
    "EXPIRED_IN_MATCH",
)
NOTHING = "0.00000000"

amounts = st.decimals(min_value="0.00000001", max_value=10**9, places=8).map(lambda value: f"{value:.8f}")
amounts_or_none = st.just(NOTHING) | amounts
times_ms = st.integers(min_value=1, max_value=2 * 10**12)
names = st.text("abc-1", min_size=1, max_size=8)


def unmodified() -> Any:
    """ccxt's own class, with one market."""
    exchange = ccxt.pro.binance({"number": str})
    market = {
        "id": "BTCUSDT", "symbol": SYMBOL, "base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT",
        "type": "spot", "spot": True, "contract": False, "inverse": False,
        "precision": {"amount": STEP, "price": "0.01000000"}, "limits": {}, "info": {"orderTypes": [*KINDS]},
    }  # fmt: skip
    exchange.set_markets([exchange.safe_market_structure(market)])
    return exchange


CCXT = unmodified()


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    execution = draw(st.sampled_from(["NEW", "TRADE", "CANCELED", "EXPIRED", "REJECTED"]))
    qty, filled = draw(amounts), draw(amounts_or_none)
    return {
        "e": "executionReport", "E": draw(times_ms), "s": "BTCUSDT", "c": draw(names), "C": draw(st.just("") | names),
        "S": draw(st.sampled_from(["BUY", "SELL"])), "o": draw(st.sampled_from(KINDS)), "f": "GTC", "q": qty,
        "p": draw(amounts), "P": draw(amounts_or_none), "x": execution, "X": draw(st.sampled_from(STATUSES)),
        "i": draw(st.integers(1, 10**12)), "l": draw(amounts), "z": filled, "L": draw(amounts),
        "n": draw(st.just("0") | amounts), "N": draw(st.sampled_from(["BTC", "USDT", "BNB"])), "T": draw(times_ms),
        "t": draw(st.integers(1, 10**12)), "m": draw(st.booleans()), "O": draw(times_ms), "Z": draw(amounts_or_none),
    }  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """To a request to create an order, to cancel one, or to know of one."""
    told = {
        "symbol": "BTCUSDT", "orderId": draw(st.integers(1, 10**12)), "clientOrderId": draw(names),
        "price": draw(amounts), "origQty": draw(amounts), "executedQty": draw(amounts_or_none),
        "cummulativeQuoteQty": draw(amounts_or_none), "status": draw(st.sampled_from(STATUSES)), "timeInForce": "GTC",
        "type": draw(st.sampled_from(KINDS)), "side": draw(st.sampled_from(["BUY", "SELL"])),
    }  # fmt: skip
    to = draw(st.sampled_from(["create", "cancel", "query"]))
    if to == "create":
        return {**told, "transactTime": draw(times_ms), "workingTime": draw(times_ms), "fills": []}
    if to == "cancel":
        return {**told, "transactTime": draw(times_ms), "origClientOrderId": draw(names), "stopPrice": draw(amounts)}
    times = {"time": draw(times_ms), "updateTime": draw(times_ms), "workingTime": draw(times_ms)}
    return {**told, **times, "stopPrice": draw(amounts_or_none), "isWorking": True}


@given(reports())
def test_a_report_is_the_order_that_ccxt_makes_of_it(event: dict[str, Any]) -> None:
    mine = binance_spot.report(event, SYMBOL)
    assert mine is not None
    assert convert.order(mine) == convert.order(CCXT.parse_ws_order(event))


@given(reports())
def test_a_report_is_the_execution_that_ccxt_makes_of_it(event: dict[str, Any]) -> None:
    event["x"] = "TRADE"
    mine = binance_spot.trade(event, SYMBOL, CCXT.safe_currency_code)
    assert mine is not None
    assert convert.trade(mine) == convert.trade(CCXT.parse_ws_trade(event))


@given(answers())
def test_an_answer_is_the_order_that_ccxt_makes_of_it(told: dict[str, Any]) -> None:
    mine = binance_spot.order(told, SYMBOL)
    assert mine is not None
    assert convert.order(mine) == convert.order(CCXT.parse_order(told))


WHOLE: dict[str, Any] = {
    "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": "mine", "price": "5.0", "origQty": "2.0", "executedQty": "0.0",
    "cummulativeQuoteQty": "0.0", "status": "NEW", "type": "LIMIT", "side": "BUY", "transactTime": 9,
}  # fmt: skip


def test_what_lacks_nothing_is_read() -> None:
    assert binance_spot.order(WHOLE, SYMBOL) is not None


@pytest.mark.parametrize("changes", [
    {"status": "HALTED"}, {"type": "OTHER"}, {"side": "BOTH"}, {"origQty": "many"}, {"origQty": None},
    {"positionSide": "BOTH"}, {"avgPrice": "5.0"}, {"code": "200"},
])  # fmt: skip
def test_what_is_not_known_is_left_to_ccxt(changes: dict[str, Any]) -> None:
    assert binance_spot.order({**WHOLE, **changes}, SYMBOL) is None


@pytest.mark.parametrize("name", [*WHOLE])
def test_what_lacks_something_is_left_to_ccxt(name: str) -> None:
    less = {each: value for each, value in WHOLE.items() if each != name}
    assert (binance_spot.order(less, SYMBOL) is None) == (name != "symbol")


@given(reports(), st.sampled_from(["o", "S", "X", "x", "q", "p", "z", "Z", "i", "T", "O"]))
def test_a_report_that_lacks_something_is_left_to_ccxt(event: dict[str, Any], name: str) -> None:
    del event[name]
    assert binance_spot.report(event, SYMBOL) is None


def test_an_execution_that_lacks_something_is_left_to_ccxt() -> None:
    assert binance_spot.trade({"e": "executionReport", "x": "TRADE"}, SYMBOL, str) is None


@given(st.integers(1, 10**15))
def test_a_multiple_of_a_step_is_written_as_ccxt_writes_it(count: int) -> None:
    amount = f"{Decimal(count) * Decimal(STEP):f}"
    assert binance_spot.in_steps(amount, STEP) == CCXT.amount_to_precision(SYMBOL, amount)
    price = f"{Decimal(count) / 100:f}"
    assert binance_spot.in_steps(price, "0.01000000") == CCXT.price_to_precision(SYMBOL, price)


@pytest.mark.parametrize("amount", ["0.000001", "0.000015", "0", "-1", "NaN", "Infinity", "x", "", None])
def test_what_is_no_multiple_is_left_to_ccxt(amount: Any) -> None:
    assert binance_spot.in_steps(amount, STEP) is None


@pytest.mark.parametrize("step", [None, "0", ""])
def test_without_a_step_it_is_left_to_ccxt(step: Any) -> None:
    assert binance_spot.in_steps("1", step) is None


@given(st.dictionaries(names, st.integers() | st.text(max_size=4) | st.booleans(), min_size=1, max_size=3))
def test_a_query_string_is_as_ccxt_writes_it(params: dict[str, Any]) -> None:
    assert binance_spot.query(params) in {None, CCXT.urlencode(params)}


def test_what_needs_no_quoting_is_written_at_once() -> None:
    assert binance_spot.query({"symbol": "BTCUSDT", "timestamp": 7}) == "symbol=BTCUSDT&timestamp=7"


@pytest.mark.parametrize("value", ["a&b", "a=b", "a b", "/", "", True, None, 1.0, "\u00e9", "a\n"])
def test_what_needs_quoting_is_left_to_ccxt(value: Any) -> None:
    assert binance_spot.query({"name": value}) is None
