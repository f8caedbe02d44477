"""An order book of price levels and the changes gathered since they were last taken.

Prices and sizes are integers of 1e-8. No clock, no message format.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple


class Level(NamedTuple):
    price: int
    size: int


class Best(NamedTuple):
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Side:
    """One side of a book: sizes by price, and the prices in ascending order."""

    __slots__ = ("_descending", "prices", "sizes")

    def __init__(self, *, descending: bool) -> None:
        self._descending = descending
        self.prices: list[int] = []
        self.sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.prices)

    def set(self, price: int, size: int) -> None:
        if size:
            if price not in self.sizes:
                insort(self.prices, price)
            self.sizes[price] = size
        elif price in self.sizes:
            del self.sizes[price]
            del self.prices[bisect_left(self.prices, price)]

    def price_at(self, rank: int) -> int:
        """Price of the level `rank` steps behind the best one."""
        return self.prices[-1 - rank] if self._descending else self.prices[rank]

    def beyond(self, price: int | None) -> int | None:
        """The next level's price behind this one; None: the best there is, or there is none."""
        if self._descending:
            rank = (len(self.prices) if price is None else bisect_left(self.prices, price)) - 1
            return self.prices[rank] if rank >= 0 else None
        rank = 0 if price is None else bisect_right(self.prices, price)
        return self.prices[rank] if rank < len(self.prices) else None

    def top(self, count: int) -> list[Level]:
        prices = self.prices[-count:][::-1] if self._descending else self.prices[:count]
        return [Level(price, self.sizes[price]) for price in prices]


class Book:
    """Both sides and the id of the last update applied; every level change has an id of its own."""

    __slots__ = ("asks", "bids", "update_id")

    def __init__(self, update_id: int = 0) -> None:
        self.bids = Side(descending=True)
        self.asks = Side(descending=False)
        self.update_id = update_id

    def load(self, update_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        self.update_id = update_id
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            side.prices.clear()
            side.sizes.clear()
            for price, size in levels:
                side.set(price, size)

    def best(self) -> Best | None:
        if not self.bids.prices or not self.asks.prices:
            return None
        bid, ask = self.bids.prices[-1], self.asks.prices[0]
        return Best(bid, self.bids.sizes[bid], ask, self.asks.sizes[ask])


class Diff(NamedTuple):
    first_id: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


class Changes:
    """Levels touched since the last take, newest size each: what a diff stream sends."""

    __slots__ = ("asks", "bids", "taken_id")

    def __init__(self, taken_id: int = 0) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.taken_id = taken_id

    def take(self, update_id: int) -> Diff | None:
        """The diff up to `update_id`; its first id follows the last one taken, so diffs are contiguous."""
        if update_id == self.taken_id:
            return None
        diff = Diff(
            self.taken_id + 1,
            update_id,
            [Level(price, self.bids[price]) for price in sorted(self.bids, reverse=True)],
            [Level(price, self.asks[price]) for price in sorted(self.asks)],
        )
        self.skip(update_id)
        return diff

    def skip(self, update_id: int) -> None:
        """Forget what was gathered: nobody listens."""
        self.bids.clear()
        self.asks.clear()
        self.taken_id = update_id
