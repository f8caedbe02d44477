"""Price-time matching in one market: an incoming order against what rests, the crowd's levels and users' orders.

What would happen is a `Plan`, which changes nothing; `execute` carries one out. Two kinds of market: in a generated one
users' orders are part of the book that is shown; a recorded book stays as it was recorded, users' orders rest beside it
and are filled when a recorded trade or quote goes through their price. Knows no money, no clock, no message format.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from loadtest.exchange.accounts import Account
from loadtest.exchange.bars import Trade
from loadtest.exchange.book import Side
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Market
from loadtest.exchange.orders import Order
from loadtest.exchange.resting import Resting

Levels = Iterable[tuple[int, int]]


class Step(NamedTuple):
    """One trade to come; no order: the crowd's size."""

    price: int
    qty: int
    order: Order | None


class Plan(NamedTuple):
    """What an incoming order would trade, and which orders of its own account stand in the way."""

    steps: list[Step]
    own: list[Order]

    @property
    def qty(self) -> int:
        return sum(step.qty for step in self.steps)

    @property
    def quote_qty(self) -> int:
        return sum(step.price * step.qty // ONE for step in self.steps)


def _nobody(_order: Order, _trade: Trade) -> None:
    """No user trades here yet."""


class Matcher:
    """`shown`: whether users' orders are part of the market's book."""

    def __init__(self, market: Market, *, shown: bool, first_trade_id: int = 1) -> None:
        self.market = market
        self._shown = shown
        self._bids = Resting(descending=True)
        self._asks = Resting(descending=False)
        # Of a recorded level: what users have taken since it was last told.
        self._taken: dict[int, int] = {}
        self._next_trade_id = first_trade_id
        # Called for each fill of a user's resting order.
        self.on_fill: Callable[[Order, Trade], None] = _nobody

    def resting(self, *, bid: bool) -> Resting:
        return self._bids if bid else self._asks

    def _side(self, *, bid: bool) -> Side:
        return self.market.book.bids if bid else self.market.book.asks

    def crowd(self, price: int, *, bid: bool) -> int:
        """The size at a price that is no user's."""
        size = self._side(bid=bid).sizes.get(price, 0)
        gone = self.resting(bid=bid).total(price) if self._shown else self._taken.get(price, 0)
        return max(0, size - gone)

    def best(self, *, bid: bool) -> int | None:
        """The best price of a side; None: it is empty."""
        return next(self._prices(buy=not bid), None)

    # what rests

    def rest(self, order: Order) -> None:
        """Put what remains of an order behind all that is at its price."""
        bid, price = order.request.buy, order.request.price
        ahead = self.crowd(price, bid=bid)
        self.resting(bid=bid).add(order, ahead)
        self._show(price, order.remaining, bid=bid)

    def remove(self, order: Order) -> None:
        self.resting(bid=order.request.buy).remove(order)
        self._show(order.request.price, -order.remaining, bid=order.request.buy)

    def _show(self, price: int, change: int, *, bid: bool) -> None:
        if self._shown:
            self._set(price, self._side(bid=bid).sizes.get(price, 0) + change, bid=bid)

    def _set(self, price: int, size: int, *, bid: bool) -> None:
        if bid:
            self.market.set_bid(price, size)
        else:
            self.market.set_ask(price, size)

    def set_crowd(self, price: int, size: int, *, bid: bool) -> None:
        """The crowd of a generated market comes to a price or leaves it; users' orders stay."""
        resting = self.resting(bid=bid)
        self._set(price, size + resting.total(price), bid=bid)
        resting.clamp(price, size)

    # an incoming order

    def plan(
        self,
        *,
        buy: bool,
        qty: int = 0,
        budget: int | None = None,
        limit: int | None = None,
        account: Account | None = None,
    ) -> Plan:
        """What an order for `qty`, or for as much as `budget` buys, would trade at prices up to `limit`."""
        plan = Plan([], [])
        for price in self._prices(buy=buy):
            if limit is not None and (price > limit if buy else price < limit):
                break
            if budget is not None:
                qty = budget * ONE // price // self.market.spec.step * self.market.spec.step
            if not qty:
                break
            for step in self._queue(price, qty, account, plan.own, bid=not buy):
                plan.steps.append(step)
                qty -= step.qty
                if budget is not None:
                    budget -= step.price * step.qty // ONE
        return plan

    def _prices(self, *, buy: bool) -> Iterator[int]:
        """Prices with something to take, the best first."""
        levels, users = self._side(bid=not buy), self.resting(bid=not buy).totals
        price = levels.beyond(None)
        if self._shown:
            while price is not None:
                yield price
                price = levels.beyond(price)
            return
        other = users.beyond(None)
        while price is not None or other is not None:
            found = [each for each in (price, other) if each is not None]
            best = min(found) if buy else max(found)
            yield best
            price, other = levels.beyond(best), users.beyond(best)

    def _queue(self, price: int, qty: int, account: Account | None, own: list[Order], *, bid: bool) -> Iterator[Step]:
        """Who is next at a price, until `qty` is had."""
        crowd = 0 if self.is_last_of_crowd(price, bid=bid) else self.crowd(price, bid=bid)
        passed = 0
        for entry in self.resting(bid=bid).at(price):
            before = min(entry.ahead, crowd) - passed
            if part := min(max(before, 0), qty):
                yield Step(price, part, None)
                passed += part
                qty -= part
            if not qty:
                return
            if entry.order.account is account:
                own.append(entry.order)
                continue
            part = min(entry.order.remaining, qty)
            yield Step(price, part, entry.order)
            qty -= part
        if part := min(crowd - passed, qty):
            yield Step(price, part, None)

    def is_last_of_crowd(self, price: int, *, bid: bool) -> bool:
        """A generated market never loses its last level: the next arrivals take their price from it."""
        if not self._shown:
            return False
        side = self._side(bid=bid)
        other = side.beyond(price)
        while other is not None and not self.crowd(other, bid=bid):
            other = side.beyond(other)
        return other is None

    def execute(self, plan: Plan, now_ms: int, *, buy: bool) -> list[Trade]:
        """Make the trades of a plan; the book must not have changed since, but for the plan's own orders."""
        return [self._trade(step, now_ms, bid=not buy) for step in plan.steps]

    def _trade(self, step: Step, now_ms: int, *, bid: bool) -> Trade:
        """Fill what rests on one side; the one who came took the other."""
        trade = Trade(self._next_trade_id, step.price, step.qty, now_ms, bid)
        self._next_trade_id += 1
        if step.order is not None:
            self.resting(bid=bid).filled(step.order, step.qty)
        else:
            self.resting(bid=bid).passed(step.price, step.qty)
            if not self._shown:
                self._taken[step.price] = self._taken.get(step.price, 0) + step.qty
        self._show(step.price, -step.qty, bid=bid)
        if step.order is not None:
            self.on_fill(step.order, trade)
        return trade

    def fill(self, order: Order, price: int, qty: int, now_ms: int) -> Trade:
        """Fill a resting order by hand."""
        resting = self.resting(bid=order.request.buy)
        resting.filled(order, qty)
        self._show(order.request.price, -qty, bid=order.request.buy)
        trade = self.next_trade(order, price, qty, now_ms)
        self.on_fill(order, trade)
        return trade

    def next_trade(self, order: Order, price: int, qty: int, now_ms: int) -> Trade:
        """A trade in which `order` was at rest."""
        trade = Trade(self._next_trade_id, price, qty, now_ms, order.request.buy)
        self._next_trade_id += 1
        return trade

    # a recorded market

    def printed(self, trade: Trade, now_ms: int) -> None:
        """A recorded trade was made: users' orders in its way are filled by it."""
        self._through(trade.price, trade.size, now_ms, bid=trade.buyer_is_maker)

    def go_on_in(self, market: Market) -> None:
        """The recording begins anew: users' orders stay where they are, in the book of its beginning."""
        self.market = market
        self._taken.clear()

    def told(self, bids: Levels, asks: Levels, now_ms: int) -> None:
        """Recorded levels are about to change: queues get shorter, and quotes beyond a user's price fill him."""
        if not (self._taken or self._bids or self._asks):
            return
        for bid, levels in ((True, bids), (False, asks)):
            for price, size in levels:
                self._taken.pop(price, None)
                self.resting(bid=bid).clamp(price, size)
        for bid, levels in ((True, bids), (False, asks)):
            if self.resting(bid=not bid):
                for price, size in levels:
                    arrived = size - self._side(bid=bid).sizes.get(price, 0)
                    if arrived > 0:
                        self._through(price, arrived, now_ms, bid=not bid)

    def _through(self, price: int, qty: int, now_ms: int, *, bid: bool) -> None:
        """`qty` came to trade at `price`: better orders are filled before it, those at it in their turn."""
        resting = self.resting(bid=bid)
        passed = 0
        for entry in list(resting.entries()):
            own = entry.order.request.price
            if not qty or (own < price if bid else own > price):
                break
            if own == price:
                part = min(max(entry.ahead - passed, 0), qty)
                passed += part
                qty -= part
            if part := min(entry.order.remaining, qty):
                self.fill(entry.order, own, part, now_ms)
                qty -= part
        resting.passed(price, passed)
