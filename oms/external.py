"""Orders and trades at the venue that no order in memory is called by: ours of long ago, or made without us.

Holds how it is found out whose they are, one after another: by the database, then by what the venue says of the order.
Must not know when the venue is read (`reconcile`), nor a position.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog

from oms.book import EXTERNAL, is_meant
from oms.desk import naming
from oms.desk.desk import SECOND_NS, Desk
from oms.desk.hearing import Hearing
from oms.errors import OmsError
from oms.model import Order, OrderState, OrderType
from oms.states import NOT_SEEN
from oms.store import history
from oms.store.pool import FAILURES
from oms.venues.base import Ambiguous, Refused, VenueOrder, VenueTrade

log = structlog.get_logger(__name__)

FIRST_NS: Final = 86_400 * SECOND_NS  # how far back trades are read of what is met for the first time


class External:
    """Of one account. What it takes in has the reason `external`, and goes to a position of its own."""

    def __init__(self, desk: Desk, hearing: Hearing) -> None:
        self.unread: set[str] = set()  # symbols of which something was heard and could not be looked into
        self.imported: list[int] = []  # orders that were taken in, until somebody empties it
        self._desk = desk
        self._hearing = hearing
        self._lock = asyncio.Lock()  # of looking whose something is: nothing may be taken in twice
        self._heard: deque[VenueOrder | VenueTrade] = deque()
        self._working = False
        hearing.on_foreign = self.heard

    def heard(self, said: VenueOrder | VenueTrade) -> None:
        """The stream told of something foreign: look into it."""
        self._heard.append(said)
        if not self._working:
            self._working = True
            self._desk.spawn(self._work(), "external")

    async def _work(self) -> None:
        try:
            while self._heard:
                await self._look_into(self._heard.popleft())
        finally:
            self._working = False

    async def _look_into(self, said: VenueOrder | VenueTrade) -> None:
        try:
            if isinstance(said, VenueOrder):
                known = await self.order(said) is not None
            else:
                known = await self.trade(said)
        except (Refused, Ambiguous, OmsError, *FAILURES) as error:
            log.warning("it could not be found out what an order is", symbol=said.symbol, error=str(error))
            known = False
        if not known:
            self.unread.add(said.symbol)  # the next reconciliation looks at it

    async def order(self, said: VenueOrder) -> Order | None:
        """Ours by any id, else taken in; None when it could be one of ours of which nobody knows yet."""
        async with self._lock:
            order = await self._ours(said.symbol, said.exchange_order_id, said.client_order_id)
            if order is None:
                if said.client_order_id is None and self._may_be_ours(said.symbol):
                    return None
                order = await self._import(said)
                for trade in await self._trades_of(said):
                    self._hearing.trade(self._desk.book.orders[order.id], trade)
        self._hearing.said(order.id, said)
        await self._desk.commit()
        return self._desk.book.orders[order.id]

    async def _trades_of(self, said: VenueOrder) -> list[VenueTrade]:
        """What was executed of it before we heard of it."""
        if not said.filled:
            return []
        trades = await self._desk.venue.trades(said.symbol, max(0, _created_ns(said) - FIRST_NS))
        return [trade for trade in trades if trade.exchange_order_id == said.exchange_order_id]

    async def trade(self, trade: VenueTrade) -> bool:
        """Book it; False when it could be of one of our orders of which nobody knows yet."""
        async with self._lock:
            order = await self._ours(trade.symbol, trade.exchange_order_id, trade.client_order_id)
            said = None
            if order is None:
                said = await self._desk.venue.lookup(trade.symbol, exchange_order_id=trade.exchange_order_id)
                if said is not None:
                    order = await self._ours(said.symbol, said.exchange_order_id, said.client_order_id)
            if order is None:
                if (said is None or said.client_order_id is None) and self._may_be_ours(trade.symbol):
                    return False
                order = await self._import(said or _order_of(trade))
        self._hearing.trade(order, trade)
        if said is not None:
            self._hearing.said(order.id, said)
        await self._desk.commit()
        return True

    async def _ours(self, symbol: str, exchange_order_id: str, client_order_id: str | None) -> Order | None:
        """In memory, or out of the database into it."""
        named = self._desk.order_named(symbol, exchange_order_id, client_order_id)
        if named is not None:
            return named
        pool, account = self._desk.pool, self._desk.account
        order = await history.order_by_exchange_id(pool, account.id, symbol, exchange_order_id)
        if order is None and client_order_id is not None:
            order = await history.order_by_client_id(pool, account.id, client_order_id)
            if order is not None and not is_meant(order, exchange_order_id):
                return None
            number = naming.order_id_of(account, client_order_id)
            if order is None and number is not None:
                order = (await history.orders_by_ids(pool, [number])).get(number)
        if order is None or (order.account_id, order.symbol) != (account.id, symbol):
            return None
        deals = await history.deals_of_orders(pool, [order.id])
        self._desk.book.adopt(order, deals.get(order.id, ()))
        return self._desk.book.orders[order.id]

    def _may_be_ours(self, symbol: str) -> bool:
        """Whether we wait to learn the venue's id of any order of the symbol."""
        return any(
            order.state in NOT_SEEN or order.state is OrderState.PENDING_REPLACE
            for order in self._desk.book.open_orders.values()
            if order.symbol == symbol
        )

    async def _import(self, said: VenueOrder) -> Order:
        """As resting: what became of it is recorded like of any other."""
        desk = self._desk
        name = said.client_order_id
        if not name or await self._is_used(name):
            name = f"{EXTERNAL}:{said.symbol}:{said.exchange_order_id}"
        now_ns, created_ns = desk.now_ns(), _created_ns(said)
        order = Order(
            id=desk.ids.order(),
            account_id=desk.account.id,
            symbol=said.symbol,
            side=said.side,
            order_type=said.order_type,
            qty=said.qty,
            price=said.price,
            trigger_price=said.trigger_price,
            client_order_id=name,
            reason=EXTERNAL,
            state=OrderState.SUBMITTED,
            exchange_order_id=said.exchange_order_id,
            created_ns=min(now_ns, created_ns - created_ns % 1_000) or now_ns,
            updated_ns=now_ns,
        )
        desk.book.create(order)
        self.imported.append(order.id)
        log.info("external order", account_id=desk.account.id, order_id=order.id, symbol=order.symbol)
        return order

    async def _is_used(self, client_order_id: str) -> bool:
        desk = self._desk
        stored = await history.order_by_client_id(desk.pool, desk.account.id, client_order_id)
        return stored is not None or desk.book.by_client_id(client_order_id) is not None


def _created_ns(said: VenueOrder) -> int:
    """As far as it is known: what was executed of it may be as old as this."""
    return said.created_ns or said.time_ns


def _order_of(trade: VenueTrade) -> VenueOrder:
    """All that is known of an order that the venue has forgotten, but not its trade."""
    return VenueOrder(
        exchange_order_id=trade.exchange_order_id,
        client_order_id=trade.client_order_id,
        symbol=trade.symbol,
        side=trade.side,
        order_type=OrderType.LIMIT,
        qty=trade.qty,
        price=trade.price,
        status="filled",
        filled=trade.qty,
        average_price=trade.price,
        time_ns=trade.time_ns,
        raw={},
    )
