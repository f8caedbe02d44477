"""What the venue says of orders and trades, by its stream or as an answer, written into the book.

Synchronous: what must be asked about is handed to `foreign` or left in doubt. Must not know a command.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import structlog

from oms.desk.desk import Desk
from oms.errors import OmsError
from oms.model import ZERO, Order, OrderState
from oms.states import Accepted, VenueStatus
from oms.venues.base import VenueOrder, VenueTrade

log = structlog.get_logger(__name__)


class Hearing:
    """The venue's listener. An end that claims more fills than are booked waits for them: deals come first."""

    def __init__(self, desk: Desk) -> None:
        self.on_foreign: Callable[[VenueOrder | VenueTrade], None] = lambda said: None  # of an order not in memory
        self.on_said: Callable[[int, VenueOrder], None] = lambda order_id, said: None  # of each order that is ours
        self.on_seen: Callable[[Order, VenueOrder], None] = lambda order, said: None  # the same, for who misses it
        self._desk = desk
        self._ends: dict[int, VenueOrder] = {}

    def on_order(self, said: VenueOrder) -> None:
        order = self._desk.order_named(said.symbol, said.exchange_order_id, said.client_order_id)
        if order is None:
            self.on_foreign(said)
            return
        self.said(order.id, said)
        self._desk.commit()

    def on_trade(self, trade: VenueTrade) -> None:
        order = self._desk.order_named(trade.symbol, trade.exchange_order_id, trade.client_order_id)
        if order is None:
            self.on_foreign(trade)
            return
        self.trade(order, trade)
        self._desk.commit()

    def on_stream(self, connected: bool) -> None:
        """Nothing: what follows from it, `keeper` knows, which stands before."""

    def trade(self, order: Order, trade: VenueTrade) -> None:
        """Book it, once; and what was said of the order's end, when it was waiting for this."""
        book = self._desk.book
        try:
            booked = book.deal(order.id, trade, self._desk.venue.instrument(trade.symbol), self._desk.now_ns())
        except (ValueError, OmsError) as error:
            log.error("trade cannot be booked", order_id=order.id, trade_id=trade.exchange_trade_id, error=str(error))
            self._desk.on_doubt(order.id)
            return
        if booked and not order.is_open and book.orders[order.id].is_open:
            self._desk.on_doubt(order.id)  # it was over: whether it is now, only the venue knows
        after = book.orders[order.id]
        if booked and after.is_open and order.replaces and trade.exchange_order_id != after.exchange_order_id:
            self._desk.on_doubt(order.id)  # of what it was before it was replaced: what it is now is left as it was
        if end := self._ends.get(order.id):
            self.said(order.id, end)

    def said(
        self, order_id: int, said: VenueOrder, command_id: int | None = None, *, claimed: Decimal | None = None
    ) -> None:
        """What the venue says the order is; `claimed` where it is known better how much of the whole that is."""
        self.on_said(order_id, said)
        order = self._desk.book.orders[order_id]
        self.on_seen(order, said)
        claimed = claim(order, said) if claimed is None else claimed
        if said.status == "open" or claimed <= order.filled:
            self._ends.pop(order_id, None)
            status = VenueStatus(
                status=said.status,
                filled=claimed,
                time_ns=said.time_ns,
                exchange_order_id=said.exchange_order_id,
            )
            self._desk.record(order_id, status, command_id)
            if order.state is OrderState.PENDING_REPLACE and said.exchange_order_id != order.exchange_order_id:
                self._desk.on_doubt(order_id)  # of what it is about to be: too early to be written down
            return
        if order.exchange_order_id in {None, said.exchange_order_id}:
            there = Accepted(exchange_order_id=said.exchange_order_id, time_ns=said.time_ns)
            self._desk.record(order_id, there, command_id)
            self._ends[order_id] = said
            self._desk.on_doubt(order_id)

    def awaits_deals(self, order_id: int) -> bool:
        """Whether its end is known and its deals are not."""
        return order_id in self._ends


def claim(order: Order, said: VenueOrder) -> Decimal:
    """What the venue says is filled of the whole order: created anew, it was created with what was left."""
    before = max(ZERO, order.qty - said.qty) if order.replaces else ZERO
    return said.filled + before
