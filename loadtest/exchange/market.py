"""One market: what it is, its book, its trades and its bars.

State only. It knows no clock, no stream and no message format; a feed changes it and publishes what changed.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from loadtest.exchange.bars import Bars, Trade
from loadtest.exchange.book import Book, Changes

TRADES_KEPT = 5_000
# As long as those of a real market, and for long: ccxt sorts the ids of one millisecond as texts.
FIRST_AGG_ID = 1_000_000_001


class Spec(NamedTuple):
    """What exchangeInfo says of a market; prices and sizes in units of 1e-8."""

    base: str
    quote: str
    tick: int
    step: int

    @property
    def symbol(self) -> str:
        return self.base + self.quote


class AggTrade(NamedTuple):
    """Trades of one taker order at one price."""

    id: int
    price: int
    size: int
    first_id: int
    last_id: int
    time_ms: int
    buyer_is_maker: bool


class Market:
    """`late_ms`: how long after its own time a trade may still come; bars are settled only that much later."""

    def __init__(self, spec: Spec, late_ms: int = 0) -> None:
        self.spec = spec
        self.late_ms = late_ms
        self.book = Book()
        self.fast_changes = Changes()
        self.slow_changes = Changes()
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.agg_trades: deque[AggTrade] = deque(maxlen=TRADES_KEPT)
        self.bars = Bars()
        self._aggregate: AggTrade | None = None
        self._next_agg_id = FIRST_AGG_ID

    def load_book(self, update_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        self.book.load(update_id, bids, asks)
        self.fast_changes.skip(update_id)
        self.slow_changes.skip(update_id)

    def set_bid(self, price: int, size: int) -> None:
        """Change one level under a new update id."""
        self.book.bids.set(price, size)
        self.book.update_id += 1
        self.fast_changes.bids[price] = self.slow_changes.bids[price] = size

    def set_ask(self, price: int, size: int) -> None:
        self.book.asks.set(price, size)
        self.book.update_id += 1
        self.fast_changes.asks[price] = self.slow_changes.asks[price] = size

    def apply_diff(self, last_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Apply a diff made elsewhere; the fast stream passes it on as it is, so only the slow one gathers it."""
        for price, size in bids:
            self.book.bids.set(price, size)
            self.slow_changes.bids[price] = size
        for price, size in asks:
            self.book.asks.set(price, size)
            self.slow_changes.asks[price] = size
        self.book.update_id = last_id
        self.fast_changes.skip(last_id)

    def add_trade(self, trade: Trade) -> AggTrade | None:
        """Take a trade in; returns the aggregate it ended, if it does not belong to it."""
        self.trades.append(trade)
        self.bars.add(trade)
        kept = self._aggregate
        if (
            kept is not None
            and kept.price == trade.price
            and kept.time_ms == trade.time_ms
            and kept.buyer_is_maker == trade.buyer_is_maker
        ):
            self._aggregate = kept._replace(size=kept.size + trade.size, last_id=trade.id)
            return None
        ended = self.end_aggregate()
        self._aggregate = AggTrade(
            self._next_agg_id, trade.price, trade.size, trade.id, trade.id, trade.time_ms, trade.buyer_is_maker
        )
        self._next_agg_id += 1
        return ended

    def end_aggregate(self) -> AggTrade | None:
        """The aggregate under construction is complete: nothing more will join it."""
        ended, self._aggregate = self._aggregate, None
        if ended is not None:
            self.agg_trades.append(ended)
        return ended
