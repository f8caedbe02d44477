"""Binance's words, field by field where a reader depends on them."""

from loadtest.exchange import reports
from loadtest.exchange.decimals import ONE
from loadtest.exchange.orders import Order, Type
from tests.loadtest.exchange.floor import Floor, units

BIDS, ASKS = [(99, 5)], [(101, 2), (200, 1)]


def _partly_filled() -> tuple[Floor, Order]:
    the = Floor(BIDS, ASKS)
    return the, the.limit("buy", 3, 101, client_id="mine")


def test_a_new_order_is_answered_in_three_forms() -> None:
    _, order = _partly_filled()
    short = {"symbol": "BTCUSDT", "orderId": 1, "orderListId": -1, "clientOrderId": "mine"}
    assert reports.placed(order, "ACK") == short | {"transactTime": order.updated_ms}
    result = reports.placed(order, "RESULT")
    assert result.items() >= (short | {
        "origQty": "3.00000000", "executedQty": "2.00000000", "cummulativeQuoteQty": "202.00000000",
        "status": "PARTIALLY_FILLED", "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "price": "101.00000000",
    }).items()  # fmt: skip
    assert reports.placed(order, "FULL") == result | {
        "fills": [
            {"price": "101.00000000", "qty": "2.00000000", "commission": "0.00200000", "commissionAsset": "BTC",
             "tradeId": order.fills[0].trade_id},
        ]
    }  # fmt: skip


def test_a_query_tells_what_works_and_what_waits() -> None:
    the, order = _partly_filled()
    assert reports.state(order)["isWorking"] is True
    waiting = the.place("buy", Type.STOP_LOSS_LIMIT, 1, 150, stop_price=units(150))
    told = reports.state(waiting)
    assert (told["isWorking"], told["stopPrice"], told["workingTime"]) == (False, "150.00000000", -1)
    assert (told["time"], told["updateTime"]) == (waiting.created_ms, waiting.updated_ms)


def test_a_cancel_goes_by_its_own_id() -> None:
    the, order = _partly_filled()
    the.cancel(order)
    told = reports.canceled(order, "cancel")
    assert (told["clientOrderId"], told["origClientOrderId"], told["status"]) == ("cancel", "mine", "CANCELED")
    event = next(report for _, report in reversed(the.events) if report["e"] == "executionReport")
    assert (event["c"], event["C"], event["x"], event["X"]) == ("cancel", "mine", "CANCELED", "CANCELED")


def test_a_fill_as_an_event_and_as_a_row() -> None:
    the, order = _partly_filled()
    event = next(report for _, report in the.events if report.get("x") == "TRADE")
    fill = order.fills[0]
    assert event.items() >= {
        "s": "BTCUSDT", "c": "mine", "C": "", "S": "BUY", "X": "PARTIALLY_FILLED", "i": order.id, "l": "2.00000000",
        "z": "2.00000000", "L": "101.00000000", "n": "0.00200000", "N": "BTC", "t": fill.trade_id, "m": False,
        "T": fill.time_ms, "Y": "202.00000000", "Z": "202.00000000",
    }.items()  # fmt: skip
    assert reports.trade(fill).items() >= {
        "id": fill.trade_id, "orderId": order.id, "price": "101.00000000", "qty": "2.00000000",
        "quoteQty": "202.00000000", "commission": "0.00200000", "commissionAsset": "BTC", "isBuyer": True,
        "isMaker": False, "time": fill.time_ms,
    }.items()  # fmt: skip


def test_events_are_numbered() -> None:
    the, order = _partly_filled()
    the.cancel(order)
    numbers = [report["I"] for _, report in the.events if report["e"] == "executionReport"]
    assert numbers == [1, 2, 3]


def test_balances() -> None:
    the, _ = _partly_filled()
    the.first.balance("DOGE")
    told = reports.account(the.first, omit_zero=False)
    assert told["balances"] == [
        {"asset": "BTC", "free": "1001.99800000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "999697.00000000", "locked": "101.00000000"},
        {"asset": "DOGE", "free": "0.00000000", "locked": "0.00000000"},
    ]
    assert told["commissionRates"] == {
        "maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000",
    }  # fmt: skip
    brief = reports.account(the.first, omit_zero=True)["balances"]
    assert isinstance(brief, list)
    assert len(brief) == 2
    assert reports.position(the.first, ["USDT"], 9) == {
        "e": "outboundAccountPosition", "E": 9, "u": the.first.updated_ms,
        "B": [{"a": "USDT", "f": "999697.00000000", "l": "101.00000000"}],
    }  # fmt: skip
    assert reports.balance_update("USDT", -ONE, 9)["d"] == "-1.00000000"
