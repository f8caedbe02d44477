"""The desk of one account: its book, its venue, and the one way in which anything of it changes.

Holds what every command and everything heard of the venue shares: recording, committing, the order's lock, prices. Must
not know a command, SQL or a socket.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

import structlog
from msgspec.structs import replace

from oms import risk
from oms.book import AccountBook, Ids, is_meant
from oms.desk import naming
from oms.errors import OmsError
from oms.journal import Journal
from oms.market import MarketData
from oms.model import Account, Instrument, Order, OrderState, Position, Quote, Risk, TradingState
from oms.risk import Situation
from oms.states import NOT_SEEN, Happening, ImpossibleError, ReplaceRequested
from oms.store.pool import Pool
from oms.venues.base import Refused, Venue

log = structlog.get_logger(__name__)

QUOTE_S: Final = 2.0  # how long an order priced off the market waits for its first price
SECOND_NS: Final = 1_000_000_000
CHECKED_NS: Final = SECOND_NS  # how long what was found when an order was checked may take to be written down


class Conditions(NamedTuple):
    """What an order was checked under."""

    at_ns: int | None  # None: it does not matter when
    account: Account
    risk: Risk
    everywhere: TradingState


class Desk:
    """One account's. Decisions are synchronous and change memory at once; `commit` makes them durable, in order."""

    def __init__(
        self,
        book: AccountBook,
        ids: Ids,
        *,
        journal: Journal,
        venue: Venue | None,
        market: MarketData,
        pool: Pool,
        everywhere: Callable[[], TradingState] = lambda: TradingState.ACTIVE,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`everywhere` is the kill switch of all accounts. Without a venue there is an `obstacle`."""
        self.book = book
        self.ids = ids
        self._venue = venue
        self.market = market
        self.pool = pool
        self.clock_ns = clock_ns
        self.on_doubt: Callable[[int], None] = lambda order_id: None  # an order of which only the venue knows more
        self.on_positions: Callable[[Iterable[Position]], None] = lambda positions: None  # those that changed
        self.on_orders: Callable[[Iterable[Order]], None] = lambda orders: None  # those that changed
        self._journal = journal
        self._everywhere = everywhere
        self.strategies: frozenset[int] = frozenset()  # that the account has, beside 0
        self.obstacle: str | None = None  # why it takes no commands now
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._waiters: dict[int, list[asyncio.Future[Order]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sent_ns: deque[int] = deque()
        self._refused_ns: deque[int] = deque()
        self._wanted: dict[int, Order] = {}  # as they are to be: the orders of which a change is under way

    @property
    def account(self) -> Account:
        return self.book.account

    @property
    def venue(self) -> Venue:
        if self._venue is None:
            raise OmsError("exchange_unavailable", self.obstacle or "the exchange has not been heard yet")
        return self._venue

    @venue.setter
    def venue(self, venue: Venue) -> None:
        self._venue = venue

    def now_ns(self) -> int:
        """In the microseconds that the database keeps."""
        now_ns = self.clock_ns()
        return now_ns - now_ns % 1_000

    # What is written down

    def commit(self) -> asyncio.Future[None]:
        """Hand over what changed: done once that and all before it is durable, OmsError when that cannot be said."""
        writes = self.book.take()
        for order in writes.orders.values():
            for waiter in self._waiters.pop(order.id, ()):
                if not waiter.done():
                    waiter.set_result(order)
        durable = self._journal.append(writes)
        self.on_positions(writes.positions.values())
        self.on_orders(writes.orders.values())
        return durable

    async def changed(self, order_id: int) -> Order:
        """The order as it is after the next change of it, or after several that came at once."""
        waiter: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order_id, []).append(waiter)
        after = await waiter
        return self.book.orders.get(order_id, after)

    def record(self, order_id: int, happening: Happening, command_id: int | None = None) -> Order:
        """The order as it is after this; what cannot be true of it is left to be looked up."""
        try:
            after = self.book.record(order_id, happening, self.now_ns(), command_id=command_id)
        except ImpossibleError as error:
            log.error("venue contradicts itself", account_id=self.account.id, order_id=order_id, error=str(error))
            self.on_doubt(order_id)
            after = None
        after = after or self.book.orders[order_id]
        if after.state is not OrderState.PENDING_REPLACE:
            self._wanted.pop(order_id, None)
        return after

    def record_change(self, wanted: Order, command_id: int | None) -> Order:
        """It is about to be asked for: until it is known what came of it, the order may be what it is to be."""
        self._wanted[wanted.id] = wanted
        return self.record(wanted.id, ReplaceRequested(anew=True), command_id)

    def expect(self, order_id: int, price: Decimal | None, qty: Decimal | None) -> None:
        """The same of a change that was asked for by a process that ended, while it is not known what came of it."""
        order = self.book.orders[order_id]
        if order.state is OrderState.PENDING_REPLACE:
            self._wanted[order_id] = replace(order, price=price or order.price, qty=qty or order.qty)

    # Who may do something now

    def lock(self, order_id: int) -> asyncio.Lock:
        """Held while a request about the order is under way, so that there is one at a time."""
        lock = self._locks.get(order_id)
        if lock is None:
            lock = self._locks[order_id] = asyncio.Lock()
        return lock

    def is_busy(self, order_id: int) -> bool:
        """Whether a request about the order is under way: its outcome is not to be guessed meanwhile."""
        lock = self._locks.get(order_id)
        return lock is not None and lock.locked()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Do it in the background, until `finish`. What it raises is logged."""
        task = asyncio.create_task(work, name=f"{name} account={self.account.id}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OmsError):
            log.warning("work of the desk refused", task=task.get_name(), code=error.code, error=error.message)
        elif error is not None:
            log.error("work of the desk failed", task=task.get_name(), exc_info=error)

    async def finish(self, timeout_s: float) -> None:
        """Let what is under way end: what does not in time is as if the process had died in it."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # What an order is held against

    async def quote(self, symbol: str) -> Quote | None:
        """The last price of the symbol, awaited when it is not watched yet."""
        quote = self.market.quote(self.account.exchange, symbol)
        if risk.fresh(quote, self.book.risk, self.clock_ns()) is None:
            quote = await self.market.fresh(self.account.exchange, symbol, QUOTE_S)
        return quote

    def conditions(self) -> Conditions:
        """Of now."""
        return Conditions(self.clock_ns(), self.account, self.book.risk, self._everywhere())

    def on_turn(self, order: Order, under: Conditions) -> None:
        """The same as `check_again`, for the venue: called when the order is about to be sent. Raises `Refused`."""
        try:
            self.check_again(order, under)
        except OmsError as error:
            raise Refused(error.code, error.message, error.details) from None

    def check_again(self, order: Order, under: Conditions) -> None:
        """Raises OmsError when an order that was checked, and counted as sent, may not be sent any more: trading was
        halted or limited meanwhile, it took so long that the market is another one, or it would reduce more than is
        left."""
        now = self.conditions()
        order = replace(order, filled=max(order.filled, self.book.orders[order.id].filled))
        if now[1:] != under[1:] or (under.at_ns is not None and self.clock_ns() - under.at_ns > CHECKED_NS):
            quote = self.market.quote(self.account.exchange, order.symbol)
            self.check(order, self.venue.instrument(order.symbol), quote, is_counted=True)
        else:
            risk.check_reduces(order, self.book.target_of(order))

    def check(self, order: Order, instrument: Instrument, quote: Quote | None, *, is_counted: bool = False) -> None:
        """Raises OmsError unless the order may be sent now; `is_counted`: as one that was sent already."""
        now_ns = self.clock_ns()
        _forget(self._sent_ns, now_ns - SECOND_NS)
        situation = Situation(
            account=self.account,
            risk=self.book.risk,
            everywhere=self._everywhere(),
            instrument=instrument,
            quote=quote,
            position=self.book.target_of(order),
            others=[self.at_most(other) for other in self.book.open_orders.values() if other.id != order.id],
            sent_last_s=max(0, len(self._sent_ns) - is_counted),
            now_ns=now_ns,
        )
        risk.check(order, situation)
        self.venue.check(order)

    def at_most(self, order: Order) -> Order:
        """With the larger of the quantities that it may have once a change under way has ended."""
        return replace(order, qty=max(order.qty, self.as_wanted(order).qty))

    def as_wanted(self, order: Order) -> Order:
        """With the terms that it is to have, and may have already: its own, unless a change is under way."""
        wanted = self._wanted.get(order.id, order)
        return replace(order, price=wanted.price, qty=wanted.qty)

    def require_strategy(self, strategy_id: int, field: str) -> None:
        """Raises OmsError, which names the field, unless the account has this strategy; it always has 0."""
        if strategy_id and strategy_id not in self.strategies:
            text = f"strategy_id: this account has no strategy {strategy_id}"
            raise OmsError("validation_error", text, details={"field": field})

    def count_sent(self) -> None:
        """One more order of this second."""
        self._sent_ns.append(self.clock_ns())

    def keeps_refusal(self) -> bool:
        """Whether one more refusal for coming too often is kept: as many a second as orders may be sent, so that a
        flood of them is not one of writes."""
        now_ns = self.clock_ns()
        _forget(self._refused_ns, now_ns - SECOND_NS)
        if len(self._refused_ns) >= (self.book.risk.max_orders_per_s or 1):
            return False
        self._refused_ns.append(now_ns)
        return True

    def closing_order(self, position_id: int) -> Order | None:
        """The open order that closes this position already."""
        return next(
            (
                order
                for order in self.book.open_orders.values()
                if order.position_id == position_id and order.reason in risk.CLOSING
            ),
            None,
        )

    # What the venue calls our orders

    def name_of(self, order: Order) -> str:
        """The client id under which it is, or is about to be, at the venue."""
        return naming.venue_client_id(self.account, order)

    def order_named(self, symbol: str, exchange_order_id: str, client_order_id: str | None) -> Order | None:
        """The order in memory that the venue calls so, by any name it has had."""
        order = self.book.by_exchange_id(symbol, exchange_order_id)
        if client_order_id is None:
            return order
        number = naming.order_id_of(self.account, client_order_id)
        named = self.book.by_client_id(client_order_id) or self.book.orders.get(number or 0)
        # Somebody else may call an order of another market so, or their next one.
        if named is None or named.symbol != symbol or not is_meant(named, exchange_order_id):
            return order
        if order is not None:  # unless the venue gives the id again, to one of which it is not known yet
            return named if named.state in NOT_SEEN else order
        return named


def _forget(times_ns: deque[int], until_ns: int) -> None:
    while times_ns and times_ns[0] <= until_ns:
        times_ns.popleft()
