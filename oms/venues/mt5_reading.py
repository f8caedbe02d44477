"""What MetaTrader 5 says of an account, in our words: pure.

Holds which fields count and how its binary numbers become decimals. Must not know how it was asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from oms.errors import OmsError
from oms.model import ZERO, Side
from oms.venues.base import Ending, Holding, Statement

Pairs: TypeAlias = Sequence[tuple[str, Any]]

FIGURES: Final = ("balance", "equity", "profit", "margin", "margin_free", "margin_level", "credit")
SIDES: Final = {0: Side.BUY, 1: Side.SELL}  # POSITION_TYPE_BUY, POSITION_TYPE_SELL
ENDS: Final = frozenset({1, 2, 3})  # DEAL_ENTRY_OUT, DEAL_ENTRY_INOUT, DEAL_ENTRY_OUT_BY
DIGITS_MAX: Final = 8


def statement(account: Pairs, positions: Iterable[Pairs]) -> Statement:
    """An `AccountInfo` and all `TradePosition`s. Raises OmsError for what is none."""
    try:
        told = dict(account)
        digits = min(int(told.get("currency_digits", 2)), DIGITS_MAX)
        figures: dict[str, Decimal | None] = {name: money(told[name], digits) for name in FIGURES if name in told}
        holdings = [_holding(dict(each), digits) for each in positions]
    except (KeyError, TypeError, ValueError) as error:
        raise _unclear(error) from None
    holds = {each.ticket: each for each in holdings}
    return Statement(figures=figures, holdings=holds, currency=str(told.get("currency", "")))


def ending(deals: Iterable[Pairs], digits: int = 2) -> Ending | None:
    """How a position ended, of its `TradeDeal`s: the price of the last that closed it, and what all of them made."""
    try:
        told = [dict(each) for each in deals]
        closing = [each for each in told if each["entry"] in ENDS]
        if not closing:
            return None
        last = max(closing, key=lambda each: (each["time_msc"], each["ticket"]))
        profits = [money(each["profit"], digits) for each in told]
        return Ending(price=number(last["price"]), profit=sum((each for each in profits if each is not None), ZERO))
    except (KeyError, TypeError, ValueError) as error:
        raise _unclear(error) from None


def login_of(account: Pairs) -> int:
    """Whose the terminal is."""
    return int(dict(account).get("login", 0))


def number(value: Any) -> Decimal | None:
    """The decimal that a binary number stands for: the shortest that is read as it. None: it is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"not a number: {type(value).__name__}")
    return Decimal(repr(value)) if math.isfinite(value) else None


def money(value: Any, digits: int) -> Decimal | None:
    """An amount with the digits that its currency has: sums of binary numbers have more, which mean nothing."""
    exact = number(value)
    return None if exact is None else round(exact, digits)


def _holding(told: Mapping[str, Any], digits: int) -> Holding:
    return Holding(
        ticket=int(told["ticket"]),
        symbol=str(told["symbol"]),
        side=SIDES[told["type"]],
        volume=number(told["volume"]) or ZERO,
        price=number(told["price_open"]),
        sl=number(told["sl"]),
        tp=number(told["tp"]),
        mark=number(told["price_current"]),
        profit=money(told["profit"], digits),
    )


def _unclear(error: Exception) -> OmsError:
    return OmsError("exchange_error", f"the terminal's answer is not understood: {error}")
