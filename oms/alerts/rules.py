"""A rule on the price of a symbol: how it reads, and what is told when it is met.

Pure. Must not know when it is met (`watchlist`), SQL, or who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oms import render
from oms.model import Alert, AlertType

WINDOWS_S: Final = (60, 300, 900, 3_600, 14_400, 86_400)  # few, because each keeps its own lowest and highest


def told(alert: Alert) -> Mapping[str, Any]:
    """The data of the event that it was met."""
    assert alert.triggered_ns is not None
    return {
        "alert_id": alert.id,
        "type": alert.type,
        "message": alert.message or described(alert),
        "symbol": alert.symbol,
        "triggered_at": render.moment(alert.triggered_ns),
    }


def described(alert: Alert) -> str:
    """A sentence for who gave none."""
    level = render.number(alert.level)
    at = "" if alert.triggered_price is None else f" is at {render.number(alert.triggered_price)}:"
    if alert.type is AlertType.PERCENT_CHANGE:
        return f"{alert.symbol}{at} {level} % within {alert.window_s} s"
    return f"{alert.symbol}{at} {alert.type} {level}"
