"""What the markets did, computed in plain Python from what was recorded or traded: the truth of these tests.

Imports nothing of ours.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple


class Trade(NamedTuple):
    """One recorded trade, prices as recorded."""

    id: int
    time_ms: int
    price: Decimal
    size: Decimal
    side: str


class Best(NamedTuple):
    """Best prices and sizes at an update id."""

    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal


class Diff(NamedTuple):
    """The event time and the last update id of a depth message."""

    event_ms: int
    update_id: int


class Bar(NamedTuple):
    """One bar as exact arithmetic has it."""

    open: float
    high: float
    low: float
    close: float
    volume: Fraction
    vwap: Fraction


class Recording:
    """The recorded messages of one market."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.trades: list[Trade] = []
        self.diffs: list[Diff] = []
        self.bests: dict[int, Best] = {}
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        self._early: list[dict[str, Any]] = []  # diffs that came before the snapshot
        self._applied = 0
        for path in paths:
            for message in read(path):
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("stream", "").partition("@")[2]
        data = message.get("data", message)
        if kind == "trade":
            side = "sell" if data["m"] else "buy"
            self.trades.append(Trade(data["t"], data["T"], Decimal(data["p"]), Decimal(data["q"]), side))
        elif kind == "bookTicker":
            self.bests[data["u"]] = Best(*(Decimal(data[name]) for name in "bBaA"))
        elif kind:
            self.diffs.append(Diff(data["E"], data["u"]))
            if self._applied:
                self._follow(data)
            else:
                self._early.append(data)
        elif not self._applied:
            self._applied = data["lastUpdateId"]
            self._apply(data["bids"], data["asks"])
            for early in self._early:
                self._follow(early)

    def _follow(self, diff: dict[str, Any]) -> None:
        """As the exchange documents: older diffs are in the snapshot, the first newer one may overlap it."""
        if diff["u"] > self._applied:
            assert diff["U"] <= self._applied + 1, "the recording has a hole"
            self._apply(diff["b"], diff["a"])
            self._applied = diff["u"]

    def _apply(self, *changes: list[list[str]]) -> None:
        for side, levels in zip(self._sides, changes, strict=True):
            for price, size in levels:
                if Decimal(size):
                    side[Decimal(price)] = Decimal(size)
                else:
                    side.pop(Decimal(price), None)

    def final(self, depth: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """The book after the last diff, best first: bids and asks."""
        bids, asks = self._sides
        return sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]

    def bars(self, interval_ms: int) -> dict[int, Bar]:
        """Every bar by its start."""
        groups: dict[int, list[Trade]] = {}
        for trade in self.trades:
            groups.setdefault(trade.time_ms - trade.time_ms % interval_ms, []).append(trade)
        return {start_ms: bar_of(trades) for start_ms, trades in groups.items()}


def bar_of(trades: list[Trade]) -> Bar:
    prices = [float(trade.price) for trade in trades]
    volume = sum((Fraction(trade.size) for trade in trades), Fraction(0))
    value = sum((Fraction(trade.price) * Fraction(trade.size) for trade in trades), Fraction(0))
    return Bar(prices[0], max(prices), min(prices), prices[-1], volume, value / volume)


def assert_same(told: dict[str, Any], expected: Bar) -> None:
    """A bar as the gateway tells it, up to the rounding of a double."""
    assert [told[name] for name in ("open", "high", "low", "close")] == list(expected[:4])
    for name, exact in (("volume", expected.volume), ("vwap", expected.vwap)):
        assert abs(Fraction(told[name]) - exact) <= exact / 10**14, told


def iso(time_ms: int) -> str:
    """A time as the protocol writes it."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        for line in file:
            yield json.loads(line.partition(b" ")[2])
