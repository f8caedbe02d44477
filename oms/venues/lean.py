"""ccxt's class of Binance where most of an order's time went: spot orders are read by `binance_spot`.

Holds which of ccxt's methods are gone around, and when. Must not know the venue contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from oms.venues import binance_spot

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class LeanBinance:
    """Goes in front of `VenueMixin` and ccxt's binance, for who trades: others are told more by ccxt.

    Whatever it does not know is done as ccxt does it.
    """

    markets: Mapping[str, Any]
    markets_by_id: Mapping[str, Any]
    orders: Any
    myTrades: Any  # noqa: N815 - ccxt's name
    safe_currency_code: Callable[[str | None], str | None]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._requests: dict[tuple[object, ...], dict[str, Any]] = {}  # that ccxt has made, by what they have in common

    # What is sent

    def create_order_request(
        self,
        symbol: str,
        type: str,  # noqa: A002 - ccxt's name
        side: str,
        amount: Any,
        price: Any = None,
        params: Any = NOTHING,
    ) -> Any:
        """Of orders that differ in numbers and names only, ccxt makes the first one's."""
        made = super().create_order_request  # type: ignore[misc]  # ccxt's class comes behind the mixin
        name = params.get("clientOrderId")
        if not name or not params.keys() <= binance_spot.OWN:
            return made(symbol, type, side, amount, price, params)
        kind = symbol, type, side, price is None, *(params.get(each) for each in ("timeInForce", "postOnly"))
        own = {"newClientOrderId": name, "quantity": self.amount_to_precision(symbol, amount)}
        if price is not None:
            own["price"] = self.price_to_precision(symbol, price)
        first = self._requests.get(kind)
        if first is not None:
            return {**first, **own}
        request = made(symbol, type, side, amount, price, params)
        if request == {**request, **own} and self.markets[symbol]["spot"]:
            self._requests[kind] = dict(request)
        return request

    def urlencode(self, params: Any = NOTHING, *args: Any) -> Any:
        plain = None if args else binance_spot.query(params)
        return plain or super().urlencode(params, *args)  # type: ignore[misc]  # as above

    # What is heard

    def handle_message(self, client: Any, message: Any) -> None:
        """Of the user stream, reports go to who listens; balances nobody asks for."""
        event = message.get("event") if isinstance(message, dict) else None
        kind = event.get("e") if isinstance(event, dict) else None
        if kind in binance_spot.BALANCES or (kind == binance_spot.REPORT and self._tell(event)):
            return
        super().handle_message(client, message)  # type: ignore[misc]  # as above

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
