"""Reduce-only orders that rest: none is larger than what is left of its position.

On a spot market nobody but us knows what an order would reduce: one that is executed after its position was closed in
another way would open one. Must not know how an order is canceled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, Final

import structlog

from oms import risk
from oms.desk.desk import Desk
from oms.errors import OmsError
from oms.model import ZERO, Order, Position

log = structlog.get_logger(__name__)

RETRY_S: Final = 5.0  # before an order whose cancel failed is looked at again


class Shrinking:
    """Of one account. `changed` and `ordered` are what it hears; both only decide, and canceling is a task."""

    def __init__(self, desk: Desk, cancel: Callable[[int], Awaitable[Any]]) -> None:
        """`cancel` returns once it is known what came of it."""
        self._desk = desk
        self._cancel = cancel
        self._started = False
        self._canceling: set[int] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Look at what rests, as after a restart; what `changed` is told before that is seen here."""
        self._started = True
        self._look({order.symbol for order in self._desk.book.open_orders.values()})

    def stop(self) -> None:
        self._started = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def changed(self, positions: Iterable[Position]) -> None:
        """These are as they are now, or closed."""
        self._look({position.symbol for position in positions})

    def ordered(self, orders: Iterable[Order]) -> None:
        """These are as they are now: one may be larger than it was, open again, or of another position."""
        self._look({order.symbol for order in orders if order.reduce_only and order.is_open})

    def _look(self, symbols: Collection[str]) -> None:
        if not self._started or not symbols:
            return
        for order in too_large(self._desk, symbols):
            if order.id not in self._canceling:
                self._canceling.add(order.id)
                log.info("reduce-only order is larger than what is left to reduce", order_id=order.id)
                self._desk.spawn(self._try(order), f"cancel reduce-only order={order.id}")

    async def _try(self, order: Order) -> None:
        try:
            await self._cancel(order.id)
        except OmsError as error:
            log.warning("reduce-only order cannot be canceled", order_id=order.id, code=error.code, error=error.message)
        finally:
            self._canceling.discard(order.id)
        if order.id in self._desk.book.open_orders and self._started and order.symbol not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[order.symbol] = loop.call_later(RETRY_S, self._again, order.symbol)

    def _again(self, symbol: str) -> None:
        del self._timers[symbol]
        self._look({symbol})


def too_large(desk: Desk, symbols: Collection[str]) -> list[Order]:
    """The open reduce-only orders of these symbols that there is nothing left to reduce for. What closes a position has
    it first, for the others were to make room, then the oldest; each with the most that a change under way may make of
    it."""
    left: dict[int, Decimal] = {}
    found = []
    reducing = [each for each in desk.book.open_orders.values() if each.reduce_only and each.symbol in symbols]
    for order in sorted(reducing, key=lambda each: (each.reason not in risk.CLOSING, each.id)):
        position = desk.book.target_of(order)
        if position is None or position.qty * order.side.sign > 0:
            found.append(order)
            continue
        room = left.setdefault(position.id, abs(position.qty)) - desk.at_most(order).remaining
        if room < ZERO:
            found.append(order)
        else:
            left[position.id] = room
    return found
