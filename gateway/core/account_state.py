"""What has changed of an account between two looks at it: pure.

Holds the comparison, in exact decimals, and what a change is. Must not know a message, a clock, or how an account is
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.core.private import Closing, Holding, Standing

# Of a position, what makes it another one than before. Its mark and profit move with every tick: they are the equity's.
FIELDS: Final = {"type": "side", "volume": "volume", "price": "price", "sl": "sl", "tp": "tp"}


class Step(NamedTuple):
    """A value before and after; None: not known, or none."""

    old: Any
    new: Any


class Closed(NamedTuple):
    ticket: int
    price: Decimal | None
    profit: Decimal | None


class Opened(NamedTuple):
    position: Holding


class Modified(NamedTuple):
    ticket: int
    changes: Mapping[str, Step]


class Updated(NamedTuple):
    """Of the account itself."""

    changes: Mapping[str, Step]


Change: TypeAlias = Closed | Opened | Modified | Updated


def gone(old: Standing, new: Standing) -> list[int]:
    """Tickets that were open and are not any more."""
    return sorted(old.positions.keys() - new.positions.keys())


def compare(old: Standing, new: Standing, closings: Mapping[int, Closing]) -> list[Change]:
    """What leads from the one to the other: what was closed, then what is open, by ticket, then the money.

    A position of which `closings` does not know the end has ended at what it was worth when it was last seen.
    """
    changes: list[Change] = []
    for ticket in gone(old, new):
        seen, end = old.positions[ticket], closings.get(ticket)
        changes.append(Closed(ticket, *((seen.mark, seen.profit) if end is None else (end.price, end.profit))))
    for ticket in sorted(new.positions):
        now, before = new.positions[ticket], old.positions.get(ticket)
        if before is None or before.symbol != now.symbol:  # another symbol is another position, whoever numbers them
            changes.append(Opened(now))
            continue
        fields = ((name, getattr(before, field), getattr(now, field)) for name, field in FIELDS.items())
        if steps := _steps(fields):
            changes.append(Modified(ticket, steps))
    if figures := _steps(_both(old.figures, new.figures)):
        changes.append(Updated(figures))
    return changes


def describe(standing: Standing) -> list[Change]:
    """All of it, for who knows nothing yet: as if everything had just begun."""
    figures = {name: Step(None, value) for name, value in standing.figures.items()}
    return [Updated(figures), *(Opened(each) for _, each in sorted(standing.positions.items()))]


def _both(
    old: Mapping[str, Decimal | None], new: Mapping[str, Decimal | None]
) -> Iterator[tuple[str, Decimal | None, Decimal | None]]:
    """Figures of either, those of the new one first: one that is not there any more is not known any more."""
    for name in dict.fromkeys([*new, *old]):
        yield name, old.get(name), new.get(name)


def _steps(fields: Iterable[tuple[str, Any, Any]]) -> dict[str, Step]:
    """Those that differ; 1.0 and 1.00 do not."""
    return {name: Step(before, after) for name, before, after in fields if before != after}
