"""An order of the gateway as a unified order. Pure. Must not know a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from driver.mappers.trade import fees, order_type, takes_profit
from driver.mappers.values import milliseconds


def order_fields(order: Mapping[str, Any], deals: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What ccxt's `safe_order` makes an order of; numbers are texts. `deals` are those of this order.

    `id` is the gateway's; the exchange's own is `info["exchange_order_id"]`, and why it was refused, if it was, is
    `info["error_code"]` and `info["error_message"]`.
    """
    post_only = bool(order["post_only"])
    times = [time for deal in deals if (time := milliseconds(deal["executed_at"])) is not None]
    filled = Decimal(order["filled"])
    return {
        "info": dict(order),
        "id": str(order["id"]),
        "clientOrderId": order["client_order_id"] or None,
        "timestamp": milliseconds(order["created_at"]),
        "datetime": order["created_at"],
        "lastTradeTimestamp": max(times, default=None),
        "lastUpdateTimestamp": milliseconds(order["updated_at"]),
        "symbol": order["symbol"],
        "type": order_type(order),
        # ccxt says PO of what may only rest, and IOC of a market order; one that waits for a price rests until then.
        "timeInForce": None if post_only or order["order_type"] == "market" else order["time_in_force"],
        "postOnly": post_only,
        "reduceOnly": bool(order["reduce_only"]),
        "side": order["side"],
        "price": order["price"],
        "triggerPrice": order["trigger_price"],
        "stopLossPrice": order["stop_loss"],
        # Its own, if that is what it waits for; else that of the position.
        "takeProfitPrice": order["trigger_price"] if takes_profit(order) else order["stop_gain"],
        "amount": order["qty"],
        "filled": order["filled"],
        "remaining": order["remaining"],
        "average": order["average_price"] if filled else None,
        "cost": None if filled else "0",
        "status": order["status"],
        "fee": None,
        "fees": fees(deals),
        "trades": [],
    }
