"""What a venue says and how it refuses, in our words.

Holds the values a venue hands to the desk. Must not know a state, a database or how a venue is spoken to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from oms.model import ZERO, Instrument, Order, OrderType, Side

VenueOrderStatus = Literal["open", "canceled", "expired", "rejected", "filled"]


class Refused(Exception):  # noqa: N818 - a name of the contract: it is an answer, not a fault
    """The venue said no, definitively. `code` is of the error catalogue.

    `details` are told with it: `exception`, the class that a program of ccxt would have caught, where that says more.
    """

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


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
    trigger_price: Decimal | None = None
    status: VenueOrderStatus
    filled: Decimal
    average_price: Decimal | None
    created_ns: int = 0  # 0: the venue did not say
    time_ns: int  # of what was last done to it
    raw: Mapping[str, Any]


class VenueTrade(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as the venue tells it; `fee` is paid when above zero, the one in base if there is one."""

    exchange_trade_id: str | None
    exchange_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal = ZERO
    fee_currency: str | None = None
    more_fees: Mapping[str, Decimal] = {}  # what was paid in other currencies beside it
    maker: bool | None = None
    time_ns: int
    nth: int = 0  # of those without an id that are alike in all else and were told together


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """An open position as who watches the account is told of it. `mark` and `profit`: what closing it now would be."""

    ticket: int
    symbol: str
    side: Side
    volume: Decimal
    price: Decimal | None
    sl: Decimal | None = None
    tp: Decimal | None = None
    mark: Decimal | None = None
    profit: Decimal | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a position ended: at which price, and what it made in all."""

    price: Decimal | None
    profit: Decimal | None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """An account's money as its venue tells it, and its positions; None: the venue has none, they are the OMS's."""

    figures: Mapping[str, Decimal | None]
    holdings: Mapping[int, Holding] | None = None
    currency: str = ""  # of the figures


class Inspection(Protocol):
    """Somebody watches the account. Each request raises OmsError, and is given up when its task is cancelled."""

    async def read(self) -> Statement: ...

    async def endings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        """How these holdings ended, as far as the venue knows."""

    async def close(self) -> None:
        """Nobody watches any more."""


class Listener(Protocol):
    """Who hears what the venue tells by itself. Synchronous: nothing of it may wait."""

    def on_order(self, order: VenueOrder) -> None: ...

    def on_trade(self, trade: VenueTrade) -> None: ...

    def on_stream(self, connected: bool) -> None:
        """The private stream began or ended: what happened in between was not told."""


OnTurn = Callable[[], None]  # called when a request is about to be sent; raises `Refused` when it must not be any more


def at_any_time() -> None:
    """However long it had to wait for its turn."""


class Venue(Protocol):
    """Where the orders of one account go. Each request raises `Refused` or `Ambiguous`, and is never sent twice."""

    can_replace: bool  # whether `replace` can be asked for: the venue cancels and creates in one, so the id changes

    async def start(self, listener: Listener) -> None:
        """Load markets, then open the private stream; returns when it may be traded on."""

    async def close(self) -> None: ...

    def instrument(self, symbol: str) -> Instrument:
        """Raises OmsError `unknown_symbol`."""

    def check(self, order: Order) -> None:
        """Raises OmsError for an order that cannot be placed as it is, as far as is known without asking: pure."""

    async def place(self, order: Order, venue_client_id: str, on_turn: OnTurn = at_any_time) -> VenueOrder:
        """Create what `order.remaining` says, once."""

    async def cancel(self, order: Order) -> VenueOrder | None:
        """None: it is canceled, or about to be, and the answer says no more."""

    async def replace(
        self, order: Order, price: Decimal | None, qty: Decimal, venue_client_id: str, on_turn: OnTurn = at_any_time
    ) -> VenueOrder:
        """To this price and quantity, while nothing of it is filled. After `Refused` it may be gone."""

    async def find(self, order: Order) -> VenueOrder | None:
        """By its id at the venue, without one by its client id. None only when the venue says there is none."""

    async def lookup(
        self, symbol: str, *, exchange_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        """The same for any order, by one of its ids."""

    async def open_orders(self, symbol: str | None) -> list[VenueOrder]: ...

    async def trades(self, symbol: str, since_ns: int) -> list[VenueTrade]: ...

    async def balances(self) -> Mapping[str, Decimal]: ...

    async def positions(self) -> list[VenuePosition]: ...

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        """A function of ccxt that orders nothing, for somebody else; `public`: as nobody. JSON. Raises OmsError."""

    def inspect(self) -> Inspection:
        """Begin to watch the account."""


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position as the venue has it; `qty` is signed."""

    symbol: str
    qty: Decimal
    entry_price: Decimal | None = None
