"""The ledger has what happened, and each account its own part of it."""

from loadtest.exchange.ledger import Ledger
from tests.loadtest.exchange.floor import Floor


def test_orders_and_fills_with_client_ids_and_times() -> None:
    the = Floor([(99, 5)], [(101, 5), (200, 1)])
    resting = the.limit("sell", 2, 100, client_id="maker")
    taker = the.limit("buy", 3, 101, client_id="taker", of=the.second)
    rows = the.trading.ledger.rows()
    assert [(row["client_order_id"], row["account"], row["status"]) for row in rows["orders"]] == [
        ("maker", "default", "FILLED"), ("taker", "second", "FILLED"),
    ]  # fmt: skip
    assert (rows["orders"][0]["created_ms"], rows["orders"][0]["updated_ms"]) == (resting.created_ms, taker.created_ms)
    assert [(row["client_order_id"], row["price"], row["qty"], row["maker"]) for row in rows["fills"]] == [
        ("maker", "100.00000000", "2.00000000", True),
        ("taker", "100.00000000", "2.00000000", False),
        ("taker", "101.00000000", "1.00000000", False),
    ]
    assert all(row["time_ms"] == taker.created_ms for row in rows["fills"])


def test_of_one_account() -> None:
    the = Floor([(99, 5)], [(101, 5), (200, 1)])
    the.limit("sell", 2, 100)
    the.limit("buy", 3, 101, of=the.second)
    the.trading.ledger.receive(1, "second", "POST", "/api/v3/order", {"symbol": "BTCUSDT"})
    rows = the.trading.ledger.rows("second")
    assert [len(rows[kind]) for kind in ("requests", "orders", "fills")] == [1, 1, 2]


def test_what_was_received_and_never_carried_out_says_so() -> None:
    ledger = Ledger()
    ledger.receive(5, "default", "POST", "/api/v3/order", {"newClientOrderId": "a"})
    assert ledger.rows()["requests"] == [
        {
            "number": 1,
            "time_ms": 5,
            "account": "default",
            "method": "POST",
            "path": "/api/v3/order",
            "params": {"newClientOrderId": "a"},
            "outcome": "received",
            "order_id": None,
            "answer": "none",
        }
    ]
