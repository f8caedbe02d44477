"""ccxt's class of Binance where most of an order's time went: spot orders are read by `binance_spot`.

Holds which of ccxt's methods are gone around, and when. Must not know the venue contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oms.venues import binance_spot


class LeanBinance:
    """Goes in front of `VenueMixin` and ccxt's binance, for who trades: others are told more by ccxt.

    Whatever it does not know is done as ccxt does it.
    """

    markets: Mapping[str, Any]
    markets_by_id: Mapping[str, Any]
    orders: Any
    myTrades: Any  # noqa: N815 - ccxt's name
    safe_currency_code: Callable[[str | None], str | None]

    def handle_message(self, client: Any, message: Any) -> None:
        """Of the user stream, reports go to who listens; balances nobody asks for."""
        event = message.get("event") if isinstance(message, dict) else None
        kind = event.get("e") if isinstance(event, dict) else None
        if kind in binance_spot.BALANCES or (kind == binance_spot.REPORT and self._tell(event)):
            return
        super().handle_message(client, message)  # type: ignore[misc]  # ccxt's class comes behind the mixin

    def _tell(self, event: Any) -> bool:
        symbol = self._spot_symbol(event.get("s"))
        if symbol is None:
            return False
        order, trade = binance_spot.report(event, symbol), None
        if event.get("x") == "TRADE":
            trade = binance_spot.trade(event, symbol, self.safe_currency_code)
            if trade is None:
                return False
        if order is None:
            return False
        if trade is not None:
            self.myTrades.tell(trade)
        self.orders.tell(order)
        return True

    def parse_order(self, order: Any, market: Any = None) -> Any:
        symbol = self._spot_symbol(order.get("symbol"))
        read = binance_spot.order(order, symbol) if symbol is not None else None
        return read or super().parse_order(order, market)  # type: ignore[misc]  # as above

    def _spot_symbol(self, market_id: Any) -> str | None:
        """ccxt's name of the spot market of this id; None when there is none."""
        named = (self.markets_by_id or {}).get(market_id) or ()
        return next((market["symbol"] for market in named if market["spot"]), None)

    def amount_to_precision(self, symbol: str, amount: Any) -> Any:
        return self._in_steps(symbol, amount, "amount") or super().amount_to_precision(symbol, amount)  # type: ignore[misc]  # as above

    def price_to_precision(self, symbol: str, price: Any) -> Any:
        return self._in_steps(symbol, price, "price") or super().price_to_precision(symbol, price)  # type: ignore[misc]  # as above

    def _in_steps(self, symbol: str, value: Any, name: str) -> str | None:
        market = self.markets.get(symbol) or {}
        return binance_spot.in_steps(value, market["precision"].get(name)) if market.get("spot") else None
