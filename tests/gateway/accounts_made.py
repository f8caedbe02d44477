"""How accounts stand, for tests: what is not given is something ordinary."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple


class Holding(NamedTuple):
    ticket: int
    symbol: str = "EURUSD"
    side: str = "buy"
    volume: Decimal = Decimal("1.0")
    price: Decimal | None = Decimal("1.085")
    sl: Decimal | None = None
    tp: Decimal | None = None
    mark: Decimal | None = None
    profit: Decimal | None = None


class Standing(NamedTuple):
    figures: Mapping[str, Decimal | None]
    positions: Mapping[int, Holding]


class Ending(NamedTuple):
    price: Decimal | None
    profit: Decimal | None


def standing(balance: str = "1000", *positions: Holding, **figures: Any) -> Standing:
    return Standing({"balance": Decimal(balance), **figures}, {each.ticket: each for each in positions})
