"""The signed requests: account, orders, trades, with Binance's parameters and answers.

Turns parameters into calls of `trading` and what it says into JSON-ready answers. Knows no transport: REST and the
WebSocket API both come here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import orjson

from loadtest.exchange import filters, params, reports
from loadtest.exchange.accounts import Account
from loadtest.exchange.matching import Matcher
from loadtest.exchange.orders import Fill, Order, Status
from loadtest.exchange.params import BinanceError
from loadtest.exchange.trading import Trading

Query = Mapping[str, str]
Answer = object
Row = TypeVar("Row")
Act = Callable[[Account, Query, int], Answer]
ROWS_MAX = 1_000
_FORMS = ("ACK", "RESULT", "FULL")
_RESTRICTIONS = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}
# Those that change something: the ledger keeps every one that is received.
COMMANDS = {
    ("POST", "order"),
    ("DELETE", "order"),
    ("POST", "order/cancelReplace"),
    ("DELETE", "openOrders"),
}


class ReplaceError(BinanceError):
    """A cancelReplace of which a part or all failed: both answers are in it."""

    def __init__(self, code: int, message: str, status: int, data: dict[str, object]) -> None:
        super().__init__(code, message, status)
        self.data = data

    def body(self) -> bytes:
        return orjson.dumps({"code": self.code, "msg": str(self), "data": self.data})


class Signed:
    """Answers by method and path; the caller has made sure who asks. `on_canceled`: an order was just cancelled."""

    def __init__(self, trading: Trading, on_canceled: Callable[[Order, int], None]) -> None:
        self._trading = trading
        self._on_canceled = on_canceled
        self.acts: dict[tuple[str, str], Act] = {
            ("GET", "account"): self._account,
            ("POST", "order"): self._place,
            ("POST", "order/test"): self._test,
            ("GET", "order"): self._order,
            ("DELETE", "order"): self._cancel,
            ("POST", "order/cancelReplace"): self._replace,
            ("GET", "openOrders"): self._open_orders,
            ("DELETE", "openOrders"): self._cancel_all,
            ("GET", "allOrders"): self._all_orders,
            ("GET", "myTrades"): self._my_trades,
        }

    def _matcher(self, query: Query) -> Matcher:
        return params.listed(query, self._trading.matchers)

    def _symbol(self, query: Query) -> str:
        return self._matcher(query).market.spec.symbol

    def _account(self, account: Account, query: Query, _: int) -> Answer:
        return reports.account(account, omit_zero=query.get("omitZeroBalances") == "true")

    # new orders

    def _place(self, account: Account, query: Query, now_ms: int) -> Answer:
        symbol, request, form = self._symbol(query), filters.read(query), self._form(query)
        return reports.placed(self._trading.place(account, symbol, request, now_ms), form)

    def _test(self, account: Account, query: Query, _: int) -> Answer:
        symbol, request = self._symbol(query), filters.read(query)
        self._form(query)
        self._trading.check(account, symbol, request)
        return {}

    @staticmethod
    def _form(query: Query) -> str:
        form = query.get("newOrderRespType", "FULL" if query.get("type") in ("LIMIT", "MARKET") else "ACK")
        if form not in _FORMS:
            raise BinanceError(-1150, "Invalid newOrderRespType.")
        return form

    # one order

    def _find(self, account: Account, query: Query, id_name: str, client_id_name: str, unknown: BinanceError) -> Order:
        symbol = self._symbol(query)
        order_id, client_id = params.integer(query, id_name), query.get(client_id_name)
        if order_id is None and not client_id:
            raise BinanceError(
                -1102, f"Param '{client_id_name}' or '{id_name}' must be sent, but both were empty/null!"
            )
        order = self._trading.find(account, symbol, order_id, client_id)
        if order is None:
            raise unknown
        return order

    def _order(self, account: Account, query: Query, _: int) -> Answer:
        unknown = BinanceError(-2013, "Order does not exist.")
        return reports.state(self._find(account, query, "orderId", "origClientOrderId", unknown))

    def _cancel(self, account: Account, query: Query, now_ms: int) -> Answer:
        return self._cancel_one(account, query, now_ms, "orderId", "origClientOrderId", "newClientOrderId")

    def pretend_cancel(self, account: Account, query: Query, _: int) -> Answer:
        """The answer to a cancel, and nothing else."""
        order = self._find(account, query, "orderId", "origClientOrderId", BinanceError(-2011, "Unknown order sent."))
        told = reports.canceled(order, filters.client_id(query, "newClientOrderId"))
        return told | {"status": Status.CANCELED.value}

    def _cancel_one(
        self, account: Account, query: Query, now_ms: int, id_name: str, client_id_name: str, cancel_id_name: str
    ) -> Answer:
        unknown = BinanceError(-2011, "Unknown order sent.")
        order = self._find(account, query, id_name, client_id_name, unknown)
        _check_restrictions(query, order)
        cancel_id = filters.client_id(query, cancel_id_name)
        self._trading.cancel(order, cancel_id, now_ms)
        answer = reports.canceled(order, cancel_id)
        self._on_canceled(order, now_ms)
        return answer

    def _replace(self, account: Account, query: Query, now_ms: int) -> Answer:
        """Cancel, then place; whether to place after a failed cancel is the user's choice. Filters come before both."""
        symbol, request, form = self._symbol(query), filters.read(query), self._form(query)
        mode = query.get("cancelReplaceMode")
        if not mode:
            raise params.missing("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise BinanceError(-1146, "Invalid cancelReplaceMode.")
        self._trading.check_filters(symbol, request)
        names = ("cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId")
        cancel_response: Answer
        try:
            cancel_response = self._cancel_one(account, query, now_ms, *names)
            cancel_result = "SUCCESS"
        except BinanceError as error:
            cancel_response, cancel_result = _refusal(error), "FAILURE"
        result: dict[str, object] = {
            "cancelResult": cancel_result,
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": cancel_response,
            "newOrderResponse": None,
        }
        if cancel_result == "SUCCESS" or mode == "ALLOW_FAILURE":
            try:
                order = self._trading.place(account, symbol, request, now_ms)
                result |= {"newOrderResult": "SUCCESS", "newOrderResponse": reports.placed(order, form)}
            except BinanceError as error:
                result |= {"newOrderResult": "FAILURE", "newOrderResponse": _refusal(error)}
        outcomes = (cancel_result, result["newOrderResult"])
        if outcomes == ("SUCCESS", "SUCCESS"):
            return result
        if "SUCCESS" in outcomes:
            raise ReplaceError(-2021, "Order cancel-replace partially failed.", 409, result)
        raise ReplaceError(-2022, "Order cancel-replace failed.", 400, result)

    # several orders

    def _open_orders(self, account: Account, query: Query, _: int) -> Answer:
        symbol = self._symbol(query) if "symbol" in query else None
        return [reports.state(order) for order in self._trading.open_orders(account, symbol)]

    def _cancel_all(self, account: Account, query: Query, now_ms: int) -> Answer:
        orders = self._trading.open_orders(account, self._symbol(query))
        if not orders:
            raise BinanceError(-2011, "Unknown order sent.")
        answer = []
        for order in orders:
            cancel_id = filters.client_id({}, "newClientOrderId")
            self._trading.cancel(order, cancel_id, now_ms)
            answer.append(reports.canceled(order, cancel_id))
            self._on_canceled(order, now_ms)
        return answer

    def _all_orders(self, account: Account, query: Query, _: int) -> Answer:
        first_id = params.integer(query, "orderId")
        start_ms, end_ms = params.time_range(query)
        count = params.limit(query, 500, ROWS_MAX)
        orders = self._trading.orders(account, self._symbol(query))
        begin, end = _span(orders, _order_id, first_id, _created_ms, start_ms, end_ms)
        forward = first_id is not None or start_ms is not None
        return [reports.state(order) for order in _page(orders, begin, end, count, forward=forward)]

    def _my_trades(self, account: Account, query: Query, _: int) -> Answer:
        symbol = self._symbol(query)
        order_id, from_id = params.integer(query, "orderId"), params.integer(query, "fromId")
        start_ms, end_ms = params.time_range(query)
        count = params.limit(query, 500, ROWS_MAX)
        fills = self._trading.fills(account, symbol)
        if order_id is not None:
            order = self._trading.find(account, symbol, order_id, None)
            fills = order.fills if order is not None else []
        begin, end = _span(fills, _trade_id, from_id, _time_ms, start_ms, end_ms)
        forward = from_id is not None or start_ms is not None
        return [reports.trade(fill) for fill in _page(fills, begin, end, count, forward=forward)]


def _check_restrictions(query: Query, order: Order) -> None:
    wanted = query.get("cancelRestrictions")
    if wanted is None:
        return
    if wanted not in _RESTRICTIONS:
        raise BinanceError(-1145, "Invalid cancelRestrictions")
    if order.status.is_open and order.status is not _RESTRICTIONS[wanted]:
        raise BinanceError(-2011, "Order was not canceled due to cancel restrictions.")


_order_id: Callable[[Order], int] = attrgetter("id")
_created_ms: Callable[[Order], int] = attrgetter("created_ms")
_trade_id: Callable[[Fill], int] = attrgetter("trade_id")
_time_ms: Callable[[Fill], int] = attrgetter("time_ms")


def _span(
    rows: Sequence[Row],
    id_of: Callable[[Row], int],
    first_id: int | None,
    time_of: Callable[[Row], int],
    start_ms: int | None,
    end_ms: int | None,
) -> tuple[int, int]:
    """Which rows, in the order of their ids and times, are of an id from the first one and a time between."""
    begin, end = 0, len(rows)
    if first_id is not None:
        begin = bisect_left(rows, first_id, key=id_of)
    if start_ms is not None:
        begin = max(begin, bisect_left(rows, start_ms, key=time_of))
    if end_ms is not None:
        end = bisect_right(rows, end_ms, key=time_of)
    return begin, end


def _page(rows: Sequence[Row], begin: int, end: int, count: int, *, forward: bool) -> Sequence[Row]:
    """The first rows of a span, or the last ones."""
    return rows[begin : min(end, begin + count)] if forward else rows[max(begin, end - count) : end]


def _refusal(error: BinanceError) -> dict[str, object]:
    return {"code": error.code, "msg": str(error)}
