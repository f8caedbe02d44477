"""Orders and trades as they are and were: the fetch methods that the gateway's own resources answer.

Holds which pages are read for ccxt's `since`, `limit` and `until`. Must not know how anything is created or canceled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ccxt.base.errors import ArgumentsRequired, OrderNotFound

from driver.asking import Asking
from driver.fallback import oms_first
from driver.mappers.order import order_fields
from driver.mappers.trade import joined, trade_fields
from driver.mappers.values import iso8601, whole
from driver.plan import Call, Params, Plan

Row: TypeAlias = Mapping[str, Any]

PAGE: Final = 500  # rows of a request
LIMIT: Final = 500  # rows of an answer, unless the caller says how many
IDS_MAX: Final = 200  # of a request
OWN: Final = ("strategy_id", "until", "paginate", "clientOrderId")  # params that are read here


class History(Asking):
    """See the module."""

    # Structures

    def order_of(self, order: Row, deals: Sequence[Row] = ()) -> dict[str, Any]:
        """A unified order of the gateway's, with its fees and the time of its last trade by these deals."""
        structure: dict[str, Any] = self.safe_order(order_fields(order, deals), self._market_of(order["symbol"]))
        return structure

    def trade_of(self, deal: Row, order: Row | None = None) -> dict[str, Any]:
        """A unified trade of the gateway's deal."""
        structure: dict[str, Any] = self.safe_trade(trade_fields(deal, order), self._market_of(deal["symbol"]))
        return structure

    def parse_order(self, order: Row, market: Any = None) -> dict[str, Any]:
        return self.order_of(order)

    def parse_trade(self, trade: Row, market: Any = None) -> dict[str, Any]:
        return self.trade_of(trade)

    def _market_of(self, symbol: str) -> Any:
        return (self.markets or {}).get(symbol)

    # One order

    @oms_first
    def fetch_order(self, id: str | None, symbol: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """By the gateway's id, or by params['clientOrderId']. Raises OrderNotFound."""
        return (yield from self._fetched(id, params))

    def order_by(self, id: str | None, params: Params = {}) -> Plan[Row]:
        """The gateway's order. Raises OrderNotFound."""
        if id:
            (order,) = yield from self.orders_by_ids([order_id(id)])
            return order
        name = params.get("clientOrderId")
        if name is None:
            raise ArgumentsRequired(f"{self.id} requires an id, or a clientOrderId in params")
        for path in ("oms/orders/open", "oms/orders/history"):
            query = {"account_ids": self.traded_account(), "client_order_id": name}
            found = yield from self.rows(path, query, keep=lambda row: row["client_order_id"] == name, limit=1)
            if found:
                return found[0]
        raise OrderNotFound(f"{self.id}: the account has no order with clientOrderId {name}")

    def orders_by_ids(self, ids: Sequence[int]) -> Plan[list[Row]]:
        """The gateway's orders, in this order. Raises OrderNotFound when one is not there."""
        found: list[Row] = []
        for at in range(0, len(ids), IDS_MAX):
            part = ids[at : at + IDS_MAX]
            answer = yield from self.read(f"oms/orders/{','.join(map(str, part))}")
            others = [row["id"] for row in answer["items"] if not self._is_ours(row)]
            if missing := [*answer["missing"], *others]:
                raise OrderNotFound(f"{self.id}: the account has no order {', '.join(map(str, missing))}")
            found += answer["items"]
        return found

    def _is_ours(self, row: Row) -> bool:
        """Whether it is of the account that this client trades on; one that is named may be any."""
        return bool(row["account_id"] == self.traded_account())

    def deals_of(self, orders: Sequence[Row]) -> Plan[dict[int, list[Row]]]:
        """The deals of each of these orders, by its id; nothing is asked of orders that have none."""
        filled = [order for order in orders if float(order["filled"])]
        deals: dict[int, list[Row]] = {}
        for at in range(0, len(filled), IDS_MAX):
            part = {order["id"]: order for order in filled[at : at + IDS_MAX]}
            query = {"account_ids": self.traded_account(), "order_ids": ",".join(map(str, part))}
            for row in (yield from self.rows("oms/deals", query, since=0)):
                if row["order_id"] in part:
                    deals.setdefault(row["order_id"], []).append(row)
        return deals

    # Lists

    @oms_first
    def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Those that may still be filled."""
        return (yield from self._orders(("oms/orders/open",), symbol, since, limit, params))

    @oms_first
    def fetch_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Those that were filled."""
        return (yield from self._orders(("oms/orders/history",), symbol, since, limit, params, {"closed"}))

    @oms_first
    def fetch_canceled_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Those that were canceled; not those that expired."""
        return (yield from self._orders(("oms/orders/history",), symbol, since, limit, params, {"canceled"}))

    @oms_first
    def fetch_canceled_and_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Both of these."""
        return (yield from self._orders(("oms/orders/history",), symbol, since, limit, params, {"closed", "canceled"}))

    @oms_first
    def fetch_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """All there are."""
        paths = ("oms/orders/open", "oms/orders/history")  # in this order: what ends in between is in both, not in none
        return (yield from self._orders(paths, symbol, since, limit, params))

    def fetch_order_with_client_order_id(
        self, clientOrderId: str, symbol: str | None = None, params: Params = {}
    ) -> Any:
        return self.fetch_order(None, symbol, {**params, "clientOrderId": clientOrderId})

    @oms_first
    def fetch_open_order(self, id: str, symbol: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """An order that is not over. Raises OrderNotFound for one that is."""
        return (yield from self._fetched(id, params, is_open=True))

    @oms_first
    def fetch_closed_order(self, id: str, symbol: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """An order that is over. Raises OrderNotFound for one that is not."""
        return (yield from self._fetched(id, params, is_open=False))

    def _fetched(self, id: str | None, params: Params, *, is_open: bool | None = None) -> Plan[dict[str, Any]]:
        order = yield from self.order_by(id, params)
        if is_open is not None and (order["status"] == "open") is not is_open:
            raise OrderNotFound(f"{self.id}: order {order['id']} is {order['status']}")
        deals = yield from self.deals_of([order])
        return self.order_of(order, deals.get(order["id"], ()))

    @oms_first
    def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Executions, also of orders of somebody else on the same account."""
        query = yield from self.filters(symbol, since, params)
        most = rows_max(limit, params)
        found = yield from self.rows("oms/deals", query, since=since, limit=None if most is None else 2 * most)
        rows = cut(joined(found), since, most)
        orders = yield from self._orders_of(rows)
        return sorted_by_time(self.trade_of(row, orders.get(row["order_id"])) for row in rows)

    @oms_first
    def fetch_order_trades(
        self,
        id: str,
        symbol: str | None = None,
        since: int | None = None,
        limit: int | None = None,
        params: Params = {},
    ) -> Plan[list[dict[str, Any]]]:
        """The executions of one order. Raises OrderNotFound."""
        order = yield from self.order_by(id, params)
        deals = yield from self.deals_of([order])
        trades = sorted_by_time(self.trade_of(deal, order) for deal in joined(deals.get(order["id"], ())))
        kept: list[dict[str, Any]] = self.filter_by_since_limit(trades, since, limit, "timestamp", since is None)
        return kept

    def _orders_of(self, deals: Iterable[Row]) -> Plan[dict[int, Row]]:
        """Whose deals they are, as far as these may be seen; a trade without an order has no type."""
        ids = sorted({deal["order_id"] for deal in deals if deal["order_id"]})
        orders: dict[int, Row] = {}
        for at in range(0, len(ids), IDS_MAX):
            answer = yield from self.read(f"oms/orders/{','.join(map(str, ids[at : at + IDS_MAX]))}")
            orders.update({row["id"]: row for row in answer["items"]})
        return orders

    def _orders(
        self,
        paths: Iterable[str],
        symbol: str | None,
        since: int | None,
        limit: int | None,
        params: Params,
        statuses: frozenset[str] | set[str] | None = None,
    ) -> Plan[list[dict[str, Any]]]:
        query = yield from self.filters(symbol, since, params)
        most = rows_max(limit, params)
        found: dict[int, Row] = {}
        for path in paths:
            rows = yield from self.rows(path, query, lambda row: not statuses or row["status"] in statuses, since, most)
            found.update({row["id"]: row for row in rows})
        chosen = sorted(found.values(), key=lambda row: int(row["id"]))
        chosen = cut(chosen, since, most)
        deals = yield from self.deals_of(chosen)
        return sorted_by_time(self.order_of(row, deals.get(row["id"], ())) for row in chosen)

    def filters(self, symbol: str | None, since: int | None, params: Params) -> Plan[dict[str, Any]]:
        """The query that all listings share."""
        if symbol is not None and not self.markets:
            yield Call("load_markets")
        until = params.get("until")
        return {
            "account_ids": self.traded_account(),
            "symbol": None if symbol is None else self.market(symbol)["symbol"],
            "strategy_id": self.strategy_id(params),
            "from": None if since is None else iso8601(whole("since", since)),
            "to": None if until is None else iso8601(whole("until", until) + 1),  # ccxt's until is the last moment
        }

    def strategy_id(self, params: Params = {}) -> int | None:
        """The strategy that it is about: the call's, or that of the options."""
        given = params.get("strategy_id", self.options.get("strategy_id"))
        return None if given is None else whole("strategy_id", given)

    def rows(
        self,
        path: str,
        query: Mapping[str, Any],
        keep: Callable[[Row], bool] = lambda _: True,
        since: int | None = None,
        limit: int | None = None,
    ) -> Plan[list[Row]]:
        """Rows by ascending id: the first ones since a time, or without one the last ones there are.

        What is open is always read from the first on: a row that ends meanwhile would hide another one from pages that
        are counted from the newest.
        """
        found: dict[int, Row] = {}
        forward = since is not None or path.endswith("/open")
        size = PAGE
        page, after = 1, 0
        while True:
            where = {"after_id": after} if forward else {"newest_first": "true", "page": page}
            answer = yield from self.read(path, {**query, **where, "page_size": size})
            items = answer["items"]
            found.update({row["id"]: row for row in items if keep(row)})
            is_enough = limit is not None and len(found) >= limit and (since is not None or not forward)
            if len(items) < size or is_enough:
                break
            page, after = page + 1, items[-1]["id"]
        rows = [found[number] for number in sorted(found)]
        return cut(rows, since, limit)


def order_id(text: object) -> int:
    """The gateway's id of an order. Raises OrderNotFound: no other id can be of one."""
    if not re.fullmatch(r"[0-9]{1,18}", str(text)):
        raise OrderNotFound(f"tickwire: no order has the id {text!r}: ids are the gateway's numbers")
    return int(str(text))


def order_ids(ids: Sequence[object]) -> list[int]:
    """The same of each. Raises ArgumentsRequired for a text: its digits would be ids of other orders."""
    if isinstance(ids, str):
        raise ArgumentsRequired(f"tickwire requires a list of ids, not the text {ids[:64]!r}")
    return [order_id(each) for each in ids]


def cut(rows: list[Row], since: int | None, limit: int | None) -> list[Row]:
    """The first ones since a time, or without one the last ones."""
    if limit is None:
        return rows
    return rows[-limit:] if since is None else rows[:limit]


def sorted_by_time(structures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(structures, key=lambda structure: (structure["timestamp"] or 0, int(structure["id"])))


def rows_max(limit: int | None, params: Params) -> int | None:
    """Of an answer; None: there is no end of them. Raises BadRequest."""
    if params.get("paginate") and limit is None:
        return None
    return whole("limit", limit or LIMIT)
