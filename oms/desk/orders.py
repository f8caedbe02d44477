"""Orders are sent and canceled here: decided, committed, asked for once, and what came of it written down.

Whoever may send or cancel by itself uses `submit` and `cancel` too. An outcome that nobody knows is waited for, never
guessed, and nothing is asked for twice. Must not know what a restart leaves (`recovery`), nor SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import TypeVar

import structlog
from msgspec.structs import replace

from oms import risk
from oms.commands import CancelAllOrders, CancelOrder, SendOrder
from oms.desk import fates, naming
from oms.desk.desk import Conditions, Desk
from oms.desk.dispatch import Handler, Run, open_position
from oms.desk.grouped import Grouped
from oms.desk.hearing import Hearing
from oms.desk.results import Outcome
from oms.desk.settling import DOUBTFUL, Settler
from oms.errors import OmsError
from oms.model import Instrument, Order, PositionMode, Quote
from oms.states import Ambiguous, CancelRequested, Refused
from oms.store import history
from oms.store.pool import UNAVAILABLE
from oms.store.rows import ns_of
from oms.venues import base

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def asked(request: Awaitable[T]) -> T:
    """The venue's answer. An error that is none of its answers says nothing of what it did."""
    try:
        return await request
    except (base.Refused, base.Ambiguous):
        raise
    except Exception as error:
        log.exception("request to the venue failed in an unforeseen way")
        raise base.Ambiguous(f"the request failed: {type(error).__name__}") from error


