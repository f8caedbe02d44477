"""Users' orders at rest in one side of a market: who is first at each price, and who of the crowd is before him.

`ahead` is how much of the crowd's size at that price came before the order. Knows no book, no money, no message.
"""

from collections.abc import Iterator

from loadtest.exchange.book import Side
from loadtest.exchange.orders import Order


class Entry:
    """A user's order in the queue of its price."""

    __slots__ = ("ahead", "order")

    def __init__(self, order: Order, ahead: int) -> None:
        self.order = order
        self.ahead = ahead


class Resting:
    """Queues by price, in time priority; `totals` has the users' sizes as a side of a book has."""

    __slots__ = ("_queues", "totals")

    def __init__(self, *, descending: bool) -> None:
        self.totals = Side(descending=descending)
        self._queues: dict[int, list[Entry]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def at(self, price: int) -> list[Entry]:
        return self._queues.get(price, [])

    def total(self, price: int) -> int:
        return self.totals.sizes.get(price, 0)

    def entries(self) -> Iterator[Entry]:
        """Every order, the best price first, then the oldest."""
        for price in [level.price for level in self.totals.top(len(self.totals))]:
            yield from self.at(price)

    def add(self, order: Order, ahead: int) -> None:
        price = order.request.price
        self._queues.setdefault(price, []).append(Entry(order, ahead))
        self.totals.set(price, self.total(price) + order.remaining)

    def remove(self, order: Order) -> None:
        """Take an order out with all that remains of it."""
        price = order.request.price
        queue = [entry for entry in self._queues[price] if entry.order is not order]
        assert len(queue) == len(self._queues[price]) - 1
        self._keep(price, queue, order.remaining)

    def filled(self, order: Order, qty: int) -> None:
        """`qty` of an order is about to be filled: a part of it, or all that remains."""
        price = order.request.price
        queue = self._queues[price]
        if qty == order.remaining:
            queue = [entry for entry in queue if entry.order is not order]
        self._keep(price, queue, qty)

    def _keep(self, price: int, queue: list[Entry], gone: int) -> None:
        self.totals.set(price, self.total(price) - gone)
        if queue:
            self._queues[price] = queue
        else:
            del self._queues[price]

    def passed(self, price: int, crowd: int) -> None:
        """So much of the crowd's size was traded at a price: it was first in the queue."""
        for entry in self.at(price):
            entry.ahead = max(0, entry.ahead - crowd)

    def clamp(self, price: int, crowd: int) -> None:
        """The crowd has no more than this at a price: the last to come are taken to have left."""
        for entry in self.at(price):
            entry.ahead = min(entry.ahead, crowd)
