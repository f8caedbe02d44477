"""Stops of positions: which ones there are, what is watched for them, and when the market has reached one.

Decides on fresh quotes only, never on a stale one nor on what is played back. What is reached is tried until it is
closed or reached no more, one try at a time. Must not know how a position is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

import structlog

from oms import risk
from oms.desk.desk import Desk
from oms.desk.results import describe
from oms.errors import OmsError
from oms.model import OrderType, Position, PositionState, Quote

log = structlog.get_logger(__name__)

DELAYS_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # before a position is tried again; the last one again and again

Holds = Callable[[Position], bool]  # whether it is still to be closed, as it is when that is asked
Delayed = Callable[[OmsError], Awaitable[None]]  # is told why nothing is sent yet
Close = Callable[[int, str, Holds, Delayed], Awaitable[None]]  # it, for this reason; raises OmsError when refused


def reached(position: Position, quote: Quote) -> str | None:
    """Which stop of the position the market has come to: what it could be closed at now is what counts."""
    price = quote.bid if position.qty > 0 else quote.ask
    if price is None:
        return None
    better = 1 if position.qty > 0 else -1
    if position.stop_loss is not None and (price - position.stop_loss) * better <= 0:
        return "stop_loss"
    if position.stop_gain is not None and (price - position.stop_gain) * better >= 0:
        return "stop_gain"
    return None


class Stops:
    """Of one account. `changed` and `on_quote` are what it hears; both only decide, and closing is a task."""

    def __init__(self, desk: Desk, close: Close) -> None:
        self._desk = desk
        self._close = close
        self._started = False
        self._held: dict[str, dict[int, Position]] = {}  # symbol -> positions with a stop
        self._trying: set[int] = set()
        self._failed: dict[int, int] = {}  # how often in a row
        self._told: dict[int, str] = {}  # the code of the refusal that was told last
        self._paused: dict[int, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Arm what is open, as after a restart; what `changed` is told before that is told here."""
        self._started = True
        self.changed(self._desk.book.positions.values())

    def stop(self) -> None:
        """Watch nothing any more, whatever is still written."""
        self._started = False
        for timer in self._paused.values():
            timer.cancel()
        self._paused.clear()
        for symbol in self._held:
            self._desk.market.unwatch(self._desk.account.exchange, symbol)
        self._held.clear()

    def changed(self, positions: Iterable[Position]) -> None:
        """These are as they are now. A stop that the market is beyond already is reached at once."""
        if not self._started:
            return
        touched: set[str] = set()
        for position in positions:
            stops = position.stop_loss is not None or position.stop_gain is not None
            if position.state is PositionState.OPEN and stops:
                self._arm(position)
                touched.add(position.symbol)
            else:
                self._disarm(position)
        for symbol in touched:
            self._look(symbol)

    def on_quote(self, exchange: str, symbol: str, quote: Quote) -> None:
        """The market has moved."""
        if exchange != self._desk.account.exchange or symbol not in self._held:
            return
        believed = risk.fresh(quote, self._desk.book.risk, self._desk.clock_ns())
        if believed is None:
            return
        for position in list(self._held[symbol].values()):
            reason = reached(position, believed)
            if reason is not None and self._may_try(position.id):
                self._trying.add(position.id)
                self._desk.spawn(self._try(position, reason), f"{reason} position={position.id}")

    def _arm(self, position: Position) -> None:
        if position.symbol not in self._held:
            self._held[position.symbol] = {}
            self._desk.market.watch(self._desk.account.exchange, position.symbol)
        self._held[position.symbol][position.id] = position

    def _disarm(self, position: Position) -> None:
        held = self._held.get(position.symbol)
        if held is None or held.pop(position.id, None) is None:
            return
        self._forget(position.id)
        if not held:
            del self._held[position.symbol]
            self._desk.market.unwatch(self._desk.account.exchange, position.symbol)

    def _forget(self, position_id: int) -> None:
        """It closed, or goes on as if it was never refused."""
        self._failed.pop(position_id, None)
        self._told.pop(position_id, None)
        if timer := self._paused.pop(position_id, None):
            timer.cancel()

    def _look(self, symbol: str) -> None:
        quote = self._desk.market.quote(self._desk.account.exchange, symbol)
        if quote is not None:
            self.on_quote(self._desk.account.exchange, symbol, quote)

    def _may_try(self, position_id: int) -> bool:
        """Not while it is being closed already. A limit that rests is no closing: the market went the other way."""
        closing = self._desk.closing_order(position_id)
        under_way = closing is not None and closing.order_type is OrderType.MARKET
        return not under_way and position_id not in self._trying and position_id not in self._paused

    async def _try(self, position: Position, reason: str) -> None:
        try:
            refused = partial(self._refused, position, reason)
            await self._close(position.id, reason, partial(self._holds, reason), refused)
        except OmsError as error:
            await self._refused(position, reason, error)
        finally:
            self._trying.discard(position.id)
            self._after(position)

    def _holds(self, reason: str, position: Position) -> bool:
        """Whether the stop is still there and the market beyond it, as far as it is known where that is now."""
        quote = self._desk.market.quote(self._desk.account.exchange, position.symbol)
        believed = risk.fresh(quote, self._desk.book.risk, self._desk.clock_ns())
        if believed is None:
            return getattr(position, reason) is not None
        return reached(position, believed) is not None

    async def _refused(self, position: Position, reason: str, error: OmsError) -> None:
        """Say so, once for each cause: the position is not protected as it was meant to be."""
        if self._told.get(position.id) == error.code:
            return
        log.warning("stop refused", position_id=position.id, reason=reason, code=error.code, error=error.message)
        self._told[position.id] = error.code
        data = {
            "position_id": position.id,
            "account_id": position.account_id,
            "symbol": position.symbol,
            "strategy_id": position.strategy_id,
            "reason": reason,
            "error": describe(error),
        }
        self._desk.book.announce("positions", "stop_refused", data, self._desk.now_ns())
        await self._desk.commit()

    def _after(self, position: Position) -> None:
        """Nothing is to be done when it is closed or about to be; else it is tried again, later each time."""
        if position.id not in self._held.get(position.symbol, ()):
            return
        closing = self._desk.closing_order(position.id)
        if closing is not None and closing.order_type is OrderType.MARKET:
            return
        failed = self._failed.get(position.id, 0)
        self._failed[position.id] = failed + 1
        delay_s = DELAYS_S[min(failed, len(DELAYS_S) - 1)]
        loop = asyncio.get_running_loop()
        self._paused[position.id] = loop.call_later(delay_s, self._again, position)

    def _again(self, position: Position) -> None:
        del self._paused[position.id]
        self._look(position.symbol)
