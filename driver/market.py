"""What the exchange behind says: its description, markets, prices, balances, and every other unified method it has.

Holds what is passed through, and what of an answer is kept. Must not know the gateway's own orders.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from ccxt.base.exchange import Exchange

from driver.asking import Asking
from driver.description import LOCAL, MARKET_TYPES, PASSED, TOLD, TOLD_ON_TOP, has_of, is_of_socket
from driver.fallback import positional
from driver.plan import Params, Plan, unified


class Market(Asking):
    """See the module."""

    own_has: Mapping[str, Any] = {}  # what a kind of client does by itself, on top of all others
    has: dict[str, Any]
    described: Mapping[str, Any] | None = None  # what the exchange behind says of itself, once it was asked

    @unified
    def fetch_markets(self, params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """The markets of the exchange behind; with them comes what it is and can."""
        self.take_over((yield from self.pass_through("describe", api="public")))
        markets: list[dict[str, Any]] = yield from self.pass_through("fetch_markets", (), params, api="public")
        return markets

    @unified
    def fetch_currencies(self, params: Params = {}) -> Plan[dict[str, Any]]:
        """The currencies of the exchange behind, as far as it tells any."""
        if self.described is None:  # load_markets asks for them before it asks for markets
            self.take_over((yield from self.pass_through("describe", api="public")))
        if self.has["fetchCurrencies"] is not True:
            return {}
        return (yield from self.pass_through("fetch_currencies", (), params, api="public")) or {}

    @unified
    def fetch_balance(self, params: Params = {}) -> Plan[dict[str, Any]]:
        """What the account has at the exchange."""
        balance: dict[str, Any] = yield from self.pass_through_core("fetch_balance", {"params": dict(params)})
        return balance

    @unified
    def fetch_ticker(self, symbol: str, params: Params = {}) -> Plan[dict[str, Any]]:
        """The ticker; one that is younger than options['ticker_cache_ms'] (none by default) is told again."""
        age_ms = float(self.options.get("ticker_cache_ms") or 0)
        kept: dict[str, tuple[float, dict[str, Any]]] = self.__dict__.setdefault("_kept_tickers", {})
        if age_ms and not params and symbol in kept and (time.monotonic() - kept[symbol][0]) * 1000 < age_ms:
            return dict(kept[symbol][1])
        ticker: dict[str, Any] = yield from self.pass_through("fetch_ticker", (symbol,), params, api="public")
        if age_ms and not params:
            kept[symbol] = (time.monotonic(), dict(ticker))  # what the program does with its own is not told again
        return ticker

    def set_markets(self, markets: Any, currencies: Any = None) -> Any:
        """As ccxt does; and what kinds of markets there are is what is there, not what the exchange may have."""
        loaded = super().set_markets(markets, currencies)  # type: ignore[misc]  # of ccxt
        kinds: dict[str, Any] = {
            kind: any(market.get(kind) for market in self.markets.values()) for kind in MARKET_TYPES
        }
        self.has = {**self.has, **kinds}
        return loaded

    def set_markets_from_exchange(self, sourceExchange: Any) -> Any:
        """As ccxt does, with what came with the markets: whoever shares them never loads its own."""
        if isinstance(sourceExchange, Market) and sourceExchange.described is not None:
            self.take_over(sourceExchange.described)
        shared = super().set_markets_from_exchange(sourceExchange)  # type: ignore[misc]  # of ccxt
        self.has = {**self.has, **{kind: sourceExchange.has.get(kind) for kind in MARKET_TYPES}}
        return shared

    def take_over(self, told: Mapping[str, Any]) -> None:
        """What the exchange behind says of itself holds for this client from now on."""
        for name in TOLD:
            if told.get(name) is not None:
                setattr(self, name, told[name])
        for name in TOLD_ON_TOP:
            if told.get(name) is not None:
                setattr(self, name, self.deep_extend(getattr(self, name), told[name]))
        self.has = has_of(told.get("has") or {}, self.own_has, self.describe()["has"])
        self.described = told


def pass_through_methods() -> dict[str, Callable[..., Plan[Any]]]:
    """Plans for the unified methods that ccxt knows and the exchange behind may have, by their names."""
    plans = {}
    helper: Any = Exchange
    for camel_case in helper.describe(helper)["has"]:
        name = helper.un_camel_case(helper, camel_case)
        asked = name.startswith("fetch_") and not is_of_socket(camel_case) and camel_case not in LOCAL
        if (asked or name in PASSED) and (method := getattr(Exchange, name, None)) is not None:
            plans[name] = _passed(name, method)
    return plans


def _passed(name: str, method: Callable[..., Any]) -> Callable[..., Plan[Any]]:
    signature = inspect.signature(method)
    repeatable = name.startswith("fetch")

    @functools.wraps(method)
    def plan(self: Asking, *arguments: Any, **named: Any) -> Plan[Any]:
        given, params = positional(signature, (self, *arguments), named)
        return (yield from self.pass_through(name, given[1:], params, api="public", repeatable=repeatable))

    made: Callable[..., Plan[Any]] = unified(plan)
    return made
