"""The ground truth: every request to create or cancel received, every order and every fill accepted, in order.

Kept apart from what users are told, so that what they believe can be held against it. Knows no transport.
"""

from dataclasses import dataclass

from loadtest.exchange.decimals import show
from loadtest.exchange.orders import Fill, Order

Row = dict[str, object]


@dataclass(slots=True, eq=False)
class Received:
    """A request as it came in, before anything else was done with it, and what became of it.

    `outcome`: received (not carried out), accepted, or the code of the refusal; `answer`: the status sent, or why none.
    """

    number: int
    time_ms: int
    account: str
    method: str
    path: str
    parameters: dict[str, str]
    outcome: str = "received"
    order_id: int | None = None
    answer: str = "none"


class Ledger:
    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.orders: list[Order] = []
        self.fills: list[Fill] = []

    def receive(self, time_ms: int, account: str, method: str, path: str, parameters: dict[str, str]) -> Received:
        received = Received(len(self.requests) + 1, time_ms, account, method, path, parameters)
        self.requests.append(received)
        return received

    def rows(self, account: str | None = None) -> dict[str, list[Row]]:
        """All of it, or what concerns one account."""
        return {
            "requests": [_request(each) for each in self.requests if account in (None, each.account)],
            "orders": [_order(each) for each in self.orders if account in (None, each.account.name)],
            "fills": [_fill(each) for each in self.fills if account in (None, each.order.account.name)],
        }


def _request(received: Received) -> Row:
    return {
        "number": received.number,
        "time_ms": received.time_ms,
        "account": received.account,
        "method": received.method,
        "path": received.path,
        "params": received.parameters,
        "outcome": received.outcome,
        "order_id": received.order_id,
        "answer": received.answer,
    }


def _order(order: Order) -> Row:
    request = order.request
    return {
        "order_id": order.id,
        "client_order_id": order.client_id,
        "account": order.account.name,
        "symbol": order.spec.symbol,
        "side": "BUY" if request.buy else "SELL",
        "type": request.type.value,
        "time_in_force": request.time_in_force.value,
        "price": show(request.price),
        "stop_price": show(request.stop_price),
        "qty": show(order.qty),
        "executed_qty": show(order.executed),
        "executed_quote_qty": show(order.quote_executed),
        "status": order.status.value,
        "created_ms": order.created_ms,
        "updated_ms": order.updated_ms,
    }


def _fill(fill: Fill) -> Row:
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order.id,
        "client_order_id": fill.order.client_id,
        "account": fill.order.account.name,
        "symbol": fill.order.spec.symbol,
        "side": "BUY" if fill.order.request.buy else "SELL",
        "price": show(fill.price),
        "qty": show(fill.qty),
        "quote_qty": show(fill.quote_qty),
        "fee": show(fill.fee),
        "fee_asset": fill.fee_asset,
        "maker": fill.maker,
        "time_ms": fill.time_ms,
    }
