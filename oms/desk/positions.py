"""Commands on positions: closed at the venue, one order at a time, or netted, merged, changed and given away here.

What the OMS nets itself is decided and written in one step, so nothing can come in between. Must not know SQL, nor
when a stop is reached (`stops`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any, Final

import structlog

from oms import render, risk
from oms.auth import require_trade
from oms.commands import CloseBy, ClosePosition, MergePositions, PositionChange
from oms.desk.desk import Desk
from oms.desk.dispatch import Handler, Require, Run, allowed, open_position
from oms.desk.orders import Orders
from oms.desk.results import Outcome
from oms.desk.settling import DOUBTFUL
from oms.errors import OmsError
from oms.model import ZERO, Instrument, Order, OrderType, Position, Principal, Quote, Side
from oms.positions import CONTEXT
from oms.store import history

log = structlog.get_logger(__name__)

CANCEL_WAIT_S: Final = 2.0  # how long a closing waits for the orders it cancels before it
IN_PROGRESS: Final = "position_close_in_progress"


class _NoReasonError(Exception):
    """A position is not to be closed any more."""


class Positions:
    """Of one account."""

    def __init__(self, desk: Desk, orders: Orders) -> None:
        self._desk = desk
        self._orders = orders
        self._canceling: dict[int, asyncio.Task[Any]] = {}  # by order, before a closing

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "close_position": self.close_position,
            "close_by": self.close_by,
            "merge_positions": self.merge_positions,
            "position_change": self.position_change,
        }

    # Closed at the venue

    async def close_position(self, run: Run) -> Outcome:
        """After canceling the reduce-only orders that there would be no room for beside it."""
        payload: ClosePosition = run.payload
        self._position(payload.position_id, run.require_close)

        def order() -> Order:
            position = self._position(payload.position_id, run.require_close)
            self._not_closing(position)
            return self._closing(
                position, "close_position", order_type=payload.order_type, price=payload.price, qty=payload.qty
            )

        closer = await self._checked(payload.position_id, order)
        if run.validate:
            return Outcome()
        if in_the_way := self._without_room(closer):
            await self._cancel_first(in_the_way, run.begin())
            closer = await self._checked(payload.position_id, order)
        return await self._orders.submit(closer, run)

    async def stop_out(
        self,
        position_id: int,
        reason: str,
        holds: Callable[[Position], bool],
        delayed: Callable[[OmsError], Awaitable[None]],
    ) -> None:
        """Close all of it at the market, after canceling what rests to reduce it. Raises OmsError when refused.

        Orders in doubt are waited for `CANCEL_WAIT_S`; longer only, and `delayed` is told why, while there is nothing
        to close but what they may be closing already. Nothing is sent when the reason no longer `holds` by then.
        """
        desk = self._desk
        if desk.obstacle is not None:
            raise OmsError("exchange_unavailable", desk.obstacle)

        def order() -> Order:
            position = desk.book.position(position_id)
            if not holds(position):
                raise _NoReasonError
            return self._closing(position, reason)

        late = await self._cancel_first(self._reducing(position_id))
        while position_id in desk.book.positions:
            try:
                closer = await self._checked(position_id, order)
            except _NoReasonError:
                return
            except OmsError as error:
                if error.code != IN_PROGRESS or not late:
                    raise
                await delayed(error)
                await asyncio.wait(late)
                late = set()
                continue
            error_of_it = (await self._orders.submit(closer)).error
            if error_of_it is not None and error_of_it.code == "reduce_only_violation":
                continue  # less was left when its turn came
            if error_of_it is not None:
                raise error_of_it
            return

    def _closing(
        self,
        position: Position,
        reason: str,
        *,
        order_type: OrderType = OrderType.MARKET,
        price: Decimal | None = None,
        qty: Decimal | None = None,
    ) -> Order:
        """The order that closes it, or `qty` of it. Raises OmsError while another may be closing as much."""
        desk = self._desk
        instrument = desk.venue.instrument(position.symbol)
        quote = risk.fresh(desk.market.quote(desk.account.exchange, position.symbol), desk.book.risk, desk.clock_ns())
        executing = [
            desk.at_most(each)
            for each in self._reducing(position.id)
            if may_execute(each, quote) or may_execute(desk.as_wanted(each), quote)
        ]
        held = abs(position.qty)
        left = held - sum((each.remaining for each in executing), ZERO)
        if executing and (left <= 0 or (qty is not None and left < qty <= held)):
            ids = ", ".join(str(each.id) for each in executing)
            raise OmsError(
                IN_PROGRESS,
                f"order {ids} may be closing position {position.id} already: all but {render.number(max(ZERO, left))}",
                details={"order_id": executing[0].id},
            )
        wanted = qty if qty is not None else tradeable(left, instrument)
        return closing(position, wanted, reason, desk.now_ns(), order_type=order_type, price=price)

    def _without_room(self, closer: Order) -> list[Order]:
        """The reduce-only orders of its position that, beside it, are more than there is to reduce: the newest."""
        room = abs(self._desk.book.position(closer.position_id).qty) - closer.qty
        found = []
        for order in sorted(self._reducing(closer.position_id), key=lambda each: each.id):
            if order.reduce_only:
                remaining = self._desk.at_most(order).remaining
                if remaining > room:
                    found.append(order)
                else:
                    room -= remaining
        return found

    async def _cancel_first(self, orders: Iterable[Order], command_id: int | None = None) -> set[asyncio.Task[Any]]:
        """Cancel these. Those of which it is not known in time whether they are go on: they are canceled once it is
        known what there is to cancel, and what is to be closed is not kept waiting."""
        tasks = {order.id: self._canceled(order.id, command_id) for order in orders}
        if not tasks:
            return set()
        _, late = await asyncio.wait(tasks.values(), timeout=CANCEL_WAIT_S)
        open_ones = [order_id for order_id in tasks if order_id in self._desk.book.open_orders]
        if open_ones:
            log.warning("a position is closed beside orders that could not be canceled yet", order_ids=open_ones)
        return late

    def _canceled(self, order_id: int, command_id: int | None) -> asyncio.Task[Any]:
        task = self._canceling.get(order_id)
        if task is None:
            work = self._orders.cancel(order_id, command_id)
            task = self._canceling[order_id] = self._desk.spawn(work, f"cancel before closing order={order_id}")
            task.add_done_callback(lambda _: self._canceling.pop(order_id))
        return task

    async def _checked(self, position_id: int, order: Callable[[], Order]) -> Order:
        """The order, built again once there is a price: what it closes may have changed while that was waited for. What
        an order in doubt may be closing already, only a price tells."""
        if doubtful := [each for each in self._reducing(position_id) if each.state in DOUBTFUL]:
            await self._desk.quote(doubtful[0].symbol)
        quote = await self._orders.quote_for(order())
        ready = order()
        self._orders.check(ready, self._desk.venue.instrument(ready.symbol), quote)
        return ready

    def _reducing(self, position_id: int) -> list[Order]:
        """The open orders that would reduce this position."""
        book = self._desk.book
        position = book.positions.get(position_id)
        if position is None:
            return []
        side = _against(position)
        return [each for each in book.open_orders.values() if each.side is side and book.target_of(each) is position]

    def _not_closing(self, position: Position) -> None:
        """Raises while an order closes it: what that fills is not known yet."""
        order = self._desk.closing_order(position.id)
        if order is not None:
            raise OmsError(
                IN_PROGRESS,
                f"order {order.id} closes position {position.id} already",
                details={"order_id": order.id},
            )

    # Done here

    async def close_by(self, run: Run) -> Outcome:
        payload: CloseBy = run.payload
        for position_id in (payload.position_id_a, payload.position_id_b):
            self._not_closing(self._position(position_id, run.require_close))
        pair = payload.position_id_a, payload.position_id_b
        qty = self._desk.book.may_close_by(*pair, payload.qty)
        if run.validate:
            return Outcome()
        deals = self._desk.book.close_by(*pair, qty, self._desk.now_ns(), command_id=run.begin())
        realized = sum((deal.realized_pnl for deal in deals), Decimal(0))
        return Outcome(more={"deal_ids": [deal.id for deal in deals], "realized_pnl": render.number(realized)})

    async def merge_positions(self, run: Run) -> Outcome:
        payload: MergePositions = run.payload
        for position_id in (payload.source_position_id, payload.target_position_id):
            self._not_closing(self._position(position_id, run.require_trade))
        book, now_ns = self._desk.book, self._desk.now_ns()
        book.may_merge(payload.source_position_id, payload.target_position_id)
        if run.validate:
            return Outcome()
        command_id = run.begin()
        deals = book.merge(payload.source_position_id, payload.target_position_id, now_ns, command_id=command_id)
        if payload.stop_mode != "keep":  # `clear` comes without any
            book.edit_position(
                payload.target_position_id, now_ns,
                stop_loss=payload.stop_loss, stop_gain=payload.stop_gain, command_id=command_id,
            )  # fmt: skip
        return Outcome(more={"deal_ids": [deal.id for deal in deals]})

    async def position_change(self, run: Run) -> Outcome:
        payload: PositionChange = run.payload
        self._position(payload.position_id, run.require_close)
        if run.validate:
            return Outcome()
        self._desk.book.edit_position(
            payload.position_id, self._desk.now_ns(),
            stop_loss=payload.stop_loss, stop_gain=payload.stop_gain, comment=payload.comment, command_id=run.begin(),
        )  # fmt: skip
        return Outcome()

    async def reassign(
        self, principal: Principal, strategy_id: int, *, order_ids: Sequence[int], position_ids: Sequence[int]
    ) -> tuple[list[Order], list[Position]]:
        """Give orders and positions to a strategy: all of them, or OmsError. As they are then; what netted is gone."""
        book, account_id = self._desk.book, self._desk.account.id

        def require(of: int | None) -> None:
            require_trade(principal, account_id, of)

        require(strategy_id)
        self._desk.require_strategy(strategy_id, "strategy_id")
        for order_id in order_ids:
            await self._recall(order_id, require)
        for position_id in position_ids:
            position = self._position(position_id, require)
            for each in (position, book.holder_for(position, strategy_id)):
                if each is not None:
                    self._not_closing(each)
        now_ns = self._desk.now_ns()
        orders = [book.reassign_order(order_id, strategy_id, now_ns) for order_id in dict.fromkeys(order_ids)]
        after = [
            book.reassign_position(position_id, strategy_id, now_ns)
            for position_id in dict.fromkeys(position_ids)
            if position_id in book.positions  # not netted with one that was given before it
        ]
        kept = dict.fromkeys(each.id for each in after if each is not None)
        positions = [book.positions[each] for each in kept if each in book.positions]
        await self._desk.commit()
        return orders, positions

    async def _recall(self, order_id: int, require: Require) -> None:
        """Have it in memory, where it is changed: also one that is over, for a late fill of it is the strategy's."""
        book, pool = self._desk.book, self._desk.pool
        order = book.orders.get(order_id)
        if order is None:
            order = (await history.orders_by_ids(pool, [order_id])).get(order_id)
        mine = order is not None and order.account_id == self._desk.account.id
        if order is None or not mine or not allowed(require, order.strategy_id):
            raise OmsError("order_not_found", f"account {self._desk.account.id} has no order {order_id}")
        if order_id not in book.orders:
            book.adopt(order, (await history.deals_of_orders(pool, [order_id])).get(order_id, ()))

    def _position(self, position_id: int, require: Require) -> Position:
        return open_position(self._desk, position_id, require)


