"""Functions of ccxt called over HTTP, on a gateway in front of the simulated exchange."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from gateway.config import AuthConfig
from tests.e2e.ordering import Ordering
from tests.leaks import VENUE_SECRET
from tests.plain_http import NO_TLS


async def call(gateway: Ordering, user: str | None, func: str, *args: Any, account: int = 1, **kwargs: Any) -> Any:
    """The result; fails when there is none."""
    status, answer = await refused(gateway, user, func, *args, account=account, **kwargs)
    assert status == 200, answer
    return answer["result"]


async def refused(
    gateway: Ordering, user: str | None, func: str, *args: Any, account: int = 1, **kwargs: Any
) -> tuple[int, Any]:
    """Status and body, whatever they are."""
    headers = {} if user is None else {"x-api-key": gateway.keys[user]}
    async with httpx.AsyncClient(verify=NO_TLS, base_url=f"http://127.0.0.1:{gateway.app.port}", timeout=30) as client:
        body = {"args": args, "kwargs": kwargs}
        answer = await client.post(f"/ccxt/{account}/{func}", json=body, headers=headers)
        assert VENUE_SECRET not in answer.text
        assert "signature" not in answer.text
        return answer.status_code, answer.json()


def code_of(answered: tuple[int, Any]) -> tuple[int, str, str | None]:
    status, answer = answered
    return status, answer["code"], answer.get("details", {}).get("exception")


@pytest.mark.parametrize("user", [None, "ann"])
async def test_the_market_is_told_to_everybody_as_ccxt_tells_it(
    gateway_with_orders: Ordering, user: str | None
) -> None:
    gateway = gateway_with_orders
    markets = await call(gateway, user, "loadMarkets")
    assert markets["BTC/USDT"]["precision"]["price"] == 0.01
    assert await call(gateway, user, "fetch_markets") == list(markets.values())
    ticker = await call(gateway, user, "fetch_ticker", "BTC/USDT")
    assert isinstance(ticker["last"], float)
    rows = await call(gateway, user, "fetchOHLCV", "BTC/USDT", "1m", limit=3)
    assert [len(row) for row in rows] == [6] * len(rows)
    book = await call(gateway, user, "fetch_order_book", symbol="BTC/USDT", limit=5)
    assert len(book["bids"]) == len(book["asks"]) == 5


async def test_an_exchange_says_what_can_be_called_here(gateway_with_orders: Ordering) -> None:
    told = await call(gateway_with_orders, None, "describe")
    assert told["id"] == "binance"
    assert "urls" not in told
    assert "1m" in told["timeframes"]
    has = told["has"]
    assert (has["fetchTicker"], has["withdraw"], has["transfer"], has["spot"], has["watchTicker"]) == (
        True, False, False, True, True,
    )  # fmt: skip


async def test_a_balance_is_read_by_who_may(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    balance = await call(gateway, "ann", "fetch_balance")
    assert balance["USDT"] == {"free": 1_000_000.0, "used": 0.0, "total": 1_000_000.0}
    status, answer = await gateway.ask("ann", "POST", "/ccxt/core/1/fetchBalance", {"params": {"type": "spot"}})
    assert (status, answer["result"]["BTC"]["total"]) == (200, 10.0)


async def test_refusals(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    for user, func, args, expected in (
        (None, "fetch_balance", (), (401, "missing_api_key", None)),
        ("bob", "fetch_balance", (), (404, "account_not_found", None)),
        ("bob", "fetch_ticker", ("BTC/USDT",), (404, "account_not_found", None)),
        ("ann", "withdraw", ("BTC", 1, "x"), (422, "unsupported_action", "NotSupported")),
        ("ann", "transfer", ("BTC", 1, "a", "b"), (422, "unsupported_action", "NotSupported")),
        ("ann", "private_get_account", (), (422, "unsupported_action", "NotSupported")),
        ("ann", "__class__", (), (422, "unsupported_action", "NotSupported")),
        ("ann", "fetch_ticker", (), (422, "validation_error", "ArgumentsRequired")),
        ("ann", "fetch_ticker", (7,), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ticker", ("BTC/USDT", {}, 1), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ticker", ("NO/SUCH",), (404, "unknown_symbol", "BadSymbol")),
        ("ann", "fetch_trades", ("BTC/USDT", None, 0), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ohlcv", ("BTC/USDT", "7q"), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ohlcv", ("BTC/USDT", "7m"), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_balance", ({"method": "privatePostWithdraw"},), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_open_interest", ("BTC/USDT",), (422, "unsupported_action", "NotSupported")),
    ):
        assert code_of(await refused(gateway, user, func, *args)) == expected, func
    assert code_of(await refused(gateway, None, "fetch_time", account=99))[:2] == (404, "account_not_found")


async def test_an_order_by_ccxts_words_is_one_of_the_oms(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    params = {"clientOrderId": "mine-1", "timeInForce": "GTC", "request_id": "r-1"}
    made = await call(gateway, "ann", "createOrder", "BTC/USDT", "limit", "buy", 0.0100049, 50000.004, params)
    assert (made["status"], made["amount"], made["price"], made["clientOrderId"]) == ("open", 0.01, 50000.0, "mine-1")
    again = await call(gateway, "ann", "createOrder", "BTC/USDT", "limit", "buy", 0.0100049, 50000.004, params)
    assert again["id"] == made["id"], "the same request_id"
    order = await gateway.order(int(made["id"]))
    assert made["info"] == order
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    assert [entry["order_id"] for entry in ledger["orders"]] == [int(order["exchange_order_id"])]
    edited = await call(gateway, "ann", "edit_order", made["id"], "BTC/USDT", "limit", "buy", 0.02, 50001)
    assert (edited["id"], edited["amount"], edited["price"]) == (made["id"], 0.02, 50001.0)
    assert await call(gateway, "ann", "fetch_open_orders", "BTC/USDT") == [edited]
    canceled = await call(gateway, "ann", "cancel_order", None, "BTC/USDT", {"clientOrderId": "mine-1"})
    assert (canceled["id"], canceled["status"]) == (made["id"], "canceled")
    assert await call(gateway, "ann", "fetch_order", made["id"]) == canceled
    assert await call(gateway, "ann", "fetch_canceled_orders") == [canceled]
    assert code_of(await refused(gateway, "ann", "cancel_order", made["id"]))[:2] == (409, "invalid_order_state")


async def test_a_fill_is_a_trade_and_a_position_until_it_is_closed(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    bought = await call(gateway, "ann", "create_market_buy_order", "BTC/USDT", 0.5)
    await gateway.until_order(int(bought["id"]), state="FILLED")
    order = await call(gateway, "ann", "fetch_order", bought["id"])
    trades = await call(gateway, "ann", "fetch_my_trades", "BTC/USDT")
    assert trades == await call(gateway, "ann", "fetch_order_trades", bought["id"])
    assert {trade["order"] for trade in trades} == {bought["id"]}
    assert sum(trade["amount"] for trade in trades) == pytest.approx(0.5)
    assert order["cost"] == pytest.approx(sum(trade["cost"] for trade in trades))
    assert order["fees"][0]["cost"] == pytest.approx(sum(trade["fee"]["cost"] for trade in trades))
    (held,) = await call(gateway, "ann", "fetch_positions", ["BTC/USDT"])
    assert (held["side"], held["contracts"]) == ("long", 0.4995)
    assert held["unrealizedPnl"] == pytest.approx((held["markPrice"] - held["entryPrice"]) * 0.4995)
    closing = await call(gateway, "ann", "close_position", "BTC/USDT", "long")
    await gateway.until_order(int(closing["id"]), state="FILLED")
    assert await call(gateway, "ann", "fetch_positions") == []
    (was,) = await call(gateway, "ann", "fetch_positions_history", ["BTC/USDT"])
    assert was["id"] == held["id"]


async def test_several_orders_at_once(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    one = {"symbol": "BTC/USDT", "type": "limit", "side": "buy", "amount": 0.01, "price": 50000}
    dear = {**one, "amount": 100, "price": 60000}
    made = await call(gateway, "ann", "create_orders", [one, dear, one], {"request_id": "batch"})
    assert [order["status"] for order in made] == ["open", "rejected", "open"]
    assert made[1]["info"]["error"]["code"] == "insufficient_funds"
    assert len(await call(gateway, "ann", "fetch_orders", None, None, 2)) == 2
    ids = [order["id"] for order in made if order["status"] == "open"]
    (first,) = await call(gateway, "ann", "cancel_orders", ids[:1])
    assert (first["id"], first["status"]) == (ids[0], "canceled")
    (rest,) = await call(gateway, "ann", "cancelAllOrders", "BTC/USDT")
    assert (rest["id"], rest["status"]) == (ids[1], "canceled")
    armed = await call(gateway, "ann", "cancel_all_orders_after", 60_000)
    assert armed["triggerTime"] > first["timestamp"]
    assert (await call(gateway, "ann", "cancel_all_orders_after", 0))["triggerTime"] is None


async def test_orders_are_of_who_may_trade(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    made = await call(gateway, "ann", "create_limit_buy_order", "BTC/USDT", 0.01, 50000)
    arguments = ("BTC/USDT", "limit", "buy", 0.01, 50000)
    for user, func, args, expected in (
        (None, "create_order", arguments, (401, "missing_api_key", None)),
        ("bob", "create_order", arguments, (404, "account_not_found", None)),
        ("bob", "cancel_order", (made["id"],), (404, "account_not_found", None)),
        ("bob", "fetch_order", (made["id"],), (404, "account_not_found", None)),
        ("ann", "fetch_order", ("x-1",), (404, "order_not_found", "OrderNotFound")),
        ("ann", "cancel_order", ("999",), (404, "order_not_found", "OrderNotFound")),
        ("ann", "cancel_order", (), (422, "validation_error", "ArgumentsRequired")),
        ("ann", "create_order", ("NO/SUCH", *arguments[1:]), (404, "unknown_symbol", None)),
        ("ann", "create_order", (*arguments[:4],), (422, "validation_error", "ArgumentsRequired")),
        ("ann", "create_order", ("BTC/USDT", "limit", "buy", 1e-9, 50000), (422, "validation_error", "InvalidOrder")),
        ("ann", "create_order", (*arguments, {"trailingPercent": 1}), (422, "unsupported_action", "NotSupported")),
        ("ann", "edit_order", (made["id"], None, None, "sell", 1), (422, "validation_error", "InvalidOrder")),
        ("ann", "close_position", ("BTC/USDT",), (422, "validation_error", "InvalidOrder")),
    ):
        assert code_of(await refused(gateway, user, func, *args)) == expected, func
    assert code_of(await refused(gateway, "bob", "cancel_order", made["id"], account=2))[:2] == (404, "order_not_found")
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    assert len(ledger["orders"]) == 1


async def limited(gateway: Ordering, **limits: Any) -> None:
    """The gateway with these limits from now on."""
    await gateway.stop()
    changed = msgspec.structs.replace(gateway.config.limits, **limits)
    gateway.config = msgspec.structs.replace(gateway.config, limits=changed)
    await gateway.start()


async def test_an_exchange_that_hangs_keeps_nobody_waiting(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await limited(gateway, ccxt_call_timeout_s=3)
    await call(gateway, "ann", "fetch_balance")
    await gateway.exchange.fault("late", ms=8_000, request="GET account")
    assert code_of(await refused(gateway, "ann", "fetch_balance")) == (503, "exchange_unavailable", "RequestTimeout")
    assert (await call(gateway, "ann", "fetch_ticker", "BTC/USDT"))["last"]
    assert (await gateway.send())["ok"], "orders do not wait behind it"


async def test_many_callers_at_once_are_served_in_turn_or_sent_away(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await limited(gateway, ccxt_calls_running_max=2, ccxt_calls_waiting_max=20)
    await call(gateway, None, "load_markets")
    answers = await asyncio.gather(*(refused(gateway, None, "fetch_ticker", "BTC/USDT") for _ in range(20)))
    assert [status for status, _ in answers] == [200] * 20
    answers = await asyncio.gather(*(refused(gateway, None, "fetch_ticker", "BTC/USDT") for _ in range(60)))
    refusals = {code_of(answer) for answer in answers if answer[0] != 200}
    assert refusals == {(429, "rate_limited", "RateLimitExceeded")}
    assert sum(status == 200 for status, _ in answers) >= 22


async def test_calls_count_for_the_rate_of_a_key(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await gateway.stop()
    auth = AuthConfig(
        master_keys=gateway.config.auth.master_keys, key_requests_per_s=1, key_requests_burst=20,
        anonymous_market_data=False,
    )  # fmt: skip
    gateway.config = msgspec.structs.replace(gateway.config, auth=auth)
    await gateway.start()
    answers = await asyncio.gather(*(refused(gateway, "ann", "describe") for _ in range(80)))
    limited = [answer for status, answer in answers if status == 429]
    assert 0 < len(limited) < 80
    assert {(answer["code"], answer["retry_after_ms"] > 0) for answer in limited} == {("rate_limited", True)}
    assert code_of(await refused(gateway, None, "fetch_time"))[:2] == (401, "missing_api_key")
