"""What the client says of itself: `describe()`, and `has` before and after the exchange behind has told its own.

Holds values and how they are put together. Pure. Must not know a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ccxt.base.decimal_to_precision import TICK_SIZE

# What goes by the gateway's own orders, whatever the exchange behind can do.
OMS_HAS: Final = dict.fromkeys(
    (
        *("createOrder", "createOrders", "createLimitOrder", "createMarketOrder", "createLimitBuyOrder"),
        *("createLimitSellOrder", "createMarketBuyOrder", "createMarketSellOrder", "createPostOnlyOrder"),
        *("createReduceOnlyOrder", "createStopOrder", "createStopLimitOrder", "createStopMarketOrder"),
        *("createTriggerOrder", "createStopLossOrder", "createOrderWithTakeProfitAndStopLoss", "editOrder"),
        *("cancelOrder", "cancelOrders", "cancelAllOrders", "cancelAllOrdersAfter", "cancelOrderWithClientOrderId"),
        *("fetchOrder", "fetchOrders", "fetchOpenOrder", "fetchOpenOrders", "fetchClosedOrder", "fetchClosedOrders"),
        *("fetchCanceledOrders", "fetchCanceledAndClosedOrders", "fetchOrderWithClientOrderId", "fetchMyTrades"),
        *("fetchOrderTrades", "fetchPosition", "fetchPositions", "fetchPositionsForSymbol", "fetchPositionsHistory"),
        *("fetchPositionHistory", "closePosition", "fetchBalance"),
    ),
    True,
)
# What the gateway does for nobody: money that leaves, loans, and orders that it does not have.
NEVER: Final = dict.fromkeys(
    (
        *("withdraw", "transfer", "deposit", "createDepositAddress", "signIn", "sandbox", "closeAllPositions"),
        *("borrowCrossMargin", "borrowIsolatedMargin", "borrowMargin", "repayCrossMargin", "repayIsolatedMargin"),
        *("createMarketBuyOrderWithCost", "createMarketOrderWithCost", "createMarketSellOrderWithCost"),
        *("createTrailingAmountOrder", "createTrailingPercentOrder", "createTwapOrder"),
        *("editOrders", "editOrderWithClientOrderId", "cancelOrdersForSymbols", "createConvertTrade", "createGiftCode"),
        *("createVault", "createSubAccount"),
    ),
    False,
)
# Of the exchange behind, until it has told: what nearly all have.
COMMON: Final = dict.fromkeys(
    (
        *("fetchMarkets", "fetchCurrencies", "fetchTicker", "fetchTickers", "fetchOrderBook", "fetchL2OrderBook"),
        *("fetchTrades", "fetchOHLCV", "fetchTime", "fetchTradingFee", "fetchTradingFees", "spot"),
        "createTakeProfitOrder",
    ),
    True,
)
# Also what is not in the list of has in every version of ccxt.
PASSED: Final = frozenset({
    *("set_leverage", "set_margin_mode", "set_position_mode", "set_margin", "add_margin", "reduce_margin"),
})  # fmt: skip
TAKE_PROFIT_WS: Final = "createTakeProfitOrderWs"
LOCAL: Final = frozenset({"fetchL2OrderBook"})  # ccxt makes it of another one
TIMEFRAMES: Final = {
    frame: frame
    for frame in (*("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),)
}
MARKET_TYPES: Final = ("spot", "swap", "future", "option", "index")
# What is taken over from the exchange behind, as it says.
TOLD: Final = ("timeframes", "precisionMode", "paddingMode", "features", "countries")
TOLD_ON_TOP: Final = ("fees", "limits")  # on top of what ccxt gives every exchange


def description() -> dict[str, Any]:
    """What `describe()` has beside what ccxt says of every exchange."""
    return {
        "id": "tickwire",
        "name": "Tickwire",
        "countries": [],
        "version": "v1",
        "rateLimit": 5,  # in ms: the gateway takes 200 requests a second of a key unless it is told otherwise
        "timeout": 15_000,  # in ms: longer than the 10 s after which the gateway answers that something still runs
        "has": {**COMMON, **OMS_HAS, **NEVER},
        "hostname": "127.0.0.1:8765",
        "urls": {
            "logo": "",
            "api": {"rest": "http://{hostname}", "ws": "ws://{hostname}/v1/stream"},
            "doc": [],
        },
        "requiredCredentials": {"apiKey": True, "secret": False},
        "timeframes": dict(TIMEFRAMES),
        "precisionMode": TICK_SIZE,
        "quoteJsonNumbers": False,  # without orjson ccxt would make texts of the numbers of an answer
        "substituteCommonCurrencyCodes": False,
        "options": {},
    }


def has_of(behind: Mapping[str, Any], own: Mapping[str, Any], known: Iterable[str] = ()) -> dict[str, Any]:
    """`has`, once the exchange behind has told its own; `own` is what the client does by itself.

    What needs a socket is the client's own, or None; so is what is only `known`: ccxt's own methods look for it.
    """
    passed = {name: None if is_of_socket(name) else value for name, value in behind.items()}
    has = {**dict.fromkeys(known), **passed, **OMS_HAS, **NEVER, **own}
    if TAKE_PROFIT_WS in own:  # over the socket, what there is of it at all
        has[TAKE_PROFIT_WS] = has.get("createTakeProfitOrder")
    return has


def is_of_socket(name: str) -> bool:
    return name.startswith(("watch", "unWatch")) or name.endswith("Ws") or name == "ws"
