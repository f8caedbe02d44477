"""A seeded market: orders arrive at random, rest, are cancelled, or trade against the book.

Deterministic: the same seed and the same steps make the same book and the same trades. No clock, no streams.
"""

import random

from loadtest.exchange.bars import Trade
from loadtest.exchange.book import Side
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Market, Spec
from loadtest.exchange.matching import Matcher

LEVELS_AT_OPEN = 200
LEVELS_MIN = 150
LEVELS_MAX = 1_000
ORDER_VALUE = 400
TRADE_SHARE = 0.15
CANCEL_SHARE = 0.40
IMPROVE_SHARE = 0.30
# Mean rank of an order behind the best price is 1 / this.
DISTANCE_RATE = 0.12
# Levels lie about one part in this of the price apart, or a tick.
SPACING_PARTS = 500_000
LEAN_MAX = 0.15

# Base asset, opening price, price decimals, size decimals: the familiar names first.
_KNOWN = (
    ("BTC", 60_000, 2, 5),
    ("ETH", 3_000, 2, 4),
    ("BNB", 550, 2, 3),
    ("SOL", 150, 2, 3),
    ("XRP", 0.6, 4, 0),
    ("ADA", 0.45, 4, 1),
    ("DOGE", 0.12, 5, 0),
    ("AVAX", 27, 2, 2),
    ("LINK", 13, 2, 2),
    ("LTC", 70, 2, 3),
)


def _spec(base: str, price_decimals: int, size_decimals: int) -> Spec:
    return Spec(base, "USDT", ONE // 10**price_decimals, ONE // 10**size_decimals)


def listing(count: int, seed: int) -> list[tuple[Spec, int]]:
    """The first `count` markets and their opening prices in ticks: known names, then generated ones."""
    markets = []
    for base, price, price_decimals, size_decimals in _KNOWN[:count]:
        spec = _spec(base, price_decimals, size_decimals)
        markets.append((spec, round(price * ONE) // spec.tick))
    rng = random.Random(f"listing {seed}")  # noqa: S311 - a reproducible market, no secret
    for number in range(len(_KNOWN) + 1, count + 1):
        markets.append((_spec(f"SIM{number:04d}", 2, 3), rng.randrange(500, 50_000)))
    return markets


class Generator:
    """Random arrivals in one market."""

    def __init__(self, market: Market, opening_ticks: int, seed: int, first_trade_id: int = 1) -> None:
        self._market = market
        self.matcher = Matcher(market, shown=True, first_trade_id=first_trade_id)
        self._tick = market.spec.tick
        self._step = market.spec.step
        self._rng = random.Random(f"{market.spec.symbol} {seed}")  # noqa: S311 - a reproducible market, no secret
        self._lean = 0.0
        self._spacing = max(1, round(opening_ticks / SPACING_PARTS)) * self._tick
        mid = opening_ticks * self._tick
        self._mean_lots = max(1.0, ORDER_VALUE * ONE / mid * ONE / self._step)
        bids, asks = [], []
        for distance in range(1, LEVELS_AT_OPEN + 1):
            away = distance * self._spacing
            if mid > away:
                bids.append((mid - away, self._size()))
            asks.append((mid + away, self._size()))
        market.load_book(LEVELS_AT_OPEN * 2, bids, asks)

    def wait_s(self, rate: float) -> float:
        """How long until the next arrival at `rate` arrivals a second."""
        return self._rng.expovariate(rate)

    def arrive(self, now_ms: int) -> list[Trade]:
        """One order arrives or goes; returns the trades it made."""
        rng = self._rng
        self._lean = min(LEAN_MAX, max(-LEAN_MAX, self._lean + rng.gauss(0.0, 0.02)))
        kind = rng.random()
        if kind < TRADE_SHARE:
            return self.take(self._size(), now_ms, buy=rng.random() < 0.5 + self._lean)
        bid = rng.random() < 0.5 + self._lean / 2
        side = self._market.book.bids if bid else self._market.book.asks
        if len(side) > LEVELS_MAX:
            self._leave(side.price_at(len(side) - 1), 0, bid=bid)
        elif kind < TRADE_SHARE + CANCEL_SHARE and len(side) > LEVELS_MIN:
            self._cancel(side, bid=bid)
        else:
            self._add(side, bid=bid)
        return []

    def take(self, size: int, now_ms: int, *, buy: bool) -> list[Trade]:
        """A market order of `size`; what the book cannot fill is dropped. One level of the crowd always stays."""
        plan = self.matcher.plan(buy=buy, qty=size)
        return self.matcher.execute(plan, now_ms, buy=buy)

    def touch(self) -> None:
        """Change the size at the best bid: the smallest event that every book stream shows."""
        price = self._market.book.bids.price_at(0)
        self.matcher.set_crowd(price, self.matcher.crowd(price, bid=True) + self._step, bid=True)

    def _size(self) -> int:
        return (1 + int(self._rng.expovariate(1 / self._mean_lots))) * self._step

    def _add(self, side: Side, *, bid: bool) -> None:
        best = self._market.book.best()
        assert best is not None
        outward = -self._tick if bid else self._tick
        spread_ticks = (best.ask - best.bid) // self._tick
        if spread_ticks > 1 and self._rng.random() < IMPROVE_SHARE:
            price = side.price_at(0) - outward * self._rng.randrange(1, spread_ticks)
        else:
            ticks = int(self._rng.expovariate(DISTANCE_RATE) * self._spacing / self._tick)
            price = side.price_at(0) + outward * ticks
        price = max(price, self._tick)
        self.matcher.set_crowd(price, self.matcher.crowd(price, bid=bid) + self._size(), bid=bid)

    def _cancel(self, side: Side, *, bid: bool) -> None:
        price = side.price_at(min(int(self._rng.expovariate(DISTANCE_RATE)), len(side) - 1))
        lots = self.matcher.crowd(price, bid=bid) // self._step
        left = self._rng.randrange(lots) if self._rng.random() < 0.5 and lots else 0
        self._leave(price, left * self._step, bid=bid)

    def _leave(self, price: int, left: int, *, bid: bool) -> None:
        """The crowd goes down to `left` at a price, unless it is nowhere else: many levels may be all of users."""
        if left or not self.matcher.is_last_of_crowd(price, bid=bid):
            self.matcher.set_crowd(price, left, bid=bid)