class Orders:
    """Of one account. Every request about an order is made under the order's lock."""

    def __init__(self, desk: Desk, hearing: Hearing, settler: Settler) -> None:
        self._desk = desk
        self._hearing = hearing
        self._settler = settler
        self._used: Grouped[str, int] = Grouped(
            lambda ids: history.used_client_ids(desk.pool, desk.account.id, ids), shared=UNAVAILABLE
        )

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "send_order": self.send_order,
            "cancel_order": self.cancel_order,
            "cancel_all_orders": self.cancel_all_orders,
        }

    async def settled(self, order_id: int) -> Order:
        """The order once nothing of it is in doubt: waits for an answer or for evidence, however long that takes."""
        order = self._desk.book.orders[order_id]
        while order.state in DOUBTFUL:
            order = await self._desk.changed(order_id)
        return order

    # Sending

    async def send_order(self, run: Run) -> Outcome:
        payload: SendOrder = run.payload
        desk = self._desk
        run.require_trade(payload.strategy_id)
        self._check_named(run, payload)
        instrument = desk.venue.instrument(payload.symbol)
        name = payload.client_order_id
        if name is not None and await self._used.get(name) is not None:
            raise _used(name)
        quote = await self.quote_for(order_of(payload, desk.account.id, 0, desk.now_ns()))
        order = order_of(payload, desk.account.id, 0, desk.now_ns())
        self.check(order, instrument, quote)
        if run.validate:
            return Outcome()
        return await self.submit(order, run)

    async def quote_for(self, order: Order) -> Quote | None:
        """A price to hold it against; waited for only when it is priced off the market."""
        if risk.needs_quote(order, self._desk.book.risk):
            return await self._desk.quote(order.symbol)
        return self._desk.market.quote(self._desk.account.exchange, order.symbol)

    def check(self, order: Order, instrument: Instrument, quote: Quote | None) -> None:
        """Raises OmsError unless it may be created and sent now."""
        if order.client_order_id and self._desk.book.by_client_id(order.client_order_id) is not None:
            raise _used(order.client_order_id)
        self._desk.check(order, instrument, quote)

    async def submit(self, order: Order, run: Run | None = None) -> Outcome:
        """Create an order that was checked, and send it, once. What became of it, when that is known.

        It is given its id, and without a client id its name, here. `run` is the command that it is sent for.
        """
        desk = self._desk
        under = desk.conditions()
        order_id = desk.ids.order()
        name = order.client_order_id or naming.derived(desk.account, order_id)
        command_id = run.begin() if run else None
        desk.book.create(replace(order, id=order_id, client_order_id=name), command_id=command_id)
        if run:
            run.begin(order_id)
        desk.count_sent()
        async with desk.lock(order_id):
            await desk.commit()
            refusal = await self._place(desk.book.orders[order_id], under, command_id)
        if run is None or desk.book.orders[order_id].state in DOUBTFUL:
            desk.commit()  # what is known is told now: there is no answer that it could go with
        return fates.of_send(await self.settled(order_id), refusal)

    async def _place(self, order: Order, under: Conditions, command_id: int | None) -> OmsError | None:
        """Why it is not there: what the venue answered, or that it was not sent after all."""
        desk = self._desk
        try:
            said = await asked(desk.venue.place(order, desk.name_of(order), partial(desk.on_turn, order, under)))
        except base.Refused as error:
            self._desk.record(order.id, Refused(code=error.code, message=error.message), command_id)
            return fates.refusal_of(error)
        except base.Ambiguous as error:
            self._desk.record(order.id, Ambiguous(message=error.message), command_id)
            self._desk.on_doubt(order.id)
        else:
            self._hearing.said(order.id, said, command_id)
        return None

    def _check_named(self, run: Run, payload: SendOrder) -> None:
        """What it is to belong and to go to. Where positions net over all strategies, they are of all of them."""
        self._desk.require_strategy(payload.strategy_id, "payload.strategy_id")
        if payload.position_id:
            position = open_position(self._desk, payload.position_id, run.require_trade)
            if position.symbol != payload.symbol:
                raise OmsError(
                    "validation_error",
                    f"position_id: position {position.id} is of {position.symbol}",
                    details={"field": "payload.position_id"},
                )
            shared = self._desk.account.position_mode is PositionMode.NETTING
            if position.strategy_id != payload.strategy_id and not shared:
                raise OmsError(
                    "validation_error",
                    f"position_id: position {position.id} is of strategy {position.strategy_id}",
                    details={"field": "payload.position_id"},
                )

    # Canceling

    async def cancel_order(self, run: Run) -> Outcome:
        payload: CancelOrder = run.payload
        if len(payload.ids) > 1:
            found = await asyncio.gather(*(self._may_be_canceled(run, each) for each in payload.ids))
            refused = {each: error for each, error in zip(payload.ids, found, strict=True) if error}
            if run.validate:
                return fates.together({each: Outcome(order_id=each, error=refused.get(each)) for each in payload.ids})
            run.begin()
            return await self._cancel_each(payload.ids, refused, run.command_id)
        (order_id,) = payload.ids
        if refusal := await self._may_be_canceled(run, order_id):
            raise refusal
        if run.validate:
            return Outcome()
        run.begin(order_id)
        return await self.cancel(order_id, run.command_id)

    async def _may_be_canceled(self, run: Run, order_id: int) -> OmsError | None:
        """Why not."""
        try:
            order = await run.order(order_id, run.require_close)
        except OmsError as error:
            if error.code != "order_not_found":
                raise
            return error
        return None if order.is_open else fates.is_over(order)

    async def cancel_all_orders(self, run: Run) -> Outcome:
        payload: CancelAllOrders = run.payload
        for strategy_id in payload.strategy_ids:
            run.require_close(strategy_id)
        if not payload.strategy_ids:
            run.require_close(None)
        if run.validate:
            return Outcome()
        run.begin()
        return await self.cancel_all(payload.strategy_ids, payload.symbol, run.command_id)

    async def cancel_all(
        self, strategy_ids: Iterable[int] = (), symbol: str | None = None, command_id: int | None = None
    ) -> Outcome:
        """Every open order of these strategies (none: of all) and this symbol (None: of all)."""
        wanted = frozenset(strategy_ids)
        ids = [
            order.id
            for order in self._desk.book.open_orders.values()
            if (not wanted or order.strategy_id in wanted) and symbol in {None, order.symbol}
        ]
        return await self._cancel_each(ids, {}, command_id)

    async def _cancel_each(self, ids: Iterable[int], refused: dict[int, OmsError], command_id: int | None) -> Outcome:
        """All at once, each for itself."""
        todo = [each for each in ids if each not in refused]
        outcomes = await asyncio.gather(*(self.cancel(each, command_id) for each in todo))
        ends = dict(zip(todo, outcomes, strict=True))
        return fates.together({each: ends.get(each) or Outcome(order_id=each, error=refused[each]) for each in ids})

    async def cancel(self, order_id: int, command_id: int | None = None) -> Outcome:
        """Cancel an order, when it is known what there is to cancel; done once it is known what came of that."""
        desk = self._desk
        refusal: OmsError | None = None
        while True:
            await self.settled(order_id)
            async with desk.lock(order_id):
                order = desk.book.orders[order_id]
                if order.state in DOUBTFUL:
                    continue
                if not order.is_open:
                    return Outcome(order_id=order_id, error=fates.is_over(order))
                desk.record(order_id, CancelRequested(), command_id)
                await desk.commit()
                refusal = await self._ask_to_cancel(order_id, command_id)
            return fates.of_cancel(await self.settled(order_id), refusal)

    async def _ask_to_cancel(self, order_id: int, command_id: int | None) -> OmsError | None:
        """What the venue answered, when it refused. What is in doubt after it will be asked about."""
        desk = self._desk
        refusal = None
        try:
            said = await asked(desk.venue.cancel(desk.book.orders[order_id]))
            if said is not None and said.status != "open":
                self._hearing.said(order_id, said, command_id)
        except base.Refused as error:
            refusal = fates.refusal_of(error)
            await self._settler.look(order_id)  # an order that is over, or not there, is no longer what we think
        except base.Ambiguous as error:
            log.warning("no answer to a cancel", order_id=order_id, error=error.message)
        if desk.book.orders[order_id].state in DOUBTFUL:
            desk.on_doubt(order_id)
        desk.commit()
        return refusal


def order_of(payload: SendOrder, account_id: int, order_id: int, now_ns: int) -> Order:
    """A new order as it is asked for."""
    expires = payload.expires_at
    return Order(
        id=order_id,
        account_id=account_id,
        symbol=payload.symbol,
        side=payload.side,
        order_type=payload.order_type,
        qty=payload.qty,
        client_order_id=payload.client_order_id or "",
        price=payload.price,
        trigger_price=payload.trigger_price,
        time_in_force=payload.time_in_force,
        expires_ns=None if expires is None else ns_of(expires),
        post_only=payload.post_only,
        reduce_only=payload.reduce_only,
        stop_loss=payload.stop_loss,
        stop_gain=payload.stop_gain,
        strategy_id=payload.strategy_id,
        position_id=payload.position_id,
        reason=payload.reason,
        comment=payload.comment,
        params=payload.params,
        created_ns=now_ns,
        updated_ns=now_ns,
    )


def _used(client_order_id: str) -> OmsError:
    return OmsError("duplicate_client_order_id", f"client_order_id {client_order_id!r} was used on this account before")
