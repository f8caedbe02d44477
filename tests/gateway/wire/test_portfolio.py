"""What an account is worth, as JSON."""

from __future__ import annotations

import json
from decimal import Decimal

from gateway.core.portfolio import Price, value
from gateway.wire.portfolio import portfolio_data, portfolio_fields
from tests.gateway.core.holdings_made import held, position

D = Decimal


def test_money_is_strings_of_digits_and_what_is_not_known_is_null() -> None:
    positions = [position("BTC/USDT", "0.50", "90"), position("ETH/USDT", "-1E-7", "10", id=2)]
    some = held({"USDT": "1E+3", "BTC": "0.5"}, positions)
    prices = {"BTC/USDT": Price(D("100.50"), False)}
    found = value(
        some, prices, {"BTC/USDT": D(100)}, account_id=7, currency="USDT", day_start_ns=1_770_422_400_000_000_000
    )
    assert json.loads(portfolio_data(found)) == portfolio_fields(found)
    assert portfolio_fields(found) == {
        "account_id": 7, "currency": "USDT", "total_value": "1050.25", "day_pnl": "0.25",
        "day_started_at": "2026-02-07T00:00:00.000Z", "unrealized_pnl": "5.25", "stale": True,
        "unvalued": ["ETH/USDT"], "opening_unknown": [],
        "positions": [
            {"position_id": 1, "symbol": "BTC/USDT", "strategy_id": 0, "quantity": "0.5", "average_price": "90",
             "market_price": "100.5", "unrealized_pnl": "5.25", "unrealized_pnl_pct": "11.66666667",
             "currency": "USDT", "stale": True},
            {"position_id": 2, "symbol": "ETH/USDT", "strategy_id": 0, "quantity": "-0.0000001",
             "average_price": "10", "market_price": None, "unrealized_pnl": None, "unrealized_pnl_pct": None,
             "currency": "USDT", "stale": True},
        ],
    }  # fmt: skip
