"""A slow exchange that is easy to believe: one list of orders a price, money worked out anew from what happened.

Shares no code with the exchange it is held against, but for the names of its order types. Numbers are whole units of
1e-8; the crowd at a price is a number of orders in the queue like anybody's.
"""

from dataclasses import dataclass, field

UNIT = 10**8


@dataclass(eq=False)
class Slow:
    """An order; the crowd's have no owner."""

    owner: int | None
    buy: bool
    qty: int
    price: int = 0
    kind: str = "LIMIT"
    tif: str = "GTC"
    stop: int = 0
    filled: int = 0
    spent: int = 0
    status: str = "NEW"
    waiting: bool = False
    resting: bool = False

    @property
    def left(self) -> int:
        return self.qty - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def held(self) -> int:
        """What it holds back of what it pays with."""
        if not self.is_open:
            return 0
        if not self.buy:
            return self.left
        return -(-(self.price or self.stop) * self.left // UNIT)


class RefusedError(Exception):
    """An order is not taken; says why."""


@dataclass
class SlowExchange:
    """`owned` is what each owner has of base and quote; fees are parts of 10,000 by owner: maker, taker."""

    step: int
    owned: list[list[int]]
    fees: list[tuple[int, int]]
    book: dict[bool, dict[int, list[Slow]]] = field(default_factory=lambda: {True: {}, False: {}})
    orders: list[Slow] = field(default_factory=list)
    # Price and size of each trade.
    trades: list[tuple[int, int]] = field(default_factory=list)

    # what there is

    def free(self, owner: int) -> list[int]:
        free = list(self.owned[owner])
        for order in self.orders:
            if order.owner == owner:
                free[order.buy] -= order.held
        return free

    def levels(self, *, buy: bool) -> list[tuple[int, int]]:
        """The best price first."""
        rows = [(price, sum(order.left for order in queue)) for price, queue in self.book[buy].items()]
        return sorted(((price, size) for price, size in rows if size), reverse=buy)

    def crosses(self, price: int, *, buy: bool) -> bool:
        against = self.levels(buy=not buy)
        return bool(against) and (price >= against[0][0] if buy else price <= against[0][0])

    # the crowd

    def set_crowd(self, price: int, size: int, *, buy: bool) -> None:
        """More of it comes last; those who came last leave first."""
        queue = self.book[buy].setdefault(price, [])
        change = size - sum(order.left for order in queue if order.owner is None)
        if change > 0:
            queue.append(Slow(None, buy, change, price))
        for order in reversed(queue):
            if change < 0 and order.owner is None:
                gone = min(order.left, -change)
                order.qty -= gone
                change += gone

    def _tidy(self, *, buy: bool) -> None:
        """Those who have nothing left go; the crowd between two users is one, and trades as one."""
        for price, queue in self.book[buy].items():
            tidy: list[Slow] = []
            for order in queue:
                if order.owner is None and tidy and tidy[-1].owner is None:
                    tidy[-1].qty += order.left
                elif order.left:
                    tidy.append(order)
            self.book[buy][price] = tidy

    def crowd_takes(self, qty: int, *, buy: bool) -> None:
        order = Slow(None, buy, qty, kind="MARKET")
        self._settle_stops(self._trade(order))

    # orders

    def place(self, order: Slow, *, budget: int = 0) -> Slow:
        assert order.owner is not None
        if order.stop:
            if self.trades and _is_reached(order, self.trades[-1][0]):
                raise RefusedError("trigger")
            order.waiting = True
            needed = order.held
        else:
            found, own = self._find(order, budget)
            if order.kind == "LIMIT_MAKER" and (found or own):
                raise RefusedError("match")
            cost = sum(price * qty // UNIT for price, qty, _ in found)
            if budget:
                order.qty = sum(qty for _, qty, _ in found)
            needed = cost if order.buy and order.kind == "MARKET" else order.held
        if needed > self.free(order.owner)[order.buy]:
            raise RefusedError("insufficient")
        self.orders.append(order)
        if not order.waiting:
            self._arrive(order, budget)
        return order

    def _find(self, order: Slow, budget: int = 0) -> tuple[list[tuple[int, int, Slow]], list[Slow]]:
        """What it would trade with, and own orders in its way."""
        self._tidy(buy=not order.buy)
        found: list[tuple[int, int, Slow]] = []
        own: list[Slow] = []
        left = order.left
        for price, _ in self.levels(buy=not order.buy):
            if order.price and (price > order.price if order.buy else price < order.price):
                break
            if budget:
                left = budget * UNIT // price // self.step * self.step
            if not left:
                break
            for other in self.book[not order.buy][price]:
                if not left:
                    break
                if other.owner is not None and other.owner == order.owner:
                    own.append(other)
                    continue
                part = min(left, other.left)
                found.append((price, part, other))
                left -= part
                if budget:
                    budget -= price * part // UNIT
        return found, own

    def _arrive(self, order: Slow, budget: int = 0) -> None:
        found, _ = self._find(order, budget)
        if order.tif == "FOK" and sum(qty for _, qty, _ in found) < order.left:
            trades = []
        else:
            trades = self._trade(order, budget)
        if order.is_open:
            if order.kind not in ("MARKET", "STOP_LOSS", "TAKE_PROFIT") and order.tif == "GTC":
                order.resting = True
                self.book[order.buy].setdefault(order.price, []).append(order)
            else:
                order.status = "EXPIRED"
        self._settle_stops(trades)

    def _trade(self, order: Slow, budget: int = 0) -> list[int]:
        found, own = self._find(order, budget)
        for other in own:
            self._take_out(other, "EXPIRED_IN_MATCH")
        for price, qty, other in found:
            self.trades.append((price, qty))
            self._fill(other, price, qty, maker=True)
            self._fill(order, price, qty, maker=False)
        return [price for price, _, _ in found]

    def _fill(self, order: Slow, price: int, qty: int, *, maker: bool) -> None:
        order.filled += qty
        cost = price * qty // UNIT
        order.spent += cost
        if not order.left and order.resting:
            self._take_out(order, "FILLED")
        if order.owner is None:
            return
        order.status = "FILLED" if not order.left else "PARTIALLY_FILLED" if order.is_open else order.status
        came, went = (qty, cost) if order.buy else (cost, qty)
        fee = came * self.fees[order.owner][0 if maker else 1] // 10_000
        self.owned[order.owner][not order.buy] += came - fee
        self.owned[order.owner][order.buy] -= went

    def _take_out(self, order: Slow, status: str) -> None:
        order.status = status
        order.waiting = False
        if order.resting:
            order.resting = False
            self.book[order.buy][order.price].remove(order)

    def cancel(self, order: Slow) -> None:
        if not order.is_open:
            raise RefusedError("unknown")
        self._take_out(order, "CANCELED")

    def fill_by_hand(self, order: Slow, price: int, qty: int) -> None:
        assert order.owner is not None
        if not order.is_open and (price * qty // UNIT if order.buy else qty) > self.free(order.owner)[order.buy]:
            raise RefusedError("insufficient")
        self.trades.append((price, qty))
        self._fill(order, price, qty, maker=True)
        self._settle_stops([price])

    # stops

    def _settle_stops(self, prices: list[int]) -> None:
        for order in [each for each in self.orders if each.waiting]:
            if order.waiting and any(_is_reached(order, price) for price in prices):
                order.waiting = False
                if order.kind in ("STOP_LOSS", "TAKE_PROFIT") and order.buy:
                    assert order.owner is not None
                    cost = sum(price * qty // UNIT for price, qty, _ in self._find(order)[0])
                    if cost > self.free(order.owner)[1] + order.held:
                        order.status = "EXPIRED"
                        continue
                self._arrive(order)


def _is_reached(order: Slow, price: int) -> bool:
    up = order.buy if order.kind.startswith("STOP") else not order.buy
    return price >= order.stop if up else price <= order.stop
