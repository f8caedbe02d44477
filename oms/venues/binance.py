"""What is Binance's own, and ccxt does not hide.

Pure. Must not know ccxt's classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from oms.venues.requests import Create

KLASS: Final = "binance"
# Options of ccxt. A request that is late is refused: with this, one whose answer was lost is done or never will be
# before it is looked for the second time.
OPTIONS: Final[Mapping[str, Any]] = {"recvWindow": 5_000}
STREAM: Final[Mapping[str, str]] = {"type": "spot"}  # `authenticate` with this waits until the user stream has begun
WINDOW_MS: Final = 24 * 3_600_000  # the longest stretch of time that trades are listed of
PAGE_ROWS: Final = 1_000
# What an order on a spot market may carry beside its terms. None of it makes another kind of order of it.
PARAMS: Final = frozenset({"icebergQty", "selfTradePreventionMode", "strategyId", "strategyType"})
TAKE_PROFITS: Final[Mapping[str, str]] = {"market": "TAKE_PROFIT", "limit": "TAKE_PROFIT_LIMIT"}


def replacing(create: Create) -> Create:
    """A create as the new order of cancelReplace: of an order that is filled meanwhile, nothing is done."""
    changed, kind = dict(create.params), create.type
    if "triggerPrice" in changed:
        changed["stopPrice"] = changed.pop("triggerPrice")  # ccxt would send both, and one is one too many
    if "takeProfitPrice" in changed:  # which ccxt knows of orders that are created only
        changed["stopPrice"] = changed.pop("takeProfitPrice")
        kind = TAKE_PROFITS[kind]
    return replace(create, type=kind, params={**changed, "cancelRestrictions": "ONLY_NEW"})


def why_not_replaced(body: str) -> Mapping[str, Any] | None:
    """The error inside the answer of a cancelReplace that failed, of the part that failed first."""
    try:
        data = json.loads(body)["data"]
        inner = data["newOrderResponse" if data["cancelResult"] == "SUCCESS" else "cancelResponse"]
    except (ValueError, KeyError, TypeError):
        return None
    return inner if isinstance(inner, dict) and "code" in inner else None
