"""What ccxt is asked for when an order of ours is created: its arguments.

Pure. Must not know an exchange.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from oms.model import Order


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of `create_order`; numbers as texts, for ccxt to pass on as they are."""

    symbol: str
    type: str
    side: str
    amount: str
    price: str | None
    params: dict[str, Any]

    @property
    def arguments(self) -> tuple[str, str, str, str, str | None]:
        """All but the params."""
        return self.symbol, self.type, self.side, self.amount, self.price


def create(order: Order, client_order_id: str, *, contract: bool, qty: Decimal, price: Decimal | None) -> Create:
    """An order of `qty` at `price` with everything else as `order` says; of its params, `checking` says what may be."""
    limited = order.order_type.is_limited
    params: dict[str, Any] = {**order.params, "clientOrderId": client_order_id}
    if limited and not order.post_only:
        params["timeInForce"] = order.time_in_force.value
    if order.post_only:
        params["postOnly"] = True
    if order.trigger_price is not None:
        params["takeProfitPrice" if order.order_type.takes_profit else "triggerPrice"] = text(order.trigger_price)
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
