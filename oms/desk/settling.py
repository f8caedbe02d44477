"""Orders in doubt: asked about at the venue until evidence says what became of them.

Holds when to ask and what an answer proves. Nothing is guessed, and nothing is sent again. Must not know a command.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Final

import structlog
from msgspec.structs import replace

from oms.book import EXTERNAL
from oms.desk import naming
from oms.desk.desk import SECOND_NS, Desk
from oms.desk.hearing import Hearing, claim
from oms.errors import OmsError
from oms.model import ZERO, Order, OrderState
from oms.states import NOT_SEEN, REPLACING_ANEW, Absent, CancelFailed, Replaced, ReplaceFailed, Revived
from oms.venues import base
from oms.venues.base import VenueOrder, VenueTrade

log = structlog.get_logger(__name__)

DELAYS_S: Final = (1.0, 6.5, 5.0, 10.0, 30.0)  # before each question; the last one again and again
# Two lookups that find nothing prove that nothing will come when this far apart: beyond the 5 s in which a venue still
# takes a request that was signed before the first of them (`recvWindow`), and what its clock may differ from ours.
APART_NS: Final = 6 * SECOND_NS
QUIET_NS: Final = 5 * SECOND_NS  # what changed this recently is left alone: the venue's views of it may differ
OVER: Final = frozenset({OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})  # by what the venue said of it
DOUBTFUL: Final = frozenset(
    {OrderState.PENDING_SUBMIT, OrderState.UNKNOWN, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE}
)
TRADES_BACK_NS: Final = 60 * SECOND_NS  # the venue's clock may differ from ours


class Settler:
    """Asks about each order in doubt, one question at a time, less and less often."""

    def __init__(self, desk: Desk, hearing: Hearing) -> None:
        self._desk = desk
        self._hearing = hearing
        self._asked: dict[int, int] = {}  # orders in doubt: how often they were asked about
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._stopped = False
        self._missed: dict[int, tuple[str, int]] = {}  # the name by which it was not found, and when first
        self._alive: dict[int, VenueOrder] = {}  # orders that were over, as the venue has told of them as open since
        self._unsized: set[int] = set()  # replaced orders of which it is not known yet how much is left
        hearing.on_seen = self.found

    def doubt(self, order_id: int) -> None:
        """Ask about this order soon."""
        if order_id not in self._asked and not self._stopped:
            self._asked[order_id] = 0
            self._later(order_id)

    def found(self, order: Order, said: VenueOrder) -> None:
        """The venue has it: that it was not found before proves nothing any more. Of one that is being replaced, its
        new self is missed, and of that its former self says nothing. One that was over and is told to be open is asked
        about, unless the venue tells its end once more: reports of an order that is over at once come late."""
        if order.state is not OrderState.PENDING_REPLACE or said.exchange_order_id != order.exchange_order_id:
            self._missed.pop(order.id, None)
        if revivable(order) and said.status == "open":
            self._alive[order.id] = said
            self.doubt(order.id)
        elif (alive := self._alive.get(order.id)) and alive.exchange_order_id == said.exchange_order_id:
            del self._alive[order.id]

    def stop(self) -> None:
        """Ask no more: what is still in doubt is asked about after the next load."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _later(self, order_id: int) -> None:
        delay_s = DELAYS_S[min(self._asked[order_id], len(DELAYS_S) - 1)]
        loop = asyncio.get_running_loop()
        self._timers[order_id] = loop.call_later(delay_s, self._start, order_id)

    def _start(self, order_id: int) -> None:
        del self._timers[order_id]
        self._desk.spawn(self._ask(order_id), f"settle order={order_id}")

    async def _ask(self, order_id: int) -> None:
        self._asked[order_id] += 1
        try:
            settled = await self.settle(order_id)
        except (base.Refused, base.Ambiguous, OmsError) as error:  # or it could not be written down
            log.warning("it is not known yet what became of an order", order_id=order_id, error=str(error))
            settled = False
        except Exception:  # an order that is not asked about again would stay in doubt until a restart
            log.exception("an order in doubt could not be settled", order_id=order_id)
            settled = False
        if settled:
            del self._asked[order_id]
        elif not self._stopped:
            self._later(order_id)

    async def settle(self, order_id: int) -> bool:
        """Ask the venue about an order and write down what that proves. Whether nothing is in doubt any more.

        Raises the venue's `Refused` or `Ambiguous` when it does not say.
        """
        async with self._desk.lock(order_id):
            order = self._desk.book.orders.get(order_id)
            alive = self._alive.get(order_id)
            if order is None or not (order.is_open or alive or self._hearing.awaits_deals(order_id)):
                return True
            if alive is not None and revivable(order):
                await self._settle_over(order, alive)
            else:
                self._alive.pop(order_id, None)
                await self._look(order)
            looked_at = self._desk.book.orders[order_id].version
            await self._desk.commit()
            order = self._desk.book.orders[order_id]
            if order.version != looked_at:
                return False  # more was heard of it while that was written down
            if not order.is_open:
                self._missed.pop(order_id, None)
                self._unsized.discard(order_id)
            in_doubt = order.state in DOUBTFUL or any(
                order_id in some for some in (self._missed, self._alive, self._unsized)
            )
            return not in_doubt and not self._hearing.awaits_deals(order_id)

    async def look(self, order_id: int) -> None:
        """The same for who holds the order's lock; what the venue does not say stays in doubt."""
        try:
            await self._look(self._desk.book.orders[order_id])
        except (base.Refused, base.Ambiguous) as error:
            log.warning("venue did not say what became of an order", order_id=order_id, error=str(error))

    async def _look(self, order: Order) -> None:
        if order.state is OrderState.PENDING_REPLACE:
            await self._settle_replace(order)
        else:
            await self._settle_order(order)

    async def _settle_order(self, order: Order) -> None:
        looked_ns, filled = self._desk.clock_ns(), order.filled
        said = await self._find(order)
        if said is None or is_older(order, said):
            if self._missed_long(order, looked_ns):
                await self._missing(order)
            return
        self.found(order, said)
        if order.replaces:
            self._hearing.said(order.id, said, claimed=await self._size(order, said, filled))
        else:
            await self.account_for(order, said)
            self._hearing.said(order.id, said)
        order = self._desk.book.orders[order.id]
        if order.state is OrderState.PENDING_CANCEL and said.status == "open":
            self._desk.record(order.id, CancelFailed())

    async def _find(self, order: Order) -> VenueOrder | None:
        """By its id, or by its name only: the venue gave its id to a newer one."""
        return await self._desk.venue.find(self.named_anew(order) if self._is_given_again(order) else order)

    def _is_given_again(self, order: Order) -> bool:
        known = self._desk.book.by_exchange_id(order.symbol, order.exchange_order_id or "")
        return known is not None and known.id != order.id

    async def _size(self, order: Order, said: VenueOrder, filled: Decimal) -> Decimal | None:
        """What is filled of a replaced order, all in all, once that is known of what the venue says it is now. What is
        left of it is what the venue says: what its former self filled since it was replaced comes on top of its whole.
        Nothing is said when something was filled while it was asked."""
        trades = await self._trades_of(order, said)
        order = self._desk.book.orders[order.id]
        as_asked = order.filled == filled and order.exchange_order_id == said.exchange_order_id
        for trade in trades:
            self._hearing.trade(order, trade)
        order = self._desk.book.orders[order.id]
        if not as_asked or sum((trade.qty for trade in trades), ZERO) != said.filled:
            self._unsized.add(order.id)
            return None
        self._unsized.discard(order.id)
        whole = order.filled + said.qty - said.filled
        resting = said.status == "open" and order.state in {OrderState.SUBMITTED, OrderState.PARTIALLY_FILLED}
        if resting and whole != order.qty:
            self.replaced(order, said, whole)
        return order.filled

    async def _settle_over(self, order: Order, listed: VenueOrder) -> None:
        """It was over, and the venue has told of it as open since. A list or an event may be old: it is open when it is
        found so by itself, later than its end could still be on its way."""
        if self._desk.clock_ns() - order.updated_ns < QUIET_NS:
            return
        said = await self._desk.venue.find(replace(order, exchange_order_id=listed.exchange_order_id))
        if said is None or said.status != "open" or not self._is_itself(order, said):
            self._alive.pop(order.id, None)
            return
        trades = await self._trades_of(order, said)
        order = self._desk.book.orders[order.id]
        if order.id not in self._alive or not revivable(order):
            return  # the venue has told more of it meanwhile
        if order.state is OrderState.FILLED:  # by what it was before: what is open now comes on top of that
            for trade in trades:
                self._hearing.trade(order, trade)
            order = self._desk.book.orders[order.id]
        changed = is_other(order, said)  # a replace was carried out late, or it was never known by an id
        if changed and sum((trade.qty for trade in trades), ZERO) < said.filled:
            return  # how much of the whole it is, only they say
        del self._alive[order.id]
        log.error("an order that was over is open at the venue", order_id=order.id, state=order.state)
        revived = Revived(
            price=said.price if changed else order.price,
            qty=max(order.qty, order.filled + said.qty - said.filled) if not changed else order.filled + said.qty,
            exchange_order_id=said.exchange_order_id,
            time_ns=said.time_ns,
        )
        self._desk.record(order.id, revived)
        for trade in trades:
            self._hearing.trade(self._desk.book.orders[order.id], trade)
        if changed:
            order = self._desk.book.orders[order.id]
            self.replaced(order, said, order.filled + said.qty - said.filled)
        else:
            self._hearing.said(order.id, said)

    def _is_itself(self, order: Order, said: VenueOrder) -> bool:
        """Whether it is this order, and not another one to which the venue gave the same id again."""
        if (said.symbol, said.side) != (order.symbol, order.side):
            return False
        name = said.client_order_id
        named = name in {None, order.client_order_id} or order.client_order_id.startswith(f"{EXTERNAL}:")
        if named or (name and naming.order_id_of(self._desk.account, name) == order.id):
            return True
        was_there = 0 < said.created_ns <= (order.closed_ns or 0)  # a venue may know it by another name than we
        return was_there and not is_other(order, said)

    async def _trades_of(self, order: Order, said: VenueOrder) -> list[VenueTrade]:
        if not said.filled:
            return []
        trades = await self._desk.venue.trades(order.symbol, order.created_ns - TRADES_BACK_NS)
        return [trade for trade in trades if trade.exchange_order_id == said.exchange_order_id]

    async def account_for(self, order: Order, said: VenueOrder) -> None:
        """Book the trades that the venue counts in what it says and that are not booked."""
        if claim(order, said) <= order.filled:
            return
        for trade in await self._trades_of(order, said):
            self._hearing.trade(self._desk.book.orders[order.id], trade)

    def _missed_long(self, order: Order, looked_ns: int) -> bool:
        """Whether it was not found by this name long enough ago, too: what was sent before can no longer be done."""
        name = self._desk.name_of(order)
        if self._missed.get(order.id, ("", 0))[0] != name:
            self._missed[order.id] = name, looked_ns
        return looked_ns - self._missed[order.id][1] >= APART_NS

    async def _missing(self, order: Order) -> None:
        """Proved absent, unless it has trades: they are booked first."""
        trades = await self._desk.venue.trades(order.symbol, order.created_ns - TRADES_BACK_NS)
        name = self._desk.name_of(order)
        names = {order.client_order_id, name}
        ids = set() if self._is_given_again(order) else {order.exchange_order_id}
        mine = [trade for trade in trades if trade.exchange_order_id in ids or trade.client_order_id in names]
        for trade in mine:
            self._hearing.trade(self._desk.book.orders[order.id], trade)
        # Traded under the name it was sent with this time, and under another id than it had: what was sent is there.
        if not any(
            trade.client_order_id == name and trade.exchange_order_id != order.exchange_order_id for trade in mine
        ):
            self._desk.record(order.id, Absent())

    async def _settle_replace(self, order: Order) -> None:
        """Its new self is looked for first: when that is there, the old one is gone. While the venue may still take the
        request, an old one that is as it was proves nothing."""
        looked_ns = self._desk.clock_ns()
        new = await self._desk.venue.find(self.named_anew(order)) if REPLACING_ANEW in order.flags else None
        former = await self._find(order)
        told = former is not None and tells_of_replace(order, former)
        if not told and (new is None or not is_other(order, new)) and not self._missed_long(order, looked_ns):
            return
        if not await self.ended(order, former, new):
            await self._missing(self._desk.book.orders[order.id])

    async def ended(
        self, order: Order, former: VenueOrder | None, new: VenueOrder | None, command_id: int | None = None
    ) -> bool:
        """What a replace came to, by what the venue has of the order and of its new self. False: the one is gone, and
        of the other there is nothing."""
        if former is not None:
            await self.account_for(order, former)
        order = self._desk.book.orders[order.id]
        if new is not None and is_other(order, new):
            before = await self._filled_before(order, former, new)
            self.replaced(self._desk.book.orders[order.id], new, new.qty + before, command_id)
        elif former is None or former.status in {"canceled", "rejected"}:
            return False
        elif former.status != "open" or not tells_of_replace(order, former):
            self._desk.record(order.id, ReplaceFailed(), command_id)
            self._hearing.said(order.id, former)
        else:
            self.replaced(order, former, former.qty + claim(order, former) - former.filled, command_id)
        return True

    async def _filled_before(self, order: Order, former: VenueOrder | None, new: VenueOrder) -> Decimal:
        """What was filled of it before it was replaced: without its former self, all but what its new self filled."""
        if former is not None:
            return claim(order, former)
        trades = await self._trades_of(order, new)
        for trade in trades:
            self._hearing.trade(self._desk.book.orders[order.id], trade)
        return self._desk.book.orders[order.id].filled - sum((trade.qty for trade in trades), ZERO)

    def named_anew(self, order: Order) -> Order:
        """To look for it under the name it is created with this time."""
        return replace(order, exchange_order_id=None, client_order_id=self._desk.name_of(order))

    def replaced(self, order: Order, said: VenueOrder, qty: Decimal, command_id: int | None = None) -> None:
        """It rests with new terms, `qty` with all that was filled before."""
        happening = Replaced(price=said.price, qty=qty, exchange_order_id=said.exchange_order_id, time_ns=said.time_ns)
        self._desk.record(order.id, happening, command_id)
        self._hearing.said(order.id, said, command_id)


