"""Accounts and funds."""

import random
from typing import Any

import ccxt.async_support
import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options


async def test_an_account_is_opened_and_trades(still: ExchangeServer, client: Client) -> None:
    status, account = await client.post("/admin/account", name="second", funds={"USDT": "100"}, taker_fee_parts=0)
    assert status == 200
    assert account["balances"] == {"USDT": {"free": "100.00000000", "locked": "0.00000000"}}
    exchange = ccxt.async_support.binance(trader_options(still.base_url, account["api_key"], account["secret"]))
    try:
        order = await exchange.create_order("BTC/USDT", "market", "buy", 0.001)
        balance = await exchange.fetch_balance()
        assert balance["BTC"]["total"] == 0.001, "no fee was taken"
        assert balance["USDT"]["total"] == pytest.approx(100 - order["cost"])
    finally:
        await exchange.close()
    names = [row["name"] for row in (await client.get("/admin/accounts"))[1]]
    assert names == ["default", "second"]


@pytest.mark.parametrize(
    ("path", "command", "status"),
    [
        ("account", {"name": "default"}, 409),
        ("account", {"name": "x", "funds": "much"}, 400),
        ("account", {"name": "x", "funds": {"USDT": 1}}, 400),
        ("account", {"name": "x", "funds": {"USDT": "much"}}, 400),
        ("account", {"name": "x", "funds": {"USDT": "-1"}}, 400),
        ("account", {"name": "x", "maker_fee_parts": "1"}, 400),
        ("account", {}, 400),
        ("fund", {"asset": "USDT", "amount": "-2000000"}, 409),
        ("fund", {"account": "nobody", "asset": "USDT", "amount": "1"}, 409),
        ("fill", {"symbol": "BTCUSDT", "order_id": 99}, 409),
        ("fill", {"symbol": "BTCUSDT", "order_id": "99"}, 400),
        ("fill", {"symbol": "BTCUSDT"}, 400),
    ],
)
async def test_wrong_commands(client: Client, path: str, command: dict[str, Any], status: int) -> None:
    got, answer = await client.post(f"/admin/{path}", **command)
    assert got == status
    assert answer["error"]


VALUES = ["default", "BTCUSDT", "POST order", "1", "-1", "much", "", 1, 0, -1, 2.5, True, None, [], {"USDT": "-1"}]
NAMES = [
    *("name", "asset", "amount", "account", "funds", "symbol", "order_id", "client_order_id", "qty", "price", "count"),
    *("request", "accepted", "ms", "status", "code", "message", "maker_fee_parts", "api_key", "secret"),
]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_commanded_is_carried_out_or_refused(
    still: ExchangeServer, client: Client, seed: int
) -> None:
    rng = random.Random(seed)
    kinds = list(still.faults._kinds)
    for _ in range(150):
        path = rng.choice(["account", "fund", "fill", "faults", "faults"])
        command = {name: rng.choice(VALUES) for name in rng.sample(NAMES, rng.randrange(6))}
        status, answer = await client.post(
            f"/admin/{path}", **({"fault": rng.choice(kinds), "symbol": "BTCUSDT"} | command)
        )
        assert (status == 200) == ("error" not in answer)
        assert status in (200, 400, 409)
    for account in still.accounts.by_name.values():
        assert all(balance.free >= 0 for balance in account.balances.values())
