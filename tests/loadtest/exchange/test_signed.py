"""The signed requests' parameters and answers, without a transport."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.exchange.params import BinanceError
from loadtest.exchange.signed import COMMANDS, ReplaceError, Signed
from tests.loadtest.exchange.floor import Floor

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99"}


class Desk:
    """One account's requests."""

    def __init__(self) -> None:
        self.floor = Floor([(98, 5), (50, 1)], [(101, 2), (102, 3), (200, 1)])
        self.canceled: list[str] = []
        self.signed = Signed(self.floor.trading, lambda order, _now_ms: self.canceled.append(order.client_id))

    def ask(self, method: str, path: str, **query: str) -> Any:
        self.floor.now_ms += 1
        return self.signed.acts[method, path](self.floor.first, {"symbol": "BTCUSDT"} | query, self.floor.now_ms)

    def place(self, client_id: str, **change: str) -> Any:
        return self.ask("POST", "order", **(LIMIT | {"newClientOrderId": client_id} | change))

    def refusal(self, method: str, path: str, **query: str) -> int:
        with pytest.raises(BinanceError) as refused:
            self.ask(method, path, **query)
        return refused.value.code


def test_an_order_by_either_of_its_ids() -> None:
    desk = Desk()
    placed = desk.place("mine")
    for ids in ({"orderId": str(placed["orderId"])}, {"origClientOrderId": "mine"}):
        assert desk.ask("GET", "order", **ids)["clientOrderId"] == "mine"
    assert desk.refusal("GET", "order") == -1102
    assert desk.refusal("GET", "order", orderId="99") == -2013
    assert desk.refusal("DELETE", "order", orderId="99") == -2011
    canceled = desk.ask("DELETE", "order", origClientOrderId="mine", newClientOrderId="gone")
    assert (canceled["status"], canceled["clientOrderId"]) == ("CANCELED", "gone")
    assert desk.refusal("DELETE", "order", origClientOrderId="mine") == -2011


def test_the_form_of_an_answer() -> None:
    desk = Desk()
    assert "fills" in desk.place("a")
    assert "status" not in desk.place("b", newOrderRespType="ACK")
    assert desk.refusal("POST", "order", **LIMIT, newOrderRespType="LONG") == -1150


