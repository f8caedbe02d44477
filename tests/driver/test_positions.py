"""Which resources positions come from, what they are valued at, and how one is closed."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base.errors import BadRequest, InvalidOrder

from tests.driver.conftest import Client
from tests.driver.stub import Stub, items, order, page, position, refused, result, results

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(autouse=True)
def _prices(stub: Stub) -> None:
    stub.on("POST /ccxt/1/fetch_ticker", {"result": {"symbol": SYMBOL, "last": 51000.0}})


def test_open_positions_are_valued_at_the_market(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position()))
    (made,) = client("fetch_positions", [SYMBOL])
    assert (made["symbol"], made["side"], made["contracts"], made["contractSize"]) == (SYMBOL, "long", 0.5, 1.0)
    assert (made["entryPrice"], made["markPrice"], made["unrealizedPnl"]) == (50000.0, 51000.0, 500.0)
    assert (made["notional"], made["realizedPnl"], made["stopLossPrice"]) == (25500.0, 1.5, 45000.0)
    query = stub.asked("GET /oms/positions/open")[0].query
    assert (query["account_ids"], query["symbol"]) == ("1", SYMBOL)


def test_of_two_symbols_the_positions_are_chosen_here(client: Client, stub: Stub) -> None:
    rows = [position(1), position(2, symbol="ETH/USDT"), position(3, symbol="BTC/USDT")]
    stub.on("GET /oms/positions/open", page(*rows))
    assert [made["id"] for made in client("fetch_positions", [SYMBOL, "BTC/USDT"])] == ["1", "3"]
    assert "symbol" not in stub.asked("GET /oms/positions/open")[0].query
    assert len(client("fetch_positions")) == 3


def test_without_a_price_a_position_is_told_without_a_value(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position()))
    stub.on("POST /ccxt/1/fetch_ticker", refused("unknown_symbol", 404))
    (made,) = client("fetch_positions")
    assert (made["contracts"], made["unrealizedPnl"], made["markPrice"]) == (0.5, None, None)


def test_the_position_of_a_symbol(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position()), page())
    assert client("fetch_position", SYMBOL)["id"] == "3"
    nothing = client("fetch_position", SYMBOL)
    assert (nothing["symbol"], nothing["contracts"], nothing["side"]) == (SYMBOL, 0.0, None)
    stub.on("GET /oms/positions/open", page(position()))
    assert [made["id"] for made in client("fetch_positions_for_symbol", SYMBOL)] == ["3"]


def test_closed_positions(client: Client, stub: Stub) -> None:
    closed = position(qty="0", state="closed", closed_at="2026-02-07T15:00:00.000Z", realized_pnl="12.5")
    stub.on("GET /oms/positions/history", page(closed))
    for made in (
        client("fetch_positions_history", [SYMBOL], 1770472800000, 5),
        client("fetch_position_history", SYMBOL, 1770472800000, 5),
    ):
        assert [(each["id"], each["contracts"], each["realizedPnl"]) for each in made] == [("3", 0.0, 12.5)]
    query = stub.requests[-1].query
    assert (query["from"], query["symbol"]) == ("2026-02-07T14:00:00.000Z", SYMBOL)
    with pytest.raises(BadRequest):
        client("fetch_positions_history", [SYMBOL], None, "all")


def test_a_position_is_closed_by_its_symbol(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position()))
    stub.on("POST /oms/commands", results(result(order=order(side="sell", symbol=SYMBOL))))
    assert client("close_position", SYMBOL)["side"] == "sell"
    client("close_position", SYMBOL, "buy", {"amount": 0.25, "price": 52000})
    bodies = [request.body for request in stub.asked("POST /oms/commands")]
    assert [body["payload"] for body in bodies] == [
        {"position_id": 3}, {"position_id": 3, "qty": "0.25", "order_type": "limit", "price": "52000"},
    ]  # fmt: skip
    assert {body["command"] for body in bodies} == {"close_position"}


def test_a_position_that_is_closed_has_its_order_though_that_cannot_be_read(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position()))
    stub.on("POST /oms/commands", results(result()))
    stub.on("GET /oms/orders/10", refused("engine_unavailable", 503))
    made = client("close_position", SYMBOL)
    assert (made["id"], made["status"], made["symbol"]) == ("10", "open", SYMBOL)


def test_which_of_several_positions_has_to_be_said(client: Client, stub: Stub) -> None:
    stub.on("GET /oms/positions/open", page(position(3), position(4, qty="-1", side="short"), position(5)))
    stub.on("POST /oms/commands", results(result()))
    stub.on("GET /oms/orders/10", items(order()))
    for arguments in ((SYMBOL,), (SYMBOL, "long"), (SYMBOL, None, {"position_id": 9})):
        with pytest.raises(InvalidOrder, match="position_id"):
            client("close_position", *arguments)
    with pytest.raises(BadRequest):
        client("close_position", SYMBOL, None, {"position_id": "the first"})
    chosen: list[Any] = [(SYMBOL, "short"), (SYMBOL, "sell"), (SYMBOL, "long", {"position_id": 5})]
    for arguments in chosen:
        client("close_position", *arguments)
    sent = [request.body["payload"]["position_id"] for request in stub.asked("POST /oms/commands")]
    assert sent == [4, 4, 5]
