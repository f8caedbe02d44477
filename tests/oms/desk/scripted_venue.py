"""A venue in memory for tests of the desk: it does what it is told to, and its books are the truth to compare with.

The real adapter is tested in tests/oms/venues, and end to end against the simulated exchange. Here each fault happens
exactly where a test wants it: before or after the venue took the request, told by its stream before, after or never.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from oms.errors import OmsError
from oms.model import ZERO, Instrument, Order, OrderType, Side
from oms.venues.base import (
    Ambiguous,
    Ending,
    Holding,
    Listener,
    OnTurn,
    Refused,
    Statement,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
    VenueTrade,
    at_any_time,
)
from tests.oms.orders_made import SPOT, T0_NS

DONE = ("canceled", "expired", "rejected", "filled")


class Fault(StrEnum):
    """What becomes of one request."""

    NONE = "none"
    REFUSED = "refused"  # and not done
    DROPPED = "dropped"  # not done, and no answer
    LOST = "lost"  # done, and no answer
    LATE = "late"  # no answer, and done when `arrive` is called
    PRETENDED = "pretended"  # of a cancel: answered as done, and not done
    CRASH = "crash"  # done, and the adapter fails in a way that nobody foresaw


T = TypeVar("T")
Method = Literal["place", "cancel", "replace", "find", "trades", "open_orders", "balances", "positions"]


class ScriptedVenue:
    """See the module. `placed` has the client id of every create that reached it, as often as it did."""

    can_replace = False

    def __init__(self, *, instruments: tuple[Instrument, ...] = (SPOT,)) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.orders: dict[str, VenueOrder] = {}
        self.executed: list[VenueTrade] = []
        self.pretended: set[str] = set()  # orders of which it was said that they were canceled
        self.placed: list[str] = []
        self.requests: list[str] = []
        self.streaming = True  # whether the listener is told
        self.told_at_once = False  # before the answer, rather than soon after it
        self.reveals_client_id = True  # in trades
        self.silent_cancel = False  # answers a cancel with nothing
        self.fill_on_place: deque[Decimal] = deque()  # what the next creates execute at once
        self.fill_on_cancel: deque[Decimal] = deque()  # what is executed just before the next cancels
        self.inspections: list[ScriptedInspection] = []
        self.holdings: dict[int, Holding] | None = None
        self.endings: dict[int, Ending] = {}
        self.fault_of_reading: OmsError | None = None
        self.untold: deque[VenueOrder | VenueTrade] = deque()
        self.gate = asyncio.Event()  # requests wait for it
        self.gate.set()
        self.unfit: OmsError | None = None  # what every check comes to
        self.checked: list[Order] = []
        self.closed = False
        self.held: dict[str, Decimal] = {}  # balances
        self.positions_held: list[VenuePosition] = []
        self.since_ns: dict[str, int] = {}  # from when on trades were asked for last, by symbol
        self._script: dict[str, deque[Fault]] = {}
        self._late: list[Callable[[], object]] = []
        self._listener: Listener | None = None
        self._numbers = itertools.count(1)
        self._clock = itertools.count(T0_NS + 1_000_000_000, 1_000_000)

    # What a test says

    def script(self, method: Method, *faults: Fault) -> None:
        """What becomes of the next requests of this kind."""
        self._script.setdefault(method, deque()).extend(faults)

    def behave(self) -> None:
        """No fault any more."""
        self._script.clear()

    def arrive(self) -> None:
        """What was late is done now."""
        late, self._late = self._late, []
        for work in late:
            try:
                work()
            except Refused:
                continue

    def go_on_from(self, former: ScriptedVenue) -> None:
        """It is the same venue, and only the OMS is another."""
        self.orders, self.executed, self.placed = former.orders, former.executed, former.placed
        self.pretended = former.pretended
        self._late, self._numbers, self._clock = former._late, former._numbers, former._clock

    def fill(self, exchange_order_id: str, qty: str | Decimal, price: str | None = None) -> VenueTrade:
        """Execute some of an order, also of one that is over; the listener is told."""
        order = self.orders[exchange_order_id]
        filled = order.filled + Decimal(qty)
        status: VenueOrderStatus = "filled" if filled >= order.qty else order.status
        order = replace(order, filled=filled, status=status, time_ns=next(self._clock))
        self.orders[exchange_order_id] = order
        trade = VenueTrade(
            exchange_trade_id=f"t{next(self._numbers)}",
            exchange_order_id=exchange_order_id,
            client_order_id=order.client_order_id if self.reveals_client_id else None,
            symbol=order.symbol,
            side=order.side,
            qty=Decimal(qty),
            price=Decimal(price) if price else order.price or Decimal(100),
            time_ns=order.time_ns,
        )
        self.executed.append(trade)
        self._tell(trade)
        self._tell(order)
        return trade

    def end(self, exchange_order_id: str, status: VenueOrderStatus) -> None:
        """The venue ends an order by itself."""
        order = self.orders[exchange_order_id]
        if order.status not in DONE:
            self.orders[exchange_order_id] = replace(order, status=status, time_ns=next(self._clock))
            self._tell(self.orders[exchange_order_id])

    def external(self, client_order_id: str | None = None, qty: str = "1") -> VenueOrder:
        """An order that somebody else sent."""
        made = VenueOrder(
            exchange_order_id=f"x{next(self._numbers)}",
            client_order_id=client_order_id,
            symbol=SPOT.symbol,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            qty=Decimal(qty),
            price=Decimal(100),
            status="open",
            filled=ZERO,
            average_price=None,
            time_ns=next(self._clock),
            raw={},
        )
        self.orders[made.exchange_order_id] = made
        self._tell(made)
        return made

    def deliver(self) -> None:
        """Tell what is not told yet."""
        while self.untold and self._listener is not None:
            said = self.untold.popleft()
            if isinstance(said, VenueOrder):
                self._listener.on_order(said)
            else:
                self._listener.on_trade(said)

    def named(self, client_order_id: str) -> VenueOrder | None:
        return next((order for order in self.orders.values() if order.client_order_id == client_order_id), None)

    def _tell(self, said: VenueOrder | VenueTrade) -> None:
        if not self.streaming or self._listener is None:
            return
        self.untold.append(said)
        if self.told_at_once:
            self.deliver()
        else:
            asyncio.get_running_loop().call_soon(self.deliver)

    # What the desk asks

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        listener.on_stream(True)

    async def close(self) -> None:
        self.closed = True
        self._listener = None

    def instrument(self, symbol: str) -> Instrument:
        if symbol not in self.instruments:
            raise OmsError("unknown_symbol", f"no market {symbol}")
        return self.instruments[symbol]

    def check(self, order: Order) -> None:
        self.checked.append(order)
        if self.unfit is not None:
            raise self.unfit

    async def _do(
        self,
        method: Method,
        work: Callable[[], T],
        pretend: Callable[[], T] | None = None,
        on_turn: OnTurn = at_any_time,
    ) -> T:
        self.requests.append(method)
        await self.gate.wait()
        on_turn()
        script = self._script.get(method)
        fault = script.popleft() if script else Fault.NONE
        if fault is Fault.REFUSED:
            raise Refused("exchange_error", f"{method} refused", {"exception": "MarketClosed"})
        if fault is Fault.PRETENDED and pretend is not None:
            return pretend()
        if fault is Fault.LATE:
            self._late.append(work)
        elif fault is not Fault.DROPPED:
            done = work()
            if fault is Fault.NONE:
                return done
        if fault is Fault.CRASH:
            raise RuntimeError("the adapter is broken")
        raise Ambiguous(f"no answer to {method}")

    async def place(self, order: Order, venue_client_id: str, on_turn: OnTurn = at_any_time) -> VenueOrder:
        return await self._do("place", lambda: self._place(order, venue_client_id), on_turn=on_turn)

    def _place(self, order: Order, client_id: str) -> VenueOrder:
        self.placed.append(client_id)
        if self.named(client_id) is not None:
            raise Refused("duplicate_client_order_id", f"{client_id} was used before")
        made = VenueOrder(
            exchange_order_id=f"x{next(self._numbers)}",
            client_order_id=client_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            qty=order.remaining,
            price=order.price,
            status="open",
            filled=ZERO,
            average_price=None,
            time_ns=next(self._clock),
            raw={"clientOrderId": client_id},
        )
        self.orders[made.exchange_order_id] = made
        self._tell(made)
        if self.fill_on_place:
            self.fill(made.exchange_order_id, self.fill_on_place.popleft())
        return self.orders[made.exchange_order_id]

    async def cancel(self, order: Order) -> VenueOrder | None:
        said = await self._do("cancel", lambda: self._cancel(order), lambda: self._pretend(order))
        return None if self.silent_cancel else said

    def _cancel(self, order: Order) -> VenueOrder:
        there = self._find(order)
        if there is not None and there.status not in DONE and self.fill_on_cancel:
            self.fill(there.exchange_order_id, self.fill_on_cancel.popleft())
            there = self._find(order)
        if there is None or there.status in DONE:
            raise Refused("order_not_found", "unknown order")
        self.end(there.exchange_order_id, "canceled")
        return self.orders[there.exchange_order_id]

    def _pretend(self, order: Order) -> VenueOrder:
        there = self._find(order)
        if there is None or there.status in DONE:
            raise Refused("order_not_found", "unknown order")
        self.pretended.add(there.exchange_order_id)
        return replace(there, status="canceled", time_ns=next(self._clock))

    async def replace(
        self, order: Order, price: Decimal | None, qty: Decimal, venue_client_id: str, on_turn: OnTurn = at_any_time
    ) -> VenueOrder:
        def work() -> VenueOrder:
            self._cancel(order)
            return self._place(replace(order, price=price, qty=qty), venue_client_id)

        return await self._do("replace", work, on_turn=on_turn)

    async def find(self, order: Order) -> VenueOrder | None:
        return await self._do("find", lambda: self._find(order))

    def _find(self, order: Order) -> VenueOrder | None:
        if order.exchange_order_id is not None:
            return self.orders.get(order.exchange_order_id)
        return self.named(order.client_order_id)

    async def lookup(
        self, symbol: str, *, exchange_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        found = self.orders.get(exchange_order_id) if exchange_order_id else self.named(client_order_id or "")
        return await self._do("find", lambda: found)

    async def open_orders(self, symbol: str | None) -> list[VenueOrder]:
        orders = self.orders.values()
        return await self._do(
            "open_orders", lambda: [each for each in orders if each.status == "open" and symbol in {None, each.symbol}]
        )

    async def trades(self, symbol: str, since_ns: int) -> list[VenueTrade]:
        self.since_ns[symbol] = since_ns
        return await self._do("trades", lambda: [trade for trade in self.executed if trade.symbol == symbol])

    async def balances(self) -> Mapping[str, Decimal]:
        return await self._do("balances", lambda: dict(self.held))

    async def positions(self) -> list[VenuePosition]:
        return await self._do("positions", lambda: list(self.positions_held))

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        """Answers with what it was asked."""
        return msgspec.json.encode({"func": func, "arguments": dict(arguments), "public": public})

    def inspect(self) -> ScriptedInspection:
        return ScriptedInspection(self)


class ScriptedInspection:
    """Tells `held` as the balances of an account in USDT, unless `holdings` of the venue say that it has positions."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self._venue = venue
        venue.inspections.append(self)
        self.closed = False

    async def read(self) -> Statement:
        if self._venue.fault_of_reading is not None:
            raise self._venue.fault_of_reading
        figures = {"balance": self._venue.held.get("USDT", ZERO)}
        return Statement(figures=figures, holdings=self._venue.holdings, currency="USDT")

    async def endings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        return {ticket: self._venue.endings[ticket] for ticket in tickets if ticket in self._venue.endings}

    async def close(self) -> None:
        self.closed = True
