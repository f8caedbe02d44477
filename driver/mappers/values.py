"""Times and numbers of the gateway's wire as ccxt has them, and back. Pure. Must not know a structure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ccxt.base.errors import BadRequest, InvalidOrder

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
TIME_MS_MAX: Final = 253_402_300_000_000  # in the last second of the year 9999

DIGITS_MAX: Final = 18  # before the point, and after it: the gateway takes no more


def milliseconds(text: str | None) -> int | None:
    """A time such as `2026-02-07T14:30:00.123Z` in milliseconds since the epoch."""
    return None if text is None else (datetime.fromisoformat(text) - EPOCH) // MILLISECOND


def iso8601(time_ms: float | None) -> str | None:
    """The other way round."""
    if time_ms is None:
        return None
    text = (EPOCH + int(time_ms) * MILLISECOND).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def whole(name: str, value: Any) -> int:
    """A number of milliseconds or rows; programs compute them with floats. Raises BadRequest for anything else."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number <= TIME_MS_MAX:
        raise BadRequest(f"tickwire: {name}: an integer of 0 or more, not {value!r}")
    return number


def above_zero(name: str, value: Any) -> Decimal:
    """An amount or a price of an order, of whatever kind of number or text. Raises InvalidOrder for what is none."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0 or not -DIGITS_MAX <= number.adjusted() < DIGITS_MAX:
        raise InvalidOrder(
            f"tickwire: {name}: a number above 0, of at most {DIGITS_MAX} digits, not {str(value)[:64]!r}"
        )
    return number


def plain(value: Decimal) -> str:
    """Digits and a point, without zeros that say nothing."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text_or_none(number: object) -> str | None:
    return None if number is None else str(number)
