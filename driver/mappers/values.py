"""Times and numbers of the gateway's wire as ccxt has them, and back. Pure. Must not know a structure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds(text: str | None) -> int | None:
    """A time such as `2026-02-07T14:30:00.123Z` in milliseconds since the epoch."""
    return None if text is None else (datetime.fromisoformat(text) - EPOCH) // MILLISECOND


def iso8601(time_ms: float | None) -> str | None:
    """The other way round."""
    if time_ms is None:
        return None
    text = (EPOCH + int(time_ms) * MILLISECOND).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def plain(value: Decimal) -> str:
    """Digits and a point, without zeros that say nothing."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text_or_none(number: object) -> str | None:
    return None if number is None else str(number)
