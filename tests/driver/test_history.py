"""Which resources and pages are read for the fetch methods of orders and trades, and what is made of them."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base.errors import ArgumentsRequired, BadRequest, BadSymbol, OrderNotFound

from driver.history import order_id
from tests.driver.conftest import Client
from tests.driver.stub import Recorded, Stub, deal, filled, items, order, page

SINCE = 1770474600000


def rows_of(rows: list[dict[str, Any]]) -> Any:
    """A listing that is paged as the gateway pages it."""

    def answer(request: Recorded) -> dict[str, Any]:
        size = int(request.query["page_size"])
        if request.query.get("newest_first"):
            start = (int(request.query["page"]) - 1) * size
            return page(*sorted(rows, key=lambda row: -int(row["id"]))[start : start + size])
        return page(*[row for row in rows if row["id"] > int(request.query["after_id"])][:size])

    return answer


def test_an_order_by_its_id(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    made = client("fetch_order", "10", "BTC/USDT")
    assert (made["id"], made["status"], made["info"]) == ("10", "open", order())
    assert stub.lines == ["GET /oms/orders/10"], "nothing was filled: there are no deals to ask for"


def test_a_filled_order_comes_with_what_it_cost(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(filled()))
    stub.on("GET /oms/deals", page(deal(1), deal(2), deal(3, order_id=11)))
    made = client("fetch_order", "10")
    assert made["fees"] == [{"currency": "BTC", "cost": 0.00001}]
    assert made["lastTradeTimestamp"] == 1770474632250
    query = stub.requests[-1].query
    assert (query["account_ids"], query["order_ids"]) == ("1", "10")


@pytest.mark.parametrize("name", ["abc", "-1", "1.5", "1" * 19, "10,11", "../accounts"])
def test_what_is_no_id_of_the_gateway_is_not_asked_for(client: Client, stub: Stub, name: str) -> None:
    with pytest.raises(OrderNotFound):
        client("fetch_order", name)
    assert stub.requests == []
    with pytest.raises(OrderNotFound):
        order_id(name)


def test_an_order_of_another_account_is_not_there(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order(account_id=2)))
    with pytest.raises(OrderNotFound):
        client("fetch_order", "10")


def test_an_order_by_its_client_id(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/open", page())
    stub.on("GET /oms/orders/history", page(order(9), order(10)))
    assert client("fetch_order", None, "BTC/USDT", {"clientOrderId": "mine-10"})["id"] == "10"
    assert client("fetch_order_with_client_order_id", "mine-10")["id"] == "10"
    assert stub.asked("GET /oms/orders/history")[0].query["client_order_id"] == "mine-10"
    with pytest.raises(OrderNotFound):
        client("fetch_order", "", None, {"clientOrderId": "other"})
    with pytest.raises(ArgumentsRequired):
        client("fetch_order", None)


def test_filters_are_those_of_the_gateway(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/open", page())
    client("fetch_open_orders", "BTC/USDT", SINCE, 5, {"until": SINCE + 999, "strategy_id": 7})
    assert stub.requests[-1].query == {
        "account_ids": "1", "symbol": "BTC/USDT", "strategy_id": "7", "from": "2026-02-07T14:30:00.000Z",
        "to": "2026-02-07T14:30:01.000Z", "after_id": "0", "page_size": "500",
    }  # fmt: skip


def test_the_strategy_of_the_options_is_meant_unless_another_is_named(client: Client, stub: Stub) -> None:
    client.exchange.options["strategy_id"] = 3
    stub.on("GET /oms/orders/open", page())
    client("fetch_open_orders")
    client("fetch_open_orders", None, None, None, {"strategy_id": 4})
    assert [request.query["strategy_id"] for request in stub.requests] == ["3", "4"]


@pytest.mark.parametrize(
    "arguments",
    [("x",), (10**17,), (float("nan"),), (None, "many"), (None, -5), (None, None, {"until": "x"}),
     (None, None, {"strategy_id": "abc"})],
)  # fmt: skip
def test_what_is_no_number_is_refused_as_ccxt_does(client: Client, stub: Stub, arguments: tuple[Any, ...]) -> None:
    for method in ("fetch_open_orders", "fetch_my_trades"):
        with pytest.raises(BadRequest):
            client(method, None, *arguments)
    assert not stub.requests


def test_a_symbol_that_is_none_is_refused(client: Client) -> None:
    with pytest.raises(BadSymbol):
        client("fetch_open_orders", "XXX/YYY")


def test_since_a_time_the_first_ones_come_and_else_the_last(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/open", rows_of([order(number) for number in range(1, 8)]))
    ids = [[made["id"] for made in client("fetch_open_orders", None, since, 3)] for since in (SINCE, None)]
    assert ids == [["1", "2", "3"], ["5", "6", "7"]]


def test_pages_are_read_until_there_is_enough(client: Client, stub: Stub) -> None:
    many = [filled(number, status="canceled" if number % 2 else "closed", filled="0") for number in range(1, 1201)]
    stub.on("GET /oms/orders/history", rows_of(many))
    made = client("fetch_closed_orders", None, SINCE, 300)
    assert sorted(int(row["id"]) for row in made) == list(range(2, 602, 2))
    assert [request.query["after_id"] for request in stub.requests] == ["0", "500"]
    stub.requests.clear()
    assert len(client("fetch_closed_orders", None, None, None, {"paginate": True})) == 600
    assert [request.query["page"] for request in stub.requests] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("method", "statuses"),
    [
        ("fetch_closed_orders", {"closed"}),
        ("fetch_canceled_orders", {"canceled"}),
        ("fetch_canceled_and_closed_orders", {"closed", "canceled"}),
        ("fetch_orders", {"open", "closed", "canceled", "expired", "rejected"}),
        ("fetch_open_orders", {"open"}),
    ],
)
def test_each_list_has_the_orders_of_its_name(client: Client, stub: Stub, method: str, statuses: set[str]) -> None:
    over = ("closed", "canceled", "expired", "rejected")
    stub.on("GET /oms/orders/history", page(*[order(number, status=status) for number, status in enumerate(over, 1)]))
    stub.on("GET /oms/orders/open", page(order(9)))
    made = client(method)
    assert {row["status"] for row in made} == statuses
    assert [int(row["id"]) for row in made] == sorted(int(row["id"]) for row in made)


def test_an_order_that_ends_between_the_two_lists_is_told_once_as_it_ended(client: Client, stub: Stub) -> None:
    over: list[dict[str, Any]] = []

    def opened(_: Recorded) -> dict[str, Any]:
        over.append(order(5, status="canceled", state="CANCELED"))
        return page(order(5), order(6))

    stub.on("GET /oms/orders/open", opened)
    stub.on("GET /oms/orders/history", lambda _: page(*over))
    assert [(made["id"], made["status"]) for made in client("fetch_orders")] == [("5", "canceled"), ("6", "open")]


def test_an_open_order_is_not_hidden_by_one_that_ends_between_two_pages(client: Client, stub: Stub) -> None:
    rows = [order(number) for number in range(1, 1001)]

    def listed(request: Recorded) -> Any:
        told = rows_of(rows)(request)
        del rows[-1:]
        return told

    stub.on("GET /oms/orders/open", listed)
    made = client("fetch_open_orders", None, None, None, {"paginate": True})
    assert {int(row["id"]) for row in made} >= set(range(1, 999))
    assert [row["id"] for row in client("fetch_open_orders", None, None, 2)] == ["996", "997"]


def test_trades_are_deals_with_the_type_of_their_order(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/deals", rows_of([deal(1, 10), deal(2, 11), deal(3, 0)]))
    stub.on("GET /oms/orders/*", items(order(10), missing=(11,)))
    trades = client("fetch_my_trades", "BTC/USDT", SINCE, 10)
    assert [(trade["id"], trade["order"], trade["type"]) for trade in trades] == [
        ("1", "10", "limit"), ("2", "11", None), ("3", "0", None),
    ]  # fmt: skip
    assert stub.lines[-1] == "GET /oms/orders/10,11"


def test_a_limit_counts_trades_not_deals(client: Client, stub: Stub) -> None:
    rows = [deal(number, 10, exchange_trade_id=f"t{number // 2}") for number in range(2, 10)]
    stub.on("GET /oms/deals", rows_of(rows))
    stub.on("GET /oms/orders/*", items(order(10)))
    for since, found in ((None, ["4", "6", "8"]), (SINCE, ["2", "4", "6"])):
        trades = client("fetch_my_trades", None, since, 3)
        assert [trade["id"] for trade in trades] == found
        assert {trade["amount"] for trade in trades} == {0.01}


def test_the_trades_of_an_order(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(filled()))
    stub.on("GET /oms/deals", page(deal(1), deal(2), deal(3, order_id=11)))
    assert [trade["id"] for trade in client("fetch_order_trades", "10")] == ["1", "2"]
    assert [trade["id"] for trade in client("fetch_order_trades", "10", None, None, 1)] == ["2"]


def test_open_and_closed_orders_by_id(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    assert client("fetch_open_order", "10")["id"] == "10"
    with pytest.raises(OrderNotFound):
        client("fetch_closed_order", "10")
    stub.on("GET /oms/orders/10", items(filled(10, filled="0")))
    assert client("fetch_closed_order", "10")["id"] == "10"
    with pytest.raises(OrderNotFound):
        client("fetch_open_order", "10")
