"""The orders of one account that are in memory, found by any of their ids, and what was executed of each.

Holds open orders for good and closed ones up to a bound. Must not know what a state means beyond open and closed, nor
that changes are written down: `book` is the only one to put anything in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from types import MappingProxyType

import msgspec

from oms.model import ZERO, Deal, Order
from oms.positions import AMOUNT_STEP, CONTEXT
from oms.venues.base import VenueTrade

SYNTHETIC = "syn:"  # starts the id of a trade to which the venue gave none


class Executed(msgspec.Struct):
    """What the deals of an order come to."""

    filled: Decimal = ZERO
    notional: Decimal = ZERO
    trade_ids: set[str] = set()
    # How many trades with a synthetic id there are of the same (qty, price, time)
    without_id: Counter[tuple[Decimal, Decimal, int]] = msgspec.field(default_factory=Counter)
    exchange_ids: set[str] = set()  # it has had at the venue

    @property
    def average_price(self) -> Decimal:
        with localcontext(CONTEXT):
            return (self.notional / self.filled).quantize(AMOUNT_STEP)

    def add(self, trade_id: str, qty: Decimal, price: Decimal, time_ns: int) -> None:
        with localcontext(CONTEXT):
            self.filled += qty
            self.notional += qty * price
        self.trade_ids.add(trade_id)
        if trade_id.startswith(SYNTHETIC):
            self.without_id[qty, price, time_ns] += 1


class OrderIndex:
    """Open orders, and the `remembered_max` closed ones that were put in last."""

    def __init__(self, remembered_max: int) -> None:
        self._remembered_max = remembered_max
        self._orders: dict[int, Order] = {}
        self._open: dict[int, Order] = {}
        self._closed: dict[int, None] = {}  # in the order they closed
        self._executed: dict[int, Executed] = {}
        self._by_client_id: dict[str, int] = {}
        self._by_exchange_id: dict[tuple[str, str], int] = {}
        self._by_trade: dict[tuple[str, str], int] = {}
        self.all: Mapping[int, Order] = MappingProxyType(self._orders)
        self.open: Mapping[int, Order] = MappingProxyType(self._open)

    def by_client_id(self, client_order_id: str) -> Order | None:
        return self._orders.get(self._by_client_id.get(client_order_id, 0))

    def by_exchange_id(self, symbol: str, exchange_order_id: str) -> Order | None:
        return self._orders.get(self._by_exchange_id.get((symbol, exchange_order_id), 0))

    def put(self, order: Order) -> None:
        """Take in an order, or its next version."""
        self._orders[order.id] = order
        self._by_client_id[order.client_order_id] = order.id
        self._executed.setdefault(order.id, Executed())
        if order.exchange_order_id is not None:
            self.link(order, order.exchange_order_id)
        if order.is_open:
            self._closed.pop(order.id, None)
            self._open[order.id] = order
            return
        self._open.pop(order.id, None)
        self._closed.setdefault(order.id)
        if len(self._closed) > self._remembered_max:
            self._forget(next(iter(self._closed)))

    def link(self, order: Order, exchange_order_id: str) -> None:
        """One more id it has at the venue: a replace by cancel and create gives it another. What the venue gives again
        is the newest order's."""
        self._executed[order.id].exchange_ids.add(exchange_order_id)
        key = order.symbol, exchange_order_id
        self._by_exchange_id[key] = max(order.id, self._by_exchange_id.get(key, 0))

    def load(self, order: Order, deals: Iterable[Deal]) -> None:
        """Take in an order with the deals that were booked of it; raises `ValueError` when they are not all there."""
        executed = Executed()
        whole: dict[str, Deal] = {}  # of a fill that was split in two
        for deal in deals:
            part = whole.get(deal.exchange_trade_id)
            qty = deal.qty + part.qty if part else deal.qty
            whole[deal.exchange_trade_id] = msgspec.structs.replace(deal, qty=qty)
        for deal in whole.values():
            executed.add(deal.exchange_trade_id, deal.qty, deal.price, deal.executed_ns)
            self._by_trade.setdefault((deal.symbol, deal.exchange_trade_id), order.id)
        if executed.filled != order.filled:
            raise ValueError(f"order {order.id} is filled by {order.filled}, its deals come to {executed.filled}")
        self._executed[order.id] = executed
        self.put(order)

    def _forget(self, order_id: int) -> None:
        order = self._orders.pop(order_id)
        executed = self._executed.pop(order_id)
        del self._closed[order_id]
        del self._by_client_id[order.client_order_id]
        for exchange_order_id in executed.exchange_ids:
            if self._by_exchange_id.get((order.symbol, exchange_order_id)) == order_id:  # else it was given again
                del self._by_exchange_id[order.symbol, exchange_order_id]
        for trade_id in executed.trade_ids:
            if self._by_trade.get((order.symbol, trade_id)) == order_id:
                del self._by_trade[order.symbol, trade_id]

    def new_trade_id(self, order: Order, trade: VenueTrade) -> str | None:
        """Under which id to book a trade of this order; None when it is booked already."""
        executed = self._executed[order.id]
        if trade.exchange_trade_id is None:
            if executed.without_id[trade.qty, trade.price, trade.time_ns] > trade.nth:
                return None
            if trade.nth and executed.filled + trade.qty > order.qty:
                return None  # there is no room for one more: it was told twice
            total = format((executed.filled + trade.qty).normalize(CONTEXT), "f")
            price = format(trade.price.normalize(CONTEXT), "f")
            return SYNTHETIC + hashlib.sha256(f"{order.id}:{total}:{price}".encode()).hexdigest()[:32]
        # An account that trades with itself has two orders in one trade: the second is told apart.
        own = f"{trade.exchange_trade_id}#{order.id}"
        if not executed.trade_ids.isdisjoint((trade.exchange_trade_id, own)):
            return None
        other = self._by_trade.get((order.symbol, trade.exchange_trade_id), order.id)
        return trade.exchange_trade_id if other == order.id else own

    def count_in(self, order: Order, trade: VenueTrade, trade_id: str) -> Executed:
        """What the order's deals come to with this trade, under an id of `new_trade_id`."""
        executed = self._executed[order.id]
        executed.add(trade_id, trade.qty, trade.price, trade.time_ns)
        self._by_trade.setdefault((order.symbol, trade_id), order.id)
        return executed
