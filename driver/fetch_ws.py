"""`fetch*Ws`: what programs ask over the socket at exchanges that have that; here it is asked by REST.

Must not know what any of it does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

FETCHED: Final = (
    *("order", "orders", "open_orders", "closed_orders", "my_trades", "balance"),
    *("position", "positions", "positions_for_symbol"),
    *("ticker", "tickers", "order_book", "trades", "ohlcv", "currencies", "markets", "trading_fees"),
)
# As ccxt spells them in `has`.
FETCH_WS: Final = (
    *("fetchOrderWs", "fetchOrdersWs", "fetchOpenOrdersWs", "fetchClosedOrdersWs", "fetchMyTradesWs"),
    *("fetchBalanceWs", "fetchPositionWs", "fetchPositionsWs", "fetchPositionsForSymbolWs", "fetchTickerWs"),
    *("fetchTickersWs", "fetchOrderBookWs", "fetchTradesWs", "fetchOHLCVWs", "fetchCurrenciesWs", "fetchMarketsWs"),
    "fetchTradingFeesWs",
)


class FetchWs:
    """See the module. The methods are put in below."""


def _asked_by_rest(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return await getattr(self, name)(*arguments, **named)

    method.__name__ = method.__qualname__ = f"{name}_ws"
    method.__doc__ = f"As `{name}`."
    return method


for _name in FETCHED:
    setattr(FetchWs, f"fetch_{_name}_ws", _asked_by_rest(f"fetch_{_name}"))
