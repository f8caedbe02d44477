"""Functions of ccxt called over HTTP, on a gateway in front of the simulated exchange."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.ordering import Ordering
from tests.leaks import VENUE_SECRET


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
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.app.port}", timeout=30) as client:
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
        ("ann", "fetch_trades", ("BTC/USDT", None, 10**6), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ohlcv", ("BTC/USDT", "7q"), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_ohlcv", ("BTC/USDT", "7m"), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_balance", ({"method": "privatePostWithdraw"},), (422, "validation_error", "BadRequest")),
        ("ann", "fetch_open_interest", ("BTC/USDT",), (422, "unsupported_action", "NotSupported")),
    ):
        assert code_of(await refused(gateway, user, func, *args)) == expected, func
    assert code_of(await refused(gateway, None, "fetch_time", account=99))[:2] == (404, "account_not_found")
