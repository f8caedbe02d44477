"""Positions made anew of all deals: what a stored one must be equal to, whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oms.model import Deal, Instrument, Position
from oms.positions import fee_base, fold, opened


def rebuild(deals: Iterable[Deal], instrument: Callable[[str], Instrument]) -> dict[int, Position]:
    """All positions by id, from deals in the order they were booked. Names, stops and keys are not in deals."""
    positions: dict[int, Position] = {}
    for deal in deals:
        traded = instrument(deal.symbol)
        position = positions.get(deal.position_id) or opened(deal, traded, None)
        positions[deal.position_id], _ = fold(position, deal, fee_base(traded))
    return positions
