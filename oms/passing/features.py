"""What ccxt's `features` says of a market kind, true of what is called here: orders and lists are the OMS's.

Pure. Must not know an exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from oms.passing.arguments import ORDERS_MAX, ROWS_MAX

_LISTED: Final = {"marginMode": False, "symbolRequired": False}
_ROWS: Final = {"limit": ROWS_MAX, "daysBack": None, "untilDays": None}
_KINDS: Final = {"trigger": False, "trailing": False}  # all there are, whatever kind an order is of
# What is an exchange's own (which times in force, whether an order may wait to take a profit) stays as it says.
OURS: Final[Mapping[str, Mapping[str, Any]]] = {
    "createOrder": {
        "marginMode": False, "triggerPrice": True, "triggerPriceType": None, "triggerDirection": False,
        "stopLossPrice": True,
        "attachedStopLossTakeProfit": {"triggerPriceType": None, "price": False}, "leverage": False,
        "marketBuyByCost": False, "marketBuyRequiresPrice": False, "selfTradePrevention": None, "trailing": False,
        "icebergAmount": False, "symbolRequired": True,
    },
    "createOrders": {"max": ORDERS_MAX},
    "fetchOrder": {**_LISTED, **_KINDS},
    "fetchOpenOrders": {**_LISTED, **_KINDS, "limit": ROWS_MAX},
    "fetchOrders": {**_LISTED, **_KINDS, **_ROWS},
    "fetchClosedOrders": {**_LISTED, **_KINDS, **_ROWS, "daysBackCanceled": None},
    "fetchCanceledOrders": {**_LISTED, **_KINDS, **_ROWS},
    "fetchMyTrades": {**_LISTED, **_ROWS},
}  # fmt: skip


def features_here(told: Any) -> Any:
    """The `features` that ccxt tells of an exchange, by kind of market, as they are here. None stays None."""
    if not isinstance(told, dict):
        return told
    if not told.keys() & OURS.keys():  # kinds of markets, and of contracts
        return {kind: features_here(each) for kind, each in told.items()}
    return {**told, **{name: {**(told.get(name) or {}), **ours} for name, ours in OURS.items()}}
