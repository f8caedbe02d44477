"""What the venue should hold by our deals against what it says it holds.

Pure arithmetic, and the memory of what was seen: a difference counts when it is seen twice, and is told once. Must not
know a venue, nor when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext

from oms.model import ZERO, Deal, Instrument, Position
from oms.positions import AMOUNT_STEP, CONTEXT
from oms.report import Mismatch
from oms.venues.base import VenuePosition


class Seen:
    """Differences of the last run and of those that were told."""

    def __init__(self) -> None:
        self._last: dict[str, Mismatch] = {}
        self._told: dict[str, Decimal] = {}

    def again(self, found: Iterable[Mismatch]) -> list[Mismatch]:
        """Those by as much as the last time that were not told yet. What is gone may be told anew one day."""
        now = {mismatch.name: mismatch for mismatch in found}
        twice = [
            mismatch
            for name, mismatch in now.items()
            if name in self._last and _off(self._last[name]) == _off(mismatch)
        ]
        fresh = [mismatch for mismatch in twice if self._told.get(mismatch.name) != _off(mismatch)]
        self._last = now
        self._told = {name: off for name, off in self._told.items() if name in now}
        self._told |= {mismatch.name: _off(mismatch) for mismatch in fresh}
        return fresh


def _off(mismatch: Mismatch) -> Decimal:
    return mismatch.actual - mismatch.expected


def compare_positions(
    ours: Iterable[Position], theirs: Iterable[VenuePosition], symbols: Iterable[str]
) -> list[Mismatch]:
    """Of these symbols, all of ours against all of theirs: the venue knows nothing of strategies."""
    expected: dict[str, Decimal] = {}
    actual: dict[str, Decimal] = {}
    for position in ours:
        expected[position.symbol] = expected.get(position.symbol, ZERO) + position.qty
    for held in theirs:
        actual[held.symbol] = actual.get(held.symbol, ZERO) + held.qty
    return [
        Mismatch(symbol=symbol, expected=expected.get(symbol, ZERO), actual=actual.get(symbol, ZERO))
        for symbol in sorted(symbols)
        if expected.get(symbol, ZERO) != actual.get(symbol, ZERO)
    ]


def flows(deals: Iterable[tuple[Deal, Instrument]]) -> dict[str, Decimal]:
    """By how much spot deals change each currency."""
    changed: dict[str, Decimal] = {}
    with localcontext(CONTEXT):
        for deal, instrument in deals:
            for currency, change in (
                (instrument.base, deal.side.sign * deal.qty),
                (instrument.quote, -deal.side.sign * deal.qty * deal.price),
                (deal.fee_currency or instrument.quote, -deal.fee),
            ):
                changed[currency] = changed.get(currency, ZERO) + change
    return changed


def compare_balances(
    before: Mapping[str, Decimal], changed: Mapping[str, Decimal], after: Mapping[str, Decimal], names: Iterable[str]
) -> list[Mismatch]:
    """Of these currencies, what was there with what deals made of it, against what is there."""
    expected = {name: (before.get(name, ZERO) + changed.get(name, ZERO)).quantize(AMOUNT_STEP) for name in names}
    return [
        Mismatch(currency=name, expected=expected[name].normalize(), actual=after.get(name, ZERO))
        for name in sorted(expected)
        if expected[name] != after.get(name, ZERO)
    ]