def _against(position: Position) -> Side:
    return Side.SELL if position.qty > 0 else Side.BUY


def may_execute(order: Order, quote: Quote | None) -> bool:
    """Whether the venue may be executing an open order now, so that what it reduces must not be counted on. One that is
    known to rest, or would rest if it arrived, is not: without a price nobody knows."""
    if order.price is None and not order.waits:
        return True
    if order.state not in DOUBTFUL:
        return False
    market = None if quote is None else quote.bid if order.side is Side.SELL else quote.ask
    if market is None:
        return True
    better = order.trigger_price if order.waits else order.price
    assert better is not None, "what does not wait for one has a limit"
    if order.waits and not order.order_type.takes_profit:
        return (market - better) * order.side.sign >= 0
    return (market - better) * order.side.sign <= 0


def closing(
    position: Position,
    qty: Decimal,
    reason: str,
    now_ns: int,
    *,
    order_type: OrderType = OrderType.MARKET,
    price: Decimal | None = None,
) -> Order:
    """The order that closes `qty` of a position; without an id and a name yet."""
    return Order(
        id=0,
        account_id=position.account_id,
        symbol=position.symbol,
        side=_against(position),
        order_type=order_type,
        qty=qty,
        client_order_id="",
        price=price,
        reduce_only=True,
        strategy_id=position.strategy_id,
        position_id=position.id,
        reason=reason,
        created_ns=now_ns,
        updated_ns=now_ns,
    )


def tradeable(held: Decimal, instrument: Instrument) -> Decimal:
    """As much of it as a venue takes: a fee in base leaves a part of a step, which can only be added to."""
    if not instrument.qty_step:
        return held
    with localcontext(CONTEXT):
        whole = (held / instrument.qty_step).to_integral_value(ROUND_DOWN) * instrument.qty_step
    if not whole:
        step = render.number(instrument.qty_step)
        raise OmsError(
            "validation_error",
            f"{render.number(held)} is held, less than the step of {step} that can be traded",
            details={"field": "qty"},
        )
    return whole
