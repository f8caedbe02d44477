"""Which command each order method is, and what is made of its answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest
from ccxt.base.errors import (
    ArgumentsRequired,
    BadRequest,
    BadSymbol,
    ExchangeError,
    InsufficientFunds,
    InvalidOrder,
    NotSupported,
    OrderNotFound,
    RequestTimeout,
)

from driver.orders import new_client_order_id
from tests.driver.conftest import Client
from tests.driver.stub import Answer, Recorded, Stub, deal, filled, items, order, page, refused, result, results

ONE = {"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 0.01, "price": 50000}
NO_FUNDS = {"code": "insufficient_funds", "message": "none left"}


def commands(stub: Stub) -> list[Any]:
    return [request.body for request in stub.asked("POST /oms/commands")]


def payload_of(stub: Stub) -> dict[str, Any]:
    """Of the only command, without the name that the driver gave it."""
    (body,) = commands(stub)
    assert set(body) == {"account_id", "command", "request_id", "payload"}
    assert body["account_id"] == 1
    payload = dict(body["payload"])
    if payload.get("client_order_id", "").startswith("x-"):
        del payload["client_order_id"]
    return {"command": body["command"], **payload}


def test_an_order_is_sent_in_the_digits_of_its_market(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    made = client("create_order", "BTC/USDT", "limit", "buy", 0.012345678, 50000.126)
    assert payload_of(stub) == {
        "command": "send_order", "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01234",
        "price": "50000.13",
    }  # fmt: skip
    assert (made["id"], made["status"], made["info"]["exchange_order_id"]) == ("10", "open", "910")
    assert stub.asked("POST /oms/commands")[0].headers["prefer"] == "return=representation"


def test_prices_that_an_order_waits_for_are_rounded_as_its_own_is(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    for name in ("triggerPrice", "stopPrice", "stopLossPrice"):
        client("create_order", "BTC/USDT", "market", "sell", 0.01, None, {name: 12345.678901})
        assert commands(stub)[-1]["payload"]["trigger_price"] == "12345.68", name
    stops = {"stopLoss": {"triggerPrice": 40000.127}, "takeProfit": {"triggerPrice": "60000.123"}}
    client("create_order", "BTC/USDT", "limit", "buy", 0.01, 50000, stops)
    payload = commands(stub)[-1]["payload"]
    assert (payload["stop_loss"], payload["stop_gain"]) == ("40000.13", "60000.12")


def test_one_request_is_enough_when_the_answer_shows_the_order(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.requests.clear()
    stub.on("POST /oms/commands", results(result(order=filled(), deals=[deal(1), deal(2)])))
    made = client("create_order", "BTC/USDT", "market", "buy", 0.01)
    assert (made["status"], made["average"], made["fee"]["cost"]) == ("closed", 49999.5, 0.00001)
    assert stub.lines == ["POST /oms/commands"]


def test_a_gateway_that_shows_no_order_is_asked_for_it(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result()))
    stub.on("GET /oms/orders/10", items(filled()))
    stub.on("GET /oms/deals", page(deal(1)))
    assert client("create_order", "BTC/USDT", "market", "buy", 0.01)["fee"]["cost"] == 0.000005


@pytest.mark.parametrize(("kind", "params"), [("market", {}), ("limit", {"timeInForce": "IOC"})])
def test_an_order_that_does_not_rest_is_told_once_it_is_over(
    client: Client, stub: Stub, kind: str, params: dict[str, Any]
) -> None:
    asked = {"order_type": kind, "time_in_force": params.get("timeInForce", "GTC")}
    partly = order(**asked, state="PARTIALLY_FILLED", filled="0.001", remaining="0.009", average_price="49999.5")
    stub.on("POST /oms/commands", results(result(order=partly, deals=[deal(1)])))
    stub.on("GET /oms/orders/10", items(partly), items(filled(**asked)))
    stub.on("GET /oms/deals", page(deal(1), deal(2)))
    made = client("create_order", "BTC/USDT", kind, "buy", 0.01, 50000, params)
    assert (made["status"], made["filled"], made["fee"]["cost"]) == ("closed", 0.01, 0.00001)


def test_that_is_not_waited_for_longer_than_asked(client: Client, stub: Stub) -> None:
    client.exchange.options["fill_wait_ms"] = 0
    stub.on("POST /oms/commands", results(result(order=order(order_type="market", state="UNKNOWN"))))
    stub.on("GET /oms/orders/10", items(order(order_type="market")))
    assert client("create_order", "BTC/USDT", "market", "buy", 0.01)["status"] == "open"


@pytest.mark.parametrize(
    "changes", [{}, {"order_type": "take_profit_limit", "trigger_price": "49000", "time_in_force": "IOC"}]
)
def test_an_order_that_may_rest_is_not_waited_for(client: Client, stub: Stub, changes: dict[str, Any]) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", results(result(order=order(**changes))))
    client("create_order", "BTC/USDT", "limit", "buy", 0.01, 50000)
    assert not stub.asked("GET /oms/orders/10")


def test_the_other_ways_to_create_are_the_same_command(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    sent: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("create_limit_buy_order", ("BTC/USDT", 1, 2), {"order_type": "limit", "side": "buy", "price": "2"}),
        ("create_market_sell_order", ("BTC/USDT", 1), {"order_type": "market", "side": "sell"}),
        ("create_post_only_order", ("BTC/USDT", "limit", "buy", 1, 2), {"post_only": True}),
        ("create_reduce_only_order", ("BTC/USDT", "market", "sell", 1), {"reduce_only": True}),
        ("create_stop_limit_order", ("BTC/USDT", "buy", 1, 3, 2), {"order_type": "stop_limit", "trigger_price": "2"}),
        ("create_stop_market_order", ("BTC/USDT", "buy", 1, 2), {"order_type": "stop", "trigger_price": "2"}),
        ("create_trigger_order", ("BTC/USDT", "market", "buy", 1, None, 2), {"order_type": "stop"}),
        ("create_stop_loss_order", ("BTC/USDT", "market", "sell", 1, None, 2), {"order_type": "stop"}),
        ("create_take_profit_order", ("BTC/USDT", "market", "sell", 1, None, 2),
         {"order_type": "take_profit", "trigger_price": "2"}),
        ("create_order_with_take_profit_and_stop_loss", ("BTC/USDT", "limit", "buy", 1, 2, 4, 1),
         {"stop_loss": "1", "stop_gain": "4"}),
    ]  # fmt: skip
    for name, arguments, expected in sent:
        client(name, *arguments)
        payload = commands(stub)[-1]["payload"]
        assert expected.items() <= payload.items(), name


def test_the_strategy_is_that_of_the_call_or_of_the_options(client: Client, stub: Stub) -> None:
    client.exchange.options["strategy_id"] = 3
    stub.on("POST /oms/commands", results(result(order=order())))
    client("create_order", "BTC/USDT", "market", "buy", 1)
    client("create_order", "BTC/USDT", "market", "buy", 1, None, {"strategy_id": 4})
    assert [body["payload"]["strategy_id"] for body in commands(stub)] == [3, 4]


def test_what_no_gateway_need_be_asked_for_is_refused_here(client: Client, stub: Stub) -> None:
    for error, arguments in (
        (BadSymbol, ("XXX/YYY", "market", "buy", 1)),
        (InvalidOrder, ("BTC/USDT", "market", "buy", None)),
        (InvalidOrder, ("BTC/USDT", "market", "buy", 0.0000001)),
        (InvalidOrder, ("BTC/USDT", "iceberg", "buy", 1)),
    ):
        with pytest.raises(error):
            client("create_order", *arguments)
    assert commands(stub) == []


NO_NUMBERS: Final = ("abc", "", float("nan"), float("inf"), -1, 0, "-0.5", "1e400", 10**18, True, [1], {"a": 1}, "1,5")


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_amount_and_no_price_is_an_invalid_order_before_anybody_is_asked(
    client: Client, stub: Stub, value: Any
) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    stop = {"stopLoss": {"triggerPrice": value}}
    for method, arguments in (
        ("create_order", ("BTC/USDT", "market", "buy", value)),
        ("create_order", ("BTC/USDT", "limit", "buy", 1, value)),
        ("create_order", ("BTC/USDT", "market", "buy", 1, None, {"triggerPrice": value})),
        ("create_order", ("BTC/USDT", "market", "buy", 1, None, stop)),
        ("create_orders", ([ONE, {**ONE, "amount": value}],)),
        ("edit_order", ("10", "BTC/USDT", None, None, value)),
        ("edit_order", ("10", "BTC/USDT", None, None, None, value)),
    ):
        with pytest.raises(InvalidOrder):
            client(method, *arguments)
    assert commands(stub) == []


@pytest.mark.parametrize("amount", ["0.5", Decimal("0.5"), 0.5, "5e-1"])
def test_a_number_may_be_of_any_kind(client: Client, stub: Stub, amount: Any) -> None:
    stub.on("POST /oms/commands", results(result(order=order())))
    client("create_order", "BTC/USDT", "limit", "buy", amount, amount)
    assert (commands(stub)[-1]["payload"]["qty"], commands(stub)[-1]["payload"]["price"]) == ("0.5", "0.5")


@pytest.mark.parametrize("code", ["internal_error", "outcome_unknown"])
def test_an_order_that_is_there_in_spite_of_a_doubtful_answer_is_returned(
    client: Client, stub: Stub, code: str
) -> None:
    doubtful = Answer(500, results(result(ok=False, error={"code": code, "message": "?"})))
    stub.on("POST /oms/commands", doubtful)
    stub.on("GET /oms/orders/10", items(order(state="UNKNOWN")))
    made = client("create_order", "BTC/USDT", "market", "buy", 1)
    assert (made["id"], made["status"]) == ("10", "open")


def test_one_that_was_rejected_in_spite_of_it_is_not(client: Client, stub: Stub) -> None:
    doubtful = Answer(500, results(result(ok=False, error={"code": "internal_error", "message": "?"})))
    stub.on("POST /oms/commands", doubtful)
    stub.on("GET /oms/orders/10", items(order(state="REJECTED", status="rejected")))
    with pytest.raises(ExchangeError, match="the order is rejected"):
        client("create_order", "BTC/USDT", "market", "buy", 1)


def test_several_orders_are_one_body_and_each_has_its_answer(client: Client, stub: Stub) -> None:
    shown = order(12, state="REJECTED", status="rejected", symbol="ETH/USDT", side="sell", qty="3")
    no = result(1, ok=False, order_id=12, error=NO_FUNDS, order=shown, deals=[])
    stub.on("POST /oms/commands", Answer(207, results(result(0, order=order(11)), no)))
    made = client("create_orders", [
        {"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 1, "price": 2, "params": {"postOnly": True}},
        {"symbol": "ETH/USDT", "type": "market", "side": "sell", "amount": 3},
    ])  # fmt: skip
    assert [(each["id"], each["status"]) for each in made] == [("11", "open"), ("12", "rejected")]
    assert made[1]["info"]["error"] == NO_FUNDS
    assert (made[1]["symbol"], made[1]["side"], made[1]["amount"]) == ("ETH/USDT", "sell", 3.0)
    (body,) = commands(stub)
    assert [each["payload"].get("post_only") for each in body] == [True, None]
    assert len({each["request_id"] for each in body}) == 2


def test_several_orders_that_are_all_refused_are_an_exception(client: Client, stub: Stub) -> None:
    each = [result(number, ok=False, order_id=None, error=NO_FUNDS) for number in range(2)]
    stub.on("POST /oms/commands", Answer(422, results(*each)))
    orders = [{"symbol": "BTC/USDT", "type": "market", "side": "buy", "amount": 1}] * 2
    with pytest.raises(InsufficientFunds):
        client("create_orders", orders)


DOUBT = {"code": "internal_error", "message": "?"}


def test_several_orders_have_request_ids_of_their_own_from_the_one_that_is_given(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(0, order=order()), result(1, order=order(11))))
    client("create_orders", [ONE, {**ONE, "params": {"request_id": "own"}}], {"request_id": "r"})
    (body,) = commands(stub)
    assert [each["request_id"] for each in body] == ["r:0", "own"]


def test_one_of_several_that_is_there_in_spite_of_a_doubtful_answer_is_told_as_it_is(
    client: Client, stub: Stub
) -> None:
    doubtful = [result(number, ok=False, order_id=number + 10, error=DOUBT) for number in range(3)]
    stub.on("POST /oms/commands", Answer(500, results(*doubtful, result(3, ok=False, order_id=None, error=NO_FUNDS))))
    stub.on("GET /oms/orders/10", items(order(10)))
    stub.on("GET /oms/orders/11", items(order(11, status="rejected", error_code="risk_blocked", error_message="no")))
    stub.on("GET /oms/orders/12", refused("engine_unavailable", 503))
    made = client("create_orders", [ONE] * 4)
    assert [(each["id"], each["status"]) for each in made] == [
        ("10", "open"), ("11", "rejected"), ("12", None), (None, "rejected"),
    ]  # fmt: skip
    assert made[1]["info"]["error"]["code"] == "risk_blocked"
    assert made[2]["clientOrderId"] == commands(stub)[0][2]["payload"]["client_order_id"]


def test_when_one_of_several_may_be_there_they_are_not_refused(client: Client, stub: Stub) -> None:
    refusals = [result(0, ok=False, order_id=None, error=NO_FUNDS), result(1, ok=False, order_id=None, error=DOUBT)]
    stub.on("POST /oms/commands", Answer(422, results(*refusals)))
    with pytest.raises(RequestTimeout, match="look for clientOrderId mine-2"):
        client("create_orders", [ONE, {**ONE, "params": {"clientOrderId": "mine-2"}}])


@pytest.mark.parametrize(
    ("then", "status"), [(refused("account_blocked", 403), "rejected"), (Answer(502, "<html>"), None)]
)
def test_orders_that_are_there_are_told_when_the_next_body_fails(
    client: Client, stub: Stub, then: Answer, status: str | None
) -> None:
    first = results(*[result(number, order_id=100 + number, order=order(100 + number)) for number in range(100)])
    stub.on("POST /oms/commands", Answer(200, first), then)
    made = client("create_orders", [ONE] * 250)
    assert [each["status"] for each in made] == ["open"] * 100 + [status] * 100 + ["rejected"] * 50
    assert made[0]["id"] == "100"
    assert all(each["clientOrderId"] for each in made)
    assert made[-1]["info"]["error"]["message"] == "not sent"


GONE = [refused("engine_unavailable", 503), items(missing=(10,)), refused("permission_denied", 403)]


@pytest.mark.parametrize("read", GONE, ids=["away", "missing", "denied"])
def test_an_order_that_was_made_is_returned_when_it_cannot_be_read(client: Client, stub: Stub, read: Any) -> None:
    partly = order(order_type="market", price=None, state="PARTIALLY_FILLED", filled="0.001", remaining="0.009")
    stub.on("GET /oms/orders/10", read)
    stub.on("GET /oms/deals", read)
    for shown in (partly, None):
        stub.on("POST /oms/commands", results(result(order=shown) if shown else result()))
        made = client("create_order", "BTC/USDT", "market", "buy", 0.01, None, {"clientOrderId": "mine-10"})
        assert (made["id"], made["status"], made["clientOrderId"]) == ("10", "open", "mine-10")
        assert (made["symbol"], made["side"], made["amount"]) == ("BTC/USDT", "buy", 0.01)


def test_several_that_were_made_are_returned_when_they_cannot_be_read(client: Client, stub: Stub) -> None:
    client("load_markets")
    stub.on("POST /oms/commands", results(*[result(number, order_id=10 + number) for number in range(3)]))
    stub.on("GET /oms/orders/*", refused("permission_denied", 403))
    made = client("create_orders", [ONE] * 3)
    assert [(each["id"], each["status"]) for each in made] == [("10", "open"), ("11", "open"), ("12", "open")]
    assert len(stub.asked("GET /oms/orders/*")) == 1, "it is not asked for each in vain"


def test_what_was_canceled_or_changed_is_told_so_when_it_cannot_be_read(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/*", refused("engine_unavailable", 503))
    stub.on("POST /oms/commands", results(result()))
    canceled = client("cancel_order", "10", "BTC/USDT")
    assert (canceled["id"], canceled["status"], canceled["symbol"]) == ("10", "canceled", "BTC/USDT")
    stub.on("GET /oms/orders/*", items(order()), refused("engine_unavailable", 503))
    edited = client("edit_order", "10", "BTC/USDT", "limit", "buy", 0.02, 50001)
    assert (edited["id"], edited["status"], edited["symbol"]) == ("10", "open", "BTC/USDT")
    over = {"code": "invalid_order_state", "message": "over"}
    gone = {"code": "order_not_found", "message": "gone"}
    told = [
        {"order_id": 10, "ok": True, "error": None}, {"order_id": 11, "ok": False, "error": over},
        {"order_id": 12, "ok": False, "error": gone},
    ]  # fmt: skip
    stub.on("POST /oms/commands", Answer(207, results(result(order_id=None, orders=told))))
    several = client("cancel_orders", ["10", "11", "12"])
    assert [(each["id"], each["status"], each["info"]["error"]) for each in several] == [
        ("10", "canceled", None), ("11", None, over), ("12", "rejected", gone)
    ]  # fmt: skip


def test_more_orders_than_a_body_holds_are_several_bodies(client: Client, stub: Stub) -> None:
    def answer(request: Recorded) -> Any:
        return results(*[result(number, order=order(number + 1)) for number in range(len(request.body))])

    stub.on("POST /oms/commands", answer)
    orders = [{"symbol": "BTC/USDT", "type": "market", "side": "buy", "amount": 1}] * 150
    assert len(client("create_orders", orders)) == 150
    assert [len(body) for body in commands(stub)] == [100, 50]


def test_an_order_is_edited_under_its_id(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    stub.on("POST /oms/commands", results(result(order=order(price="50001"))))
    assert client("edit_order", "10", "BTC/USDT", "limit", "buy", 0.02, 50001.001)["price"] == 50001.0
    assert payload_of(stub) == {"command": "change_order", "order_id": 10, "new_qty": "0.02", "new_price": "50001"}
    client("edit_order", "10", "BTC/USDT", "limit", "buy", None, 50002)
    assert commands(stub)[-1]["payload"] == {"order_id": 10, "new_price": "50002"}


def test_an_edit_of_what_cannot_be_changed_sends_nothing(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/orders/10", items(order()))
    for error, arguments in (
        (InvalidOrder, ("10", "ETH/USDT", "limit", "buy", 0.02, 50001)),
        (InvalidOrder, ("10", "BTC/USDT", "limit", "sell", 0.02, 50001)),
        (NotSupported, ("10", "BTC/USDT", "limit", "buy", 0.01, None, {"triggerPrice": 77999})),
        (ArgumentsRequired, ("10", "BTC/USDT", "limit", "buy")),
    ):
        with pytest.raises(error):
            client("edit_order", *arguments)
    assert not commands(stub)


def test_an_order_is_canceled_by_its_id_or_its_name(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order=order(status="canceled", state="CANCELED"))))
    assert client("cancel_order", "10", "BTC/USDT")["status"] == "canceled"
    assert payload_of(stub) == {"command": "cancel_order", "order_id": 10}
    stub.on("GET /oms/orders/open", page(order(11)))
    client("cancel_order", "", "BTC/USDT", {"clientOrderId": "mine-11"})
    client("cancel_order_with_client_order_id", "mine-11", "BTC/USDT")
    assert [body["payload"] for body in commands(stub)[1:]] == [{"order_id": 11}] * 2
    with pytest.raises(OrderNotFound):
        client("cancel_order", "not-a-number")


def test_several_orders_are_canceled_by_one_command(client: Client, stub: Stub) -> None:
    over = {"code": "invalid_order_state", "message": "over"}
    gone = {"code": "order_not_found", "message": "gone"}
    told = [
        {"order_id": 10, "ok": True, "error": None}, {"order_id": 11, "ok": False, "error": over},
        {"order_id": 12, "ok": False, "error": gone},
    ]  # fmt: skip
    stub.on("POST /oms/commands", Answer(409, results(result(ok=False, order_id=None, error=over, orders=told))))
    stub.on("GET /oms/orders/10,11", items(order(10, status="canceled"), filled(11)))
    stub.on("GET /oms/deals", page(deal(1, 11)))
    made = client("cancel_orders", ["10", "11", "12"], "BTC/USDT")
    assert payload_of(stub) == {"command": "cancel_order", "order_ids": [10, 11, 12]}
    assert [(each["id"], each["status"], each["info"].get("error")) for each in made] == [
        ("10", "canceled", None), ("11", "closed", over), ("12", "rejected", gone)
    ]  # fmt: skip
    assert client("cancel_orders", []) == []
    with pytest.raises(ArgumentsRequired):
        client("cancel_orders", "12")  # no orders 1 and 2
    assert len(commands(stub)) == 1


def test_none_of_several_that_could_be_canceled_is_an_exception(client: Client, stub: Stub) -> None:
    over = {"code": "invalid_order_state", "message": "over"}
    told = [{"order_id": 10, "ok": False, "error": over}]
    stub.on("POST /oms/commands", Answer(409, results(result(ok=False, order_id=None, error=over, orders=told))))
    with pytest.raises(InvalidOrder):
        client("cancel_orders", ["10"])


def test_all_orders_of_a_symbol_a_strategy_or_the_account(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order_id=None, orders=[])))
    assert client("cancel_all_orders") == []
    client("cancel_all_orders", "BTC/USDT", {"strategy_id": 7})
    assert [body["payload"] for body in commands(stub)] == [{}, {"symbol": "BTC/USDT", "strategy_ids": [7]}]


def test_a_dead_mans_switch(client: Client, stub: Stub) -> None:
    stub.on("POST /oms/commands", results(result(order_id=None, due_at="2026-02-07T14:30:05.250Z")))
    armed = client("cancel_all_orders_after", 5000)
    assert (armed["triggerTime"], armed["info"]["ok"]) == (1770474605250, True)
    assert payload_of(stub) == {"command": "cancel_all_after", "timeout_ms": 5000}
    stub.on("POST /oms/commands", results(result(order_id=None, due_at=None)))
    assert client("cancel_all_orders_after", 0)["triggerTime"] is None
    for timeout in ("soon", None, float("nan"), -1):
        with pytest.raises(BadRequest, match="timeout"):
            client("cancel_all_orders_after", timeout)


def test_names_differ_and_fit_every_exchange() -> None:
    names = {new_client_order_id() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) <= 36 and name.replace("-", "").isalnum() for name in names)
