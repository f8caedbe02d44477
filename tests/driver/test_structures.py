"""ccxt's rules for structures hold whatever the gateway tells; and the checks of them find what breaks one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.sync import OmsCcxtExchange
from oms.model import OrderState
from oms.render import number, status_of
from tests.driver.structures import check_order, check_position, check_trade
from tests.driver.stub import deal, filled, market, order, position

EXCHANGE = OmsCcxtExchange()
EXCHANGE.set_markets([market("BTC/USDT"), market("BTC/USDT:USDT", contractSize=10.0)])
SIZES = {"BTC/USDT": 1, "BTC/USDT:USDT": 10}
amounts = st.integers(1, 10**9).map(lambda units: Decimal(units) / 10**5)
prices = st.integers(1, 10**8).map(lambda ticks: Decimal(ticks) / 100)
symbols = st.sampled_from(sorted(SIZES))


@st.composite
def orders(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An order in any state, and its deals."""
    symbol = draw(symbols)
    parts = draw(st.lists(st.tuples(amounts, prices, st.sampled_from(["BTC", "USDT", "BNB", None])), max_size=4))
    done = sum((qty for qty, _, _ in parts), Decimal(0))
    state = draw(st.sampled_from(list(OrderState)))
    rest = Decimal(0) if state is OrderState.FILLED else draw(amounts)
    kind = draw(st.sampled_from(["limit", "market", "stop", "stop_limit", "take_profit", "take_profit_limit"]))
    limited = kind.endswith("limit")
    force = draw(st.sampled_from(["GTC", "IOC", "FOK"])) if limited else "GTC"
    average = sum((qty * price for qty, price, _ in parts), Decimal(0)) / done if done else None
    row = order(
        symbol=symbol, state=state, status=status_of(state), order_type=kind, qty=number(done + rest),
        filled=number(done), remaining=number(rest), average_price=average and number(average),
        side=draw(st.sampled_from(["buy", "sell"])), price=number(draw(prices)) if limited else None,
        trigger_price=number(draw(prices)) if kind not in {"limit", "market"} else None, time_in_force=force,
        post_only=kind == "limit" and force == "GTC" and draw(st.booleans()), reduce_only=draw(st.booleans()),
        stop_loss=draw(st.none() | prices.map(number)), client_order_id=draw(st.sampled_from(["", "mine"])),
    )  # fmt: skip
    deals = [
        deal(at, symbol=symbol, qty=number(qty), price=number(price), fee="0.1" if paid else "0", fee_currency=paid)
        for at, (qty, price, paid) in enumerate(parts, 1)
    ]
    return row, deals


@given(orders())
def test_any_order_is_a_unified_order(made: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    row, deals = made
    check_order(EXCHANGE.order_of(row, deals), SIZES[row["symbol"]])
    for each in deals:
        check_trade(EXCHANGE.trade_of(each, row), SIZES[row["symbol"]])


@given(symbols, st.sampled_from([-1, 0, 1]), amounts, prices, st.none() | prices)
def test_any_position_is_a_unified_position(
    symbol: str, sign: int, qty: Decimal, entry: Decimal, mark: Decimal | None
) -> None:
    row = position(
        symbol=symbol,
        qty=number(qty * sign),
        side="short" if sign < 0 else "long",
        entry_price=number(entry),
        contract_size=str(SIZES[symbol]),
    )
    made = EXCHANGE.position_of(row, mark)
    check_position(made)
    if mark is not None and sign:
        assert made["unrealizedPnl"] == pytest.approx(float((mark - entry) * qty * sign * SIZES[symbol]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "new"}, {"id": 10}, {"remaining": 5.0}, {"timestamp": 5}, {"amount": True}, {"fee": None},
        {"price": "50000"}, {"postOnly": None}, {"side": "long"}, {"average": 1.0},
    ],
    ids=str,
)  # fmt: skip
def test_the_check_of_an_order_finds_what_is_wrong(wrong: dict[str, Any]) -> None:
    made = EXCHANGE.order_of(filled(), [deal()])
    check_order(made)
    with pytest.raises(AssertionError):
        check_order({**made, **wrong})


@pytest.mark.parametrize(
    ("check", "made", "wrong"),
    [
        (check_trade, EXCHANGE.trade_of(deal()), {"cost": 1.0}),
        (check_trade, EXCHANGE.trade_of(deal()), {"takerOrMaker": "both"}),
        (check_position, EXCHANGE.position_of(position()), {"contracts": -1.0}),
        (check_position, EXCHANGE.position_of(position()), {"side": "buy"}),
    ],
)
def test_the_other_checks_find_it_too(check: Callable[[Any], None], made: Any, wrong: dict[str, Any]) -> None:
    check(made)
    with pytest.raises(AssertionError):
        check({**made, **wrong})
