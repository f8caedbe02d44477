"""What ccxt is asked for when an order of ours is created: its arguments.

Pure. Must not know an exchange.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from oms.model import Order, OrderType, TimeInForce
from oms.venues.base import Refused

# What the order itself says, and what would make of the request another one than was committed.
RESERVED: Final = frozenset(
    {
        *("clientOrderId", "newClientOrderId", "origClientOrderId", "clientAlgoId", "newClientStrategyId"),
        *("clOrdId", "orderLinkId", "clientOid", "client_order_id", "clientId", "text"),
        *("cancelOrigClientOrderId", "cancelNewClientOrderId", "cancelOrderId", "cancelReplaceMode"),
        *("symbol", "side", "type", "amount", "quantity", "price", "cost", "quoteOrderQty", "closePosition"),
        *("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice", "trailingPercent", "trailingDelta"),
        *("timeInForce", "postOnly", "reduceOnly", "test", "validate", "newOrderRespType"),
        # Of these ccxt or the exchange makes an order of another kind, on another account, or at another price.
        *(
            "marginMode",
            "isIsolated",
            "sideEffectType",
            "sor",
            "SOR",
            "papi",
            "portfolioMargin",
            "hedged",
            "priceMatch",
        ),
        *("trailingAmount", "trailingTriggerPrice", "activationPrice", "stopLoss", "takeProfit"),
        *("maxRetriesOnFailure", "maxRetriesOnFailureDelay", "timestamp", "signature", "recvWindow"),
    }
)


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of `create_order`; numbers as texts, for ccxt to pass on as they are."""

    symbol: str
    type: str
    side: str
    amount: str
    price: str | None
    params: dict[str, Any]


def create(order: Order, client_order_id: str, *, contract: bool, qty: Decimal, price: Decimal | None) -> Create:
    """An order of `qty` at `price` with everything else as `order` says. Raises Refused."""
    if own := sorted(set(order.params) & RESERVED):
        raise Refused("validation_error", f"params: {', '.join(own)} cannot be given there")
    if order.time_in_force is TimeInForce.GTD:
        raise Refused("unsupported_action", "time_in_force GTD: not sent to this venue")
    limited = order.order_type in {OrderType.LIMIT, OrderType.STOP_LIMIT}
    params: dict[str, Any] = {**order.params, "clientOrderId": client_order_id}
    if limited and not order.post_only:
        params["timeInForce"] = order.time_in_force.value
    if order.post_only:
        params["postOnly"] = True
    if order.trigger_price is not None:
        params["triggerPrice"] = text(order.trigger_price)
    if order.reduce_only and contract:
        params["reduceOnly"] = True  # on spot markets nothing but our own check knows what would be reduced
    return Create(
        symbol=order.symbol,
        type="limit" if limited else "market",
        side=order.side.value,
        amount=text(qty),
        price=text(price) if limited and price is not None else None,
        params=params,
    )


def text(value: Decimal) -> str:
    """In digits, without an exponent."""
    return f"{value:f}"
