"""The data of a portfolio update: all accounts together by symbol, as numbers, and honest about what is not live."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from gateway.core.portfolio import Valuation, Valued
from gateway.wire.dashboard_portfolio import portfolio

D = Decimal


def held(symbol: str = "BTC/USDT", **fields: Any) -> Valued:
    given: dict[str, Any] = {
        "position_id": 1, "symbol": symbol, "strategy_id": 0, "quantity": D("0.50"), "average_price": D("100"),
        "market_price": D("110.10"), "unrealized_pnl": D("5.05"), "unrealized_pnl_pct": D("10.1"), "cost": D("50"),
        "currency": "USDT", "stale": False,
    }  # fmt: skip
    return Valued(**given | fields)


def valuation(*positions: Valued, pnl: str = "5.05", stale: bool = False) -> Valuation:
    return Valuation(
        account_id=1, currency="USDT", total_value=None, day_pnl=None, day_start_ns=0, unrealized_pnl=D(pnl),
        stale=stale, unvalued=(), opening_unknown=(), positions=positions,
    )  # fmt: skip


def test_it_has_exactly_these_fields_with_numbers_in_plain_digits() -> None:
    assert portfolio([valuation(held(), pnl="5.0500")]) == (
        b'{"positions":{"BTC/USDT":{"symbol":"BTC/USDT","quantity":0.5,"average_price":100,"market_price":110.1,'
        b'"unrealized_pnl":5.05,"unrealized_pnl_pct":10.1}},"total_pnl":5.05,"position_count":1}'
    )


def test_accounts_are_one_portfolio_by_symbol() -> None:
    second = held(quantity=D("1.5"), average_price=D(120), unrealized_pnl=D(-15), cost=D(180))
    said = json.loads(portfolio([valuation(held("ETH/USDT"), held()), valuation(second, pnl="-15")]))
    assert list(said["positions"]) == ["BTC/USDT", "ETH/USDT"]
    assert (said["position_count"], said["total_pnl"]) == (2, -9.95)
    netted = said["positions"]["BTC/USDT"]
    assert (netted["quantity"], netted["average_price"], netted["unrealized_pnl"]) == (2, 115, -9.95)


def test_a_sum_in_part_is_no_total() -> None:
    said = json.loads(portfolio([valuation(held())], [2, 5]))
    assert (said["total_pnl"], said["position_count"], said["unvalued_accounts"]) == (None, None, [2, 5])
    assert list(said["positions"]) == ["BTC/USDT"]


def test_nothing_held_is_told_too() -> None:
    assert json.loads(portfolio([valuation(pnl="-0")])) == {"positions": {}, "total_pnl": 0, "position_count": 0}


def test_what_has_no_price_is_null_and_what_has_an_old_one_says_so() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("market_price", "unrealized_pnl", "unrealized_pnl_pct"))
    said = json.loads(portfolio([valuation(held(stale=True, **nothing), held("ETH/USDT", stale=True), stale=True)]))
    assert said["stale"] is True
    unpriced, old = said["positions"]["BTC/USDT"], said["positions"]["ETH/USDT"]
    assert {name: unpriced[name] for name in nothing} == nothing
    assert "stale" not in unpriced, "there is nothing in it that could be old"
    assert (old["market_price"], old["stale"]) == (110.1, True)
