"""What a venue says and how it refuses, in our words.

Holds the values a venue hands to the desk. Must not know a state, a database or how a venue is spoken to.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from oms.model import ZERO, OrderType, Side

VenueOrderStatus = Literal["open", "canceled", "expired", "rejected", "filled"]


class Refused(Exception):  # noqa: N818 - a name of the contract: it is an answer, not a fault
    """The venue said no, definitively. `code` is of the error catalogue."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Ambiguous(Exception):  # noqa: N818 - as above
    """Nobody knows whether the venue did it: a timeout, a lost connection, a server error after sending."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue knows it. `filled` is its claim; what is booked comes from trades."""

    exchange_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    order_type: OrderType
    qty: Decimal
    price: Decimal | None
    status: VenueOrderStatus
    filled: Decimal
    average_price: Decimal | None
    time_ns: int
    raw: Mapping[str, Any]


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as the venue tells it; `fee` is paid when above zero."""

    exchange_trade_id: str | None
    exchange_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal = ZERO
    fee_currency: str | None = None
    maker: bool | None = None
    time_ns: int
