"""A deal of the gateway as a unified trade. Pure. Must not know a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from driver.mappers.values import milliseconds, plain

_LIQUIDITY: Final = {True: "maker", False: "taker", None: None}


def trade_fields(deal: Mapping[str, Any], order: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ccxt's `safe_trade` makes a trade of; numbers are texts. `order` is the one it belongs to, when known.

    `id` and `order` are the gateway's; the exchange's own is `info["exchange_trade_id"]`.
    """
    time = milliseconds(deal["executed_at"])
    paid = fee(deal)
    return {
        "info": dict(deal),
        "id": str(deal["id"]),
        "timestamp": time,
        "datetime": deal["executed_at"],
        "symbol": deal["symbol"],
        "order": str(deal["order_id"]),
        "type": None if order is None else order_type(order),
        "side": deal["side"],
        "takerOrMaker": _LIQUIDITY[deal.get("maker")],
        "price": deal["price"],
        "amount": deal["qty"],
        "cost": None,
        "fee": paid,
        "fees": [] if paid is None else [dict(paid)],
    }


def joined(deals: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Deals with those of one execution in one: a fill that turns a position is booked as two, and was one trade."""
    executions: dict[tuple[int, str], dict[str, Any]] = {}
    for deal in deals:
        execution = executions.setdefault((deal["order_id"], deal["exchange_trade_id"]), {})
        if execution:
            for name in ("qty", "fee", "realized_pnl"):
                execution[name] = plain(Decimal(execution[name]) + Decimal(deal[name]))
        else:
            execution.update(deal)
    return list(executions.values())


def fee(deal: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was paid, or None when the exchange did not say in what."""
    if deal.get("fee_currency") is None:
        return None
    return {"currency": deal["fee_currency"], "cost": deal["fee"]}


def order_type(order: Mapping[str, Any]) -> str:
    """ccxt's word: a stop order is a market or limit order that has a triggerPrice."""
    return "limit" if order["order_type"] in {"limit", "stop_limit"} else "market"
