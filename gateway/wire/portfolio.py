"""What an account is worth, as the data of a `portfolio` message and as a resource: the same JSON object.

Must not know how it was found out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from gateway.core.moment import moment
from gateway.core.portfolio import Valuation, Valued


def portfolio_fields(valuation: Valuation) -> dict[str, Any]:
    """JSON-ready; money is strings of digits, null where it is not known."""
    return {
        "account_id": valuation.account_id,
        "currency": valuation.currency,
        "total_value": digits(valuation.total_value),
        "day_pnl": digits(valuation.day_pnl),
        "day_started_at": moment(valuation.day_start_ns),
        "unrealized_pnl": digits(valuation.unrealized_pnl),
        "stale": valuation.stale,
        "unvalued": list(valuation.unvalued),
        "opening_unknown": list(valuation.opening_unknown),
        "positions": [_position(each) for each in valuation.positions],
    }


def portfolio_data(valuation: Valuation) -> bytes:
    return orjson.dumps(portfolio_fields(valuation))


def _position(valued: Valued) -> dict[str, Any]:
    return {
        "position_id": valued.position_id,
        "symbol": valued.symbol,
        "strategy_id": valued.strategy_id,
        "quantity": digits(valued.quantity),
        "average_price": digits(valued.average_price),
        "market_price": digits(valued.market_price),
        "unrealized_pnl": digits(valued.unrealized_pnl),
        "unrealized_pnl_pct": digits(valued.unrealized_pnl_pct),
        "currency": valued.currency,
        "stale": valued.stale,
    }


def digits(value: Decimal | None) -> str | None:
    """Without an exponent, and without zeros that say nothing."""
    if value is None:
        return None
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
