"""What accounts hold and gain, as the data of a `portfolio_update` of the dashboard dialect.

All accounts that a client is told of are one portfolio there, by symbol. Must not know how a valuation is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

from gateway.core.portfolio import Valuation, Valued, by_symbol
from gateway.wire.portfolio import digits


def portfolio(valuations: Sequence[Valuation], unvalued: Sequence[int] = ()) -> bytes:
    """Finished JSON; numbers have the digits of their source, and are null where nobody knows them.

    What counts prices or balances that are not live has `"stale":true`, and the whole then too. While accounts are not
    valued yet they are named, and what would be of all of them is not known.
    """
    positions = by_symbol(each for valuation in valuations for each in valuation.positions)
    said: dict[str, Any] = {
        "positions": {symbol: _position(held) for symbol, held in sorted(positions.items())},
        "total_pnl": None if unvalued else _number(sum((each.unrealized_pnl for each in valuations), Decimal(0))),
        "position_count": None if unvalued else len(positions),
    }
    if unvalued:
        said["unvalued_accounts"] = list(unvalued)
    if any(each.stale for each in valuations):
        said["stale"] = True
    return orjson.dumps(said)


def _position(held: Valued) -> dict[str, Any]:
    said: dict[str, Any] = {
        "symbol": held.symbol,
        "quantity": _number(held.quantity),
        "average_price": _number(held.average_price),
        "market_price": _number(held.market_price),
        "unrealized_pnl": _number(held.unrealized_pnl),
        "unrealized_pnl_pct": _number(held.unrealized_pnl_pct),
    }
    if held.stale and held.market_price is not None:
        said["stale"] = True
    return said


def _number(value: Decimal | None) -> orjson.Fragment | None:
    """As a JSON number."""
    text = digits(value)
    return None if text is None else orjson.Fragment(text)
