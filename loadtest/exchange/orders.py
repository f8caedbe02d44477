"""A user's order and its fills: what was asked for, how far it has come, and what money it holds.

Prices and sizes are integers of 1e-8. State only: no book, no clock, no message format.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from loadtest.exchange.accounts import Account
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Spec


class Type(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"

    @property
    def is_limit(self) -> bool:
        return self in _LIMITS

    @property
    def is_conditional(self) -> bool:
        return self in _CONDITIONAL


_LIMITS = {Type.LIMIT, Type.LIMIT_MAKER, Type.STOP_LOSS_LIMIT, Type.TAKE_PROFIT_LIMIT}
_CONDITIONAL = {Type.STOP_LOSS, Type.STOP_LOSS_LIMIT, Type.TAKE_PROFIT, Type.TAKE_PROFIT_LIMIT}


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class Request(NamedTuple):
    """What a user asks for; `quote_qty` instead of `qty` in a market order. 0: not asked for."""

    client_id: str
    buy: bool
    type: Type
    time_in_force: TimeInForce = TimeInForce.GTC
    qty: int = 0
    price: int = 0
    stop_price: int = 0
    quote_qty: int = 0


class Fill(NamedTuple):
    """One trade as the owner of `order` sees it; the fee is in what he received."""

    trade_id: int
    order: "Order"
    price: int
    qty: int
    fee: int
    fee_asset: str
    maker: bool
    time_ms: int

    @property
    def quote_qty(self) -> int:
        return self.price * self.qty // ONE


@dataclass(slots=True, eq=False)
class Order:
    id: int
    account: Account
    spec: Spec
    request: Request
    created_ms: int
    # The id it goes by; a cancel gives it another in the answer, not here.
    client_id: str
    qty: int
    status: Status = Status.NEW
    executed: int = 0
    quote_executed: int = 0
    # Of the asset it pays with, still held back for it.
    locked: int = 0
    # On the book; a stop is not until it is triggered.
    working: bool = False
    updated_ms: int = 0
    fills: list[Fill] = field(default_factory=list, repr=False)

    @property
    def remaining(self) -> int:
        return self.qty - self.executed

    @property
    def pays_asset(self) -> str:
        return self.spec.quote if self.request.buy else self.spec.base

    @property
    def receives_asset(self) -> str:
        return self.spec.base if self.request.buy else self.spec.quote


def cost(price: int, qty: int) -> int:
    """What `qty` costs at `price` at most: rounded up, so that a lock always suffices."""
    return -(-price * qty // ONE)