def revivable(order: Order) -> bool:
    """Whether it may be open at the venue although it is over here. What was never replaced and is filled is filled."""
    return order.state in OVER or (order.state is OrderState.FILLED and order.replaces > 0)


def leaves_else(order: Order, said: VenueOrder) -> bool:
    """Whether of a replaced order something else is left at the venue than here: its former self was filled since."""
    return order.replaces > 0 and said.status == "open" and order.qty - order.filled != said.qty - said.filled


def is_older(order: Order, said: VenueOrder) -> bool:
    """Whether what is found by the name of an order that may never have arrived is another one, or one of long ago:
    venues let a name be used again once its order is over."""
    if order.state not in NOT_SEEN:
        return False
    long_ago = 0 < said.created_ns < order.created_ns - TRADES_BACK_NS
    is_else = (said.symbol, said.side) != (order.symbol, order.side)
    return long_ago or is_else or (said.status != "open" and said.qty != order.qty)


def is_other(order: Order, new: VenueOrder) -> bool:
    """Whether this is not what the order was before it was replaced."""
    return new.exchange_order_id != order.exchange_order_id


def tells_of_replace(order: Order, former: VenueOrder) -> bool:
    """Whether the former self shows by itself what a replace came to: it has other terms, or ended before it."""
    if former.status == "open":
        is_part = order.replaces > 1  # created anew before, it has what was left then, and not the whole
        return former.price != order.price or (not is_part and former.qty != order.qty)
    return former.status in {"filled", "expired"}
