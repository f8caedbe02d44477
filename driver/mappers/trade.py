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
    paid = fees([deal])
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
        "fee": dict(paid[0]) if paid else None,
        "fees": paid,
    }


def joined(deals: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Deals with those of one execution in one: a fill that turns a position is booked as two, and was one trade."""
    executions: dict[tuple[int, str], dict[str, Any]] = {}
    for deal in deals:
        execution = executions.setdefault((deal["order_id"], deal["exchange_trade_id"]), {})
        if execution:
            if more := _sums((execution.get("more_fees") or {}, deal.get("more_fees") or {})):
                execution["more_fees"] = more
            for name in ("qty", "fee", "realized_pnl"):
                execution[name] = plain(Decimal(execution[name]) + Decimal(deal[name]))
        else:
            execution.update(deal)
    return list(executions.values())


def fees(deals: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was paid in all, by currency; an exchange that did not say in what has the currency None."""
    paid = []
    for deal in deals:
        paid += [{} if deal.get("fee_currency") is None else {deal["fee_currency"]: deal["fee"]}]
        paid += [deal.get("more_fees") or {}]
    return [{"currency": currency or None, "cost": cost} for currency, cost in _sums(paid).items()]


def _sums(paid: Iterable[Mapping[str, str]]) -> dict[str, str]:
    sums: dict[str, Decimal] = {}
    for each in paid:
        for currency, cost in each.items():
            sums[currency] = sums.get(currency, Decimal(0)) + Decimal(cost)
    return {currency: plain(total) for currency, total in sums.items()}


def order_type(order: Mapping[str, Any]) -> str:
    """ccxt's word: a stop order is a market or limit order that has a triggerPrice."""
    return "limit" if order["order_type"] in {"limit", "stop_limit", "take_profit_limit"} else "market"


def takes_profit(order: Mapping[str, Any]) -> bool:
    """Whether it waits for a price that is better for it than the market's."""
    return order["order_type"] in {"take_profit", "take_profit_limit"}
