"""Which parameters each signed request has: Binance refuses what it does not read, rather than leave it.

Pure. Knows names, not what they mean.
"""

from collections.abc import Collection

from loadtest.exchange.params import BinanceError

_SIGNED = frozenset({"timestamp", "recvWindow", "signature"})
_NEW = frozenset({
    *("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId"),
    *("strategyId", "strategyType", "stopPrice", "trailingDelta", "icebergQty", "newOrderRespType"),
    "selfTradePreventionMode",
})  # fmt: skip
_ROWS = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})
PARAMETERS = {
    ("GET", "account"): frozenset({"omitZeroBalances"}),
    ("POST", "order"): _NEW,
    ("POST", "order/test"): _NEW | {"computeCommissionRates"},
    ("GET", "order"): frozenset({"symbol", "orderId", "origClientOrderId"}),
    ("DELETE", "order"): frozenset({
        "symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions",
    }),
    ("POST", "order/cancelReplace"): _NEW | {
        "cancelReplaceMode", "cancelNewClientOrderId", "cancelOrigClientOrderId", "cancelOrderId", "cancelRestrictions",
    },
    ("GET", "openOrders"): frozenset({"symbol"}),
    ("DELETE", "openOrders"): frozenset({"symbol"}),
    ("GET", "allOrders"): _ROWS,
    ("GET", "myTrades"): _ROWS | {"fromId"},
}  # fmt: skip


def check(method: str, path: str, sent: Collection[str]) -> None:
    """Raises BinanceError when a parameter was sent that this request does not read."""
    read = len((PARAMETERS[method, path] | _SIGNED) & set(sent))
    if read < len(sent):
        text = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'."
        raise BinanceError(-1104, text)