def test_replacing() -> None:
    desk = Desk()
    desk.place("a")
    change = LIMIT | {"price": "100", "cancelReplaceMode": "STOP_ON_FAILURE"}
    both = desk.ask("POST", "order/cancelReplace", **change, cancelOrigClientOrderId="a", newClientOrderId="b")
    assert (both["cancelResult"], both["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert (both["cancelResponse"]["origClientOrderId"], both["newOrderResponse"]["clientOrderId"]) == ("a", "b")
    assert [row["clientOrderId"] for row in desk.ask("GET", "openOrders")] == ["b"]


@pytest.mark.parametrize(
    ("old", "change", "code", "status", "results"),
    [
        ("none", {}, -2022, 400, ("FAILURE", "NOT_ATTEMPTED")),
        ("none", {"cancelReplaceMode": "ALLOW_FAILURE"}, -2021, 409, ("FAILURE", "SUCCESS")),
        ("a", {"quantity": "20000"}, -2021, 409, ("SUCCESS", "FAILURE")),
        ("none", {"quantity": "20000", "cancelReplaceMode": "ALLOW_FAILURE"}, -2022, 400, ("FAILURE", "FAILURE")),
    ],
)
def test_replacing_that_fails(
    old: str, change: dict[str, str], code: int, status: int, results: tuple[str, str]
) -> None:
    desk = Desk()
    desk.place("a")
    query = LIMIT | {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": old} | change
    with pytest.raises(ReplaceError) as refused:
        desk.ask("POST", "order/cancelReplace", **query)
    error = refused.value
    assert (error.code, error.status) == (code, status)
    told = orjson.loads(error.body())
    assert (told["data"]["cancelResult"], told["data"]["newOrderResult"]) == results
    assert ("orderId" in (told["data"]["newOrderResponse"] or {})) == (results[1] == "SUCCESS")


def test_replacing_in_a_way_there_is_not() -> None:
    desk = Desk()
    assert desk.refusal("POST", "order/cancelReplace", **LIMIT) == -1102
    assert desk.refusal("POST", "order/cancelReplace", **LIMIT, cancelReplaceMode="HOPE") == -1146


@pytest.mark.parametrize(
    "change", [{"price": "99.001"}, {"quantity": "0.000001"}, {"price": "1", "quantity": "1"}, {"price": "1000000.01"}]
)
def test_nothing_is_canceled_for_what_the_filters_refuse(change: dict[str, str]) -> None:
    desk = Desk()
    desk.place("a")
    query = LIMIT | {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "a"} | change
    assert desk.refusal("POST", "order/cancelReplace", **query) == -1013
    assert [row["clientOrderId"] for row in desk.ask("GET", "openOrders")] == ["a"]


def test_a_cancel_may_be_restricted_to_what_is_not_or_partly_filled() -> None:
    desk = Desk()
    for client_id, qty, refused, taken in (("new", "1", "ONLY_PARTIALLY_FILLED", "ONLY_NEW"),
                                           ("part", "5", "ONLY_NEW", "ONLY_PARTIALLY_FILLED")):  # fmt: skip
        desk.place(client_id, quantity=qty, price="99" if client_id == "new" else "101")
        ids = {"origClientOrderId": client_id}
        assert desk.refusal("DELETE", "order", **ids, cancelRestrictions=refused) == -2011
        assert desk.refusal("DELETE", "order", **ids, cancelRestrictions="NONE") == -1145
        assert desk.ask("DELETE", "order", **ids, cancelRestrictions=taken)["status"] == "CANCELED"


def test_a_test_order_is_checked_and_forgotten() -> None:
    desk = Desk()
    assert desk.ask("POST", "order/test", **LIMIT) == {}
    assert desk.refusal("POST", "order/test", **(LIMIT | {"quantity": "20000"})) == -2010
    assert desk.ask("GET", "allOrders") == []
    assert ("POST", "order/test") not in COMMANDS


def test_all_orders_are_paged() -> None:
    desk = Desk()
    for number in range(5):
        desk.place(f"o{number}")

    def ids(**query: str) -> list[str]:
        return [row["clientOrderId"] for row in desk.ask("GET", "allOrders", **query)]

    assert ids(limit="2") == ["o3", "o4"], "the newest, unless a beginning is given"
    assert ids(orderId="2", limit="2") == ["o1", "o2"]
    created = {row["clientOrderId"]: str(row["time"]) for row in desk.ask("GET", "allOrders")}
    assert ids(startTime=created["o3"]) == ["o3", "o4"]
    assert ids(endTime=created["o1"]) == ["o0", "o1"]
    assert desk.refusal("GET", "allOrders", startTime="2", endTime="1") == -1127


def test_trades_are_paged() -> None:
    desk = Desk()
    desk.place("a", price="102", quantity="3")
    desk.place("b", price="102", quantity="1")

    def ids(**query: str) -> list[int]:
        return [row["id"] for row in desk.ask("GET", "myTrades", **query)]

    assert ids() == [1, 2, 3]
    assert ids(limit="1") == [3]
    assert ids(fromId="2", limit="1") == [2]
    assert ids(orderId="2") == [3]
    times = {row["id"]: str(row["time"]) for row in desk.ask("GET", "myTrades")}
    assert ids(startTime=times[3]) == [3]
    assert ids(endTime=times[2]) == [1, 2]


def test_cancelling_everything() -> None:
    desk = Desk()
    assert desk.refusal("DELETE", "openOrders") == -2011
    desk.place("a")
    desk.place("b")
    assert [row["origClientOrderId"] for row in desk.ask("DELETE", "openOrders")] == ["a", "b"]
    assert desk.canceled == ["a", "b"]
    assert desk.ask("GET", "openOrders") == []


def test_the_account() -> None:
    told = Desk().ask("GET", "account", omitZeroBalances="true")
    assert [row["asset"] for row in told["balances"]] == ["BTC", "USDT"]
    assert told["canTrade"] is True


def test_markets_that_are_not() -> None:
    desk = Desk()
    for method, path in desk.signed.acts:
        if path not in ("account", "openOrders") or method == "DELETE":
            assert desk.refusal(method, path, symbol="NOTHING") == -1121


PARAMETERS = {
    "symbol": ["BTCUSDT", "NOTHING", "btc", ""],
    "side": ["BUY", "SELL", "UP"],
    "type": ["LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "HOPE"],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    "quantity": ["1", "0.1", "0", "-1", "1e5", "99999999999999999999", "0.000000001"],
    "quoteOrderQty": ["100", "1", "x"],
    "price": ["99", "101", "100.5", "0.00000001", "nan"],
    "stopPrice": ["90", "110", "x"],
    "newClientOrderId": ["a", "b", "with space", ""],
    "origClientOrderId": ["a", "b", ""],
    "orderId": ["1", "2", "99999999999999999999", "-1", ""],
    "cancelReplaceMode": ["STOP_ON_FAILURE", "ALLOW_FAILURE", "x"],
    "cancelOrigClientOrderId": ["a", "b"],
    "cancelOrderId": ["1", "x"],
    "newOrderRespType": ["ACK", "FULL", "LONG"],
    "limit": ["1", "0", "5000", "x"],
    "fromId": ["1", "9"],
    "startTime": ["1", "1005", "x"],
    "endTime": ["1", "1005", "x"],
    "omitZeroBalances": ["true", "x"],
}
some_parameters = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) | st.text(max_size=5) for name, values in PARAMETERS.items()}
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), some_parameters), max_size=12))
def test_whatever_is_sent_is_answered_or_refused(requests: list[tuple[int, dict[str, str]]]) -> None:
    desk = Desk()
    acts = list(desk.signed.acts)
    for number, query in requests:
        method, path = acts[number]
        before = sum(each.free + each.locked for each in desk.floor.first.balances.values())
        try:
            told = orjson.dumps(desk.ask(method, path, **({"price": "99", "quantity": "1"} | query)))
        except BinanceError as error:
            told = error.body()
        assert told
        moved = sum(each.free + each.locked for each in desk.floor.first.balances.values()) != before
        assert not moved or desk.floor.trading.ledger.fills
