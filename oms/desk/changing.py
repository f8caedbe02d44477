"""Orders are changed here: in one request where the venue can and nothing of it is filled, else canceled, seen to be,
and created anew.

Whatever way, an order stays one order under one id of ours, and its whole quantity counts what was filled before. Must
not know what a restart leaves (`settling` finds that out).
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from typing import Final

import structlog
from msgspec.structs import replace

from oms import render, risk
from oms.commands import ChangeOrder
from oms.desk import fates
from oms.desk.desk import Conditions, Desk
from oms.desk.dispatch import Handler, Run
from oms.desk.hearing import Hearing, claim
from oms.desk.orders import Orders, asked
from oms.desk.results import Outcome
from oms.desk.settling import DOUBTFUL, Settler
from oms.errors import OmsError
from oms.model import Order, OrderType, Quote, Side
from oms.states import Refused, ReplaceFailed
from oms.venues import base
from oms.venues.base import VenueOrder

log = structlog.get_logger(__name__)

LOOKS_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0)  # before each look whether it is canceled


class Changing:
    """Of one account."""

    def __init__(self, desk: Desk, hearing: Hearing, settler: Settler, orders: Orders) -> None:
        self._desk = desk
        self._hearing = hearing
        self._settler = settler
        self._orders = orders

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"change_order": self.change_order}

    async def change_order(self, run: Run) -> Outcome:
        """When it is known what there is to change; answered when it is known what came of that."""
        payload: ChangeOrder = run.payload
        desk, order_id = self._desk, payload.order_id
        order = await run.order(order_id, run.require_trade)
        while True:
            if order_id not in desk.book.orders:
                raise fates.is_over(order)
            await self._orders.settled(order_id)
            quote = await (desk.quote(order.symbol) if order.waits else self._orders.quote_for(order))
            async with desk.lock(order_id):
                order = desk.book.orders[order_id]
                if order.state in DOUBTFUL:
                    continue
                wanted = amended(order, payload)
                if wanted.waits:
                    _not_reached(wanted, risk.fresh(quote, desk.book.risk, desk.clock_ns()))
                desk.check(wanted, desk.venue.instrument(order.symbol), quote)
                under = desk.conditions()
                if run.validate:
                    return Outcome()
                if fates.has_terms(order, payload):
                    return Outcome(order_id=order_id)
                command_id = run.begin(order_id)
                desk.record_change(wanted, command_id)
                desk.count_sent()
                await desk.commit()
                refusal = self._overtaken(wanted, under, command_id) or await self._replace(wanted, under, command_id)
                if desk.book.orders[order_id].state in DOUBTFUL:
                    desk.on_doubt(order_id)
                    desk.commit()
            after = await self._orders.settled(order_id)
            changed = (after.price, after.qty) != (order.price, order.qty)
            return fates.of_change(after, changed=changed, refusal=refusal)

    def _overtaken(self, wanted: Order, under: Conditions, command_id: int) -> OmsError | None:
        """Why nothing is asked for after all."""
        try:
            self._desk.check_again(wanted, under)
        except OmsError as error:
            self._desk.record(wanted.id, ReplaceFailed(), command_id)
            return error
        return None

    async def _replace(self, wanted: Order, under: Conditions, command_id: int) -> OmsError | None:
        """What the venue answered, when it refused."""
        order = self._desk.book.orders[wanted.id]
        if not self._desk.venue.can_replace or order.filled:
            # Partly filled, it may be filled further meanwhile, and one request would order that again: what is left is
            # known once it is canceled. Of one that was not filled at all the venue itself sees to that.
            return await self._anew(order, wanted, under, command_id)
        try:
            on_turn = partial(self._desk.on_turn, wanted, under)
            name = self._desk.name_of(order)
            said = await asked(self._desk.venue.replace(order, wanted.price, wanted.qty, name, on_turn))
        except base.Ambiguous as error:
            log.warning("no answer to a replace", order_id=order.id, error=error.message)
            return None
        except base.Refused as error:
            await self._end(order, None, command_id, error)
            return fates.refusal_of(error)
        await self._end(order, said, command_id)
        return None

    async def _end(
        self, order: Order, new: VenueOrder | None, command_id: int, refused: base.Refused | None = None
    ) -> None:
        """Write down what was answered, with all that was filled before: of that, only the venue knows."""
        try:
            former = await asked(self._desk.venue.find(order))
            ended = await self._settler.ended(order, former, new, command_id)
        except (base.Refused, base.Ambiguous) as error:
            log.warning("venue did not say what was filled before a replace", order_id=order.id, error=str(error))
            return
        if not ended and former is not None and refused is not None:
            # Of an order that is found, canceled: it is known, and was over before this was asked.
            code = "invalid_order_state" if refused.code == fates.NOT_FOUND else refused.code
            self._desk.record(order.id, Refused(code=code, message=refused.message), command_id)

    async def _anew(self, order: Order, wanted: Order, under: Conditions, command_id: int) -> OmsError | None:
        try:
            former = await self._canceled(order)
        except base.Refused as error:
            await self._end(order, None, command_id, error)
            return fates.refusal_of(error)
        if former is None:
            return None
        await self._account_for(order, former)
        # What an even earlier self filled late is in the book only.
        filled = max(claim(order, former), self._desk.book.orders[order.id].filled)
        if former.status != "canceled" or wanted.qty <= filled:
            self._over(order, former, command_id)
            return None
        return await self._create(_triggered(replace(wanted, filled=filled)), under, command_id)

    async def _create(self, wanted: Order, under: Conditions, command_id: int) -> OmsError | None:
        """What is left of it, once its former self is canceled. That a price has become old is no reason not to."""
        on_turn = partial(self._desk.on_turn, wanted, under._replace(at_ns=None))
        name = self._desk.name_of(self._desk.book.orders[wanted.id])
        try:
            said = await asked(self._desk.venue.place(wanted, name, on_turn))
        except base.Refused as error:
            self._desk.record(wanted.id, Refused(code=error.code, message=error.message), command_id)
            return fates.refusal_of(error)
        except base.Ambiguous as error:
            log.warning("no answer to creating an order anew", order_id=wanted.id, error=error.message)
            return None
        order = self._desk.book.orders[wanted.id]
        self._settler.replaced(order, said, said.qty + wanted.filled, command_id)
        return None

    async def _canceled(self, order: Order) -> VenueOrder | None:
        """The order as it is after it was canceled; None: whether it is, is not known. Raises `Refused`."""
        try:
            await asked(self._desk.venue.cancel(order))
            for delay_s in LOOKS_S:  # that it said so is not enough: it would be there twice
                await asyncio.sleep(delay_s)
                said = await asked(self._desk.venue.find(order))
                if said is not None and said.status != "open":
                    return said
        except base.Ambiguous as error:
            log.warning("no answer to the cancel of a replace", order_id=order.id, error=error.message)
        return None

    async def _account_for(self, order: Order, former: VenueOrder) -> None:
        """What was filled before and cannot be read now will be told later: the new self is created by what is left."""
        try:
            await self._settler.account_for(order, former)
        except (base.Refused, base.Ambiguous) as error:
            log.warning("trades of a replaced order are not known yet", order_id=order.id, error=str(error))

    def _over(self, order: Order, former: VenueOrder, command_id: int) -> None:
        """It ended, or nothing is left of what was wanted: there is nothing to create."""
        if former.status == "canceled":
            nothing = Refused(
                code="invalid_order_state", message="as much as was wanted is filled: the rest is canceled"
            )
            self._desk.record(order.id, nothing, command_id)
        else:
            self._desk.record(order.id, ReplaceFailed(), command_id)
            self._hearing.said(order.id, former, command_id)


def amended(order: Order, payload: ChangeOrder) -> Order:
    """The order as it is wanted. Raises OmsError when it cannot be that."""
    if not order.is_open:
        raise fates.is_over(order)
    if order.order_type.is_triggered and order.trigger_price is None:
        raise OmsError("unsupported_action", "the venue did not say its trigger price: created anew it would lose it")
    if payload.new_price is not None and not order.order_type.is_limited:
        raise _wrong("new_price", f"a {order.order_type} order has no price")
    qty: Decimal = payload.new_qty if payload.new_qty is not None else order.qty
    if qty <= order.filled:
        raise _wrong("new_qty", f"{render.number(order.filled)} is filled already: to end the order, cancel it")
    price = payload.new_price if payload.new_price is not None else order.price
    return _triggered(replace(order, price=price, qty=qty))


def _triggered(order: Order) -> Order:
    """As it is to be created: what is filled in part has been triggered, and would not be kept as what waits for that,
    or would wait once more."""
    if order.order_type.is_triggered and order.order_type.is_limited and not order.waits:
        return replace(order, order_type=OrderType.LIMIT, trigger_price=None)
    return order


def _not_reached(order: Order, quote: Quote | None) -> None:
    """Raises while the market is at its trigger price or beyond: created anew it would be refused as one that is
    triggered at once, with its former self canceled. Without a price nobody knows."""
    if quote is None:
        return
    assert order.trigger_price is not None, "it waits for one"
    rises = (order.side is Side.BUY) is not order.order_type.takes_profit
    for price in (quote.last, quote.bid if rises else quote.ask):
        if price is not None and (price >= order.trigger_price if rises else price <= order.trigger_price):
            raise OmsError(
                "invalid_order_state",
                f"order {order.id} is triggered, or about to be: the market is at {render.number(price)}; cancel it and"
                " send what is wanted now",
                details={"state": order.state},
            )


def _wrong(field: str, message: str) -> OmsError:
    return OmsError("validation_error", f"{field}: {message}", details={"field": f"payload.{field}"})
