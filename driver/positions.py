"""Positions: fetched, valued at the market, and closed.

Holds the unified methods of positions. Must not know what a position is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccxt.base.errors import BaseError, InvalidOrder

from driver.fallback import command_first, oms_first
from driver.history import Row, rows_max, sorted_by_time
from driver.mappers.position import position_fields
from driver.mappers.values import whole
from driver.orders import Orders
from driver.plan import Call, Params, Plan

NUMBERS = (
    *("contracts", "contractSize", "entryPrice", "markPrice", "lastPrice", "notional", "unrealizedPnl", "realizedPnl"),
    *("stopLossPrice", "takeProfitPrice"),
)


class Positions(Orders):
    """See the module."""

    def position_of(self, position: Row, mark_price: object = None) -> dict[str, Any]:
        """A unified position of the gateway's, valued at this price."""
        fields = position_fields(position, mark_price)
        numbers = {name: self.parse_number(fields[name]) for name in NUMBERS}
        structure: dict[str, Any] = self.safe_position({**fields, **numbers})
        return structure

    def parse_position(self, position: Row, market: Any = None) -> dict[str, Any]:
        return self.position_of(position)

    @oms_first
    def fetch_positions(self, symbols: Sequence[str] | None = None, params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """Those that are open, valued at what their markets are at now."""
        yield from self.loaded()
        rows = yield from self._held(symbols, params)
        prices = yield from self._prices(sorted({row["symbol"] for row in rows}))
        return [self.position_of(row, prices.get(row["symbol"])) for row in rows]

    @oms_first
    def fetch_positions_for_symbol(self, symbol: str, params: Params = {}) -> Plan[list[dict[str, Any]]]:
        return (yield Call("fetch_positions", ([symbol], params)))  # type: ignore[no-any-return]  # a method of ours

    @oms_first
    def fetch_position(self, symbol: str, params: Params = {}) -> Plan[dict[str, Any]]:
        """The open position of the symbol; one without contracts when there is none."""
        positions: list[dict[str, Any]] = yield Call("fetch_positions", ([symbol], params))
        if positions:
            return positions[0]
        structure: dict[str, Any] = self.safe_position({
            **dict.fromkeys(position_fields(_NOTHING)), "symbol": self.market(symbol)["symbol"],
            "contracts": self.parse_number("0"), "info": {}, "hedged": False,
        })  # fmt: skip
        return structure

    @oms_first
    def fetch_positions_history(
        self,
        symbols: Sequence[str] | None = None,
        since: int | None = None,
        limit: int | None = None,
        params: Params = {},
    ) -> Plan[list[dict[str, Any]]]:
        """Those that are closed; `since` is about when they were opened."""
        yield from self.loaded()
        names = self.market_symbols(symbols)
        query = yield from self.filters(names[0] if names and len(names) == 1 else None, since, params)
        rows = yield from self.rows(
            "oms/positions/history", query, lambda row: not names or row["symbol"] in names, since,
            rows_max(limit, params),
        )  # fmt: skip
        return sorted_by_time(self.position_of(row) for row in rows)

    @oms_first
    def fetch_position_history(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        return (yield Call("fetch_positions_history", ([symbol], since, limit, params)))  # type: ignore[no-any-return]  # a method of ours

    @command_first()
    def close_position(self, symbol: str, side: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """Close the open position of the symbol at the market, or at params['price']; the order that does it.

        params['position_id'] names one of several; `side` is long or short (or buy, sell, which opened it).
        """
        yield from self.loaded()
        wanted = {"buy": "long", "sell": "short"}.get(str(side), side)
        chosen = params.get("position_id")
        rows = [
            row
            for row in (yield from self._held([symbol], params))
            if (wanted is None or self.position_of(row)["side"] == wanted)
            and (chosen is None or row["id"] == whole("position_id", chosen))
        ]
        if len(rows) != 1:
            raise InvalidOrder(f"{self.id}: {len(rows)} open positions of {symbol} are meant; name a position_id")
        payload: dict[str, Any] = {"position_id": rows[0]["id"]}
        if (amount := params.get("amount")) is not None:
            payload["qty"] = self.amount_in_steps(symbol, amount)
        if (price := params.get("price")) is not None:
            payload |= {"order_type": "limit", "price": self.price_in_steps(symbol, price)}
        result = yield from self.command("close_position", payload, params.get("request_id"))
        return (yield from self.as_it_is(result, {"symbol": rows[0]["symbol"]}))

    def _held(self, symbols: Sequence[str] | None, params: Params) -> Plan[list[Row]]:
        names = self.market_symbols(symbols)
        query = yield from self.filters(names[0] if names and len(names) == 1 else None, None, params)
        return (
            yield from self.rows("oms/positions/open", query, lambda row: not names or row["symbol"] in names, since=0)
        )

    def _prices(self, symbols: Sequence[str]) -> Plan[Mapping[str, Any]]:
        """What each market is at; one that cannot be had leaves its positions without a value."""
        prices: dict[str, Any] = {}
        for symbol in symbols:
            try:
                ticker = yield Call("fetch_ticker", (symbol,))
            except BaseError as error:
                self.logger.warning("%s: no price of %s: %s", self.id, symbol, error)
            else:
                prices[symbol] = ticker.get("markPrice") or ticker.get("last")
        return prices


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(
        ("side", "entry_price", "stop_loss", "stop_gain", "net_key", "realized_pnl", "opened_at", "updated_at")
    ),
    "id": 0,
    "symbol": "",
    "qty": "0",
    "contract_size": "1",
    "inverse": False,
    "state": "closed",
}
