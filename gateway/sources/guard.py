"""Whether an order book may be served: crossed, going back, or contradicted by the trades that print.

Pure: time (ms) is passed in. Must not know ccxt, keys or subscribers.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

Side = Sequence[Sequence[float]]
Level = tuple[float, float]  # price and size

TRADES_MIN: Final = 3  # a single odd print (hidden liquidity, a block trade) is no proof against a book
APART_MS: Final = 1_000  # exchange time between a trade and the book it is held against


class Verdict(Enum):
    SERVE = 0
    HOLD = 1  # not now, perhaps after the next message
    BROKEN = 2  # throw it away and subscribe again


class BookGuard:
    """The judge of one book during one subscription."""

    def __init__(self, *, contradiction_ms: int, crossed_ms: int) -> None:
        self._contradiction_ms = contradiction_ms
        self._crossed_ms = crossed_ms
        self._nonce: int | None = None
        self._ts_ms: int | None = None  # the exchange's time of the state
        self._best: tuple[float, float] | None = None
        self._state: tuple[int | None, Level | None, Level | None] | None = None  # a state that differs has moved
        self._crossed_since_ms: float | None = None
        # Trades since the book last moved, and trades in a row outside its best prices: (first at, how many)
        self._since_still: tuple[float, int] | None = None
        self._since_outside: tuple[float, int] | None = None
        self.why = ""

    def book(self, bids: Side, asks: Side, nonce: int | None, ts_ms: int | None, now_ms: float) -> Verdict:
        """Judge a new state, best prices first, of the exchange's time `ts_ms`."""
        if nonce is not None:
            if self._nonce is not None and nonce < self._nonce:
                return self._broken(f"nonce went back from {self._nonce} to {nonce}")
            self._nonce = nonce
        self._ts_ms = ts_ms
        # A poll, and some exchanges, tell again what they told.
        state = (nonce, _first(bids), _first(asks))
        if state != self._state:
            self._state, self._since_still = state, None
        if not bids or not asks:
            self._best = self._crossed_since_ms = None
            return Verdict.SERVE
        bid, ask = bids[0][0], asks[0][0]
        if bid >= ask:
            self._best = None
            return self._crossed(bid, ask, now_ms)
        self._crossed_since_ms = None
        self._best = (bid, ask)
        return self.check(now_ms)

    def trade(self, price: float, ts_ms: int | None, now_ms: float) -> Verdict:
        """Judge the book by a trade that printed."""
        first_ms, count = self._since_still or (now_ms, 0)
        self._since_still = (first_ms, count + 1)
        if self._best is not None and self._comparable(ts_ms):
            if self._best[0] <= price <= self._best[1]:
                self._since_outside = None
            else:
                first_ms, count = self._since_outside or (now_ms, 0)
                self._since_outside = (first_ms, count + 1)
                # Only now: one sweep ahead of the book, and then no trade, is no proof however long it lasts.
                if self._proves(self._since_outside, now_ms):
                    return self._broken(f"is contradicted by {count + 1} trades")
        return self.check(now_ms)

    def check(self, now_ms: float) -> Verdict:
        """Judge by what is known."""
        if self._crossed_since_ms is not None and now_ms - self._crossed_since_ms > self._crossed_ms:
            return self._broken("crossed")
        if self._since_still is not None and self._proves(self._since_still, now_ms):
            return self._broken(f"stands still while {self._since_still[1]} trades printed")
        return Verdict.SERVE if self._crossed_since_ms is None else Verdict.HOLD

    def _proves(self, since: tuple[float, int], now_ms: float) -> bool:
        first_ms, count = since
        return count >= TRADES_MIN and now_ms - first_ms > self._contradiction_ms

    def _comparable(self, ts_ms: int | None) -> bool:
        """Two connections may be apart, a replay far more so: a price is held against a book of the same time only."""
        return ts_ms is None or self._ts_ms is None or abs(ts_ms - self._ts_ms) <= APART_MS

    def _crossed(self, bid: float, ask: float, now_ms: float) -> Verdict:
        if self._crossed_since_ms is None:
            self._crossed_since_ms = now_ms
        if now_ms - self._crossed_since_ms >= self._crossed_ms:
            return self._broken(f"crossed: bid {bid} reaches ask {ask}")
        return Verdict.HOLD

    def _broken(self, why: str) -> Verdict:
        self.why = why
        return Verdict.BROKEN


def _first(side: Side) -> Level | None:
    """A copy: ccxt changes the levels it gave."""
    return (side[0][0], side[0][1]) if side else None
