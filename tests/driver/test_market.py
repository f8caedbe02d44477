"""What is passed through: markets, prices, balances, and that `has` tells the truth once markets are loaded."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt
import pytest
from ccxt.base.errors import BadSymbol, PermissionDenied

from driver.market import pass_through_methods
from tests.driver.conftest import Client
from tests.driver.stub import MARKETS, Stub, refused


def test_markets_are_those_of_the_exchange_behind(client: Client, stub: Stub) -> None:
    markets = client("load_markets")
    assert set(markets) == {market["symbol"] for market in MARKETS}
    exchange = client.exchange
    assert exchange.market("BTC/USDT")["limits"]["amount"]["min"] == 1e-5
    assert exchange.amount_to_precision("BTC/USDT", 0.123456789) == "0.12345"
    assert exchange.price_to_precision("BTC/USDT", 50000.126) == "50000.13"
    assert exchange.currencies["BTC"]["id"] == "BTC"
    assert (exchange.timeframes, exchange.precisionMode, exchange.paddingMode) == ({"1m": "1m", "1h": "1h"}, 4, 5)
    assert exchange.fees["trading"]["maker"] == 0.0009
    assert exchange.limits["leverage"]["max"] == 20
    assert exchange.features["spot"]["fetchOHLCV"]["limit"] == 1000
    assert exchange.rateLimit == 5, "its own: the gateway keeps the exchange's"
    client("load_markets")
    assert len(stub.asked("POST /ccxt/1/fetch_markets")) == 1
    client("load_markets", True)
    assert len(stub.asked("POST /ccxt/1/fetch_markets")) == 2


def test_has_tells_the_truth_once_markets_are_loaded(client: Client) -> None:
    exchange = client.exchange
    assert "fetchLedger" in exchange.has
    client("load_markets")
    has = exchange.has
    assert (has["fetchStatus"], has["fetchL3OrderBook"], has["fetchLedger"]) == (True, False, "emulated")
    assert (has["createOrder"], has["withdraw"], has["swap"]) == (True, False, True)
    assert has["option"] is has["future"] is has["index"] is False, "there is no such market"
    assert not has.get("watchTicker")
    assert not has.get("createOrderWs")
    assert not set(exchange.describe()["has"]) - set(has), "programs look for what ccxt always has"


def test_a_client_that_shares_markets_knows_what_came_with_them(client: Client) -> None:
    client("load_markets")
    other = Client("sync", {})
    other.exchange.set_markets_from_exchange(client.exchange)
    for name in ("has", "timeframes", "precisionMode", "paddingMode", "features", "fees", "limits"):
        assert getattr(other.exchange, name) == getattr(client.exchange, name), name
    assert other.exchange.amount_to_precision("BTC/USDT", 0.123456789) == "0.12345"
    other.close()


def test_an_exchange_without_currencies_is_not_asked_for_them(client: Client, stub: Stub) -> None:
    stub.on("POST /ccxt/1/describe", {"result": {"has": {"fetchCurrencies": False}}})
    client("load_markets")
    assert not stub.asked("POST /ccxt/1/fetch_currencies")
    assert client.exchange.currencies["USDT"]["code"] == "USDT", "made of the markets, as ccxt does"


def test_any_unified_method_is_what_the_exchange_behind_answers(client: Client, stub: Stub) -> None:
    candles = [[1770474600000, 1.0, 2.0, 0.5, 1.5, 10.0]]
    stub.on("POST /ccxt/1/fetch_ohlcv", {"result": candles})
    assert client("fetch_ohlcv", "BTC/USDT", "1h", 1770474600000, limit=5, params={"price": "mark"}) == candles
    sent = stub.requests[-1].body
    assert sent == {"args": ["BTC/USDT", "1h", 1770474600000, 5], "kwargs": {"params": {"price": "mark"}}}
    assert client("fetchOHLCV", "BTC/USDT") == candles
    assert stub.requests[-1].body == {"args": ["BTC/USDT", "1m"], "kwargs": {}}


def test_numbers_are_numbers_with_and_without_a_fast_json(client: Client, stub: Stub) -> None:
    stub.on("POST /ccxt/1/fetch_tickers", {"result": {"BTC/USDT": {"last": 50000.5, "timestamp": 1770474600123}}})
    ticker = client("fetch_tickers", ["BTC/USDT"])["BTC/USDT"]
    assert (ticker["last"], ticker["timestamp"]) == (50000.5, 1770474600123)


def test_the_balance_is_the_accounts(client: Client, stub: Stub) -> None:
    balance = {"BTC": {"free": 1.5, "used": 0.5, "total": 2.0}, "free": {"BTC": 1.5}, "info": {}}
    stub.on("POST /ccxt/core/1/fetch_balance", {"result": balance})
    assert client("fetch_balance", {"type": "spot"}) == balance
    assert stub.requests[-1].body == {"params": {"type": "spot"}}
    assert client("fetch_free_balance") == {"BTC": 1.5}


def test_what_the_gateway_refuses_is_raised_as_the_exchange_raised_it(client: Client, stub: Stub) -> None:
    stub.on("POST /ccxt/1/fetch_ticker", refused("unknown_symbol", 404, details={"exception": "BadSymbol"}))
    with pytest.raises(BadSymbol):
        client("fetch_ticker", "XXX/YYY")
    stub.on("POST /ccxt/1/fetch_deposits", refused("permission_denied", 403))
    with pytest.raises(PermissionDenied):
        client("fetch_deposits")


def test_money_never_leaves_by_this_way(client: Client, stub: Stub) -> None:
    for name, arguments in (("withdraw", ("BTC", 1, "address")), ("transfer", ("BTC", 1, "spot", "swap"))):
        with pytest.raises(ccxt.NotSupported):
            client(name, *arguments)
    assert stub.requests == []


def test_a_ticker_is_asked_for_each_time_unless_a_cache_is_wanted(client: Client, stub: Stub) -> None:
    numbers = iter(range(100))
    stub.on("POST /ccxt/1/fetch_ticker", lambda _: {"result": {"last": next(numbers)}})
    assert [client("fetch_ticker", "BTC/USDT")["last"] for _ in range(2)] == [0, 1]
    client.exchange.options["ticker_cache_ms"] = 60_000
    told = [client("fetch_ticker", "BTC/USDT") for _ in range(2)]
    for ticker in told:
        ticker["last"] += 90
    assert [*(ticker["last"] for ticker in told), client("fetch_ticker", "BTC/USDT")["last"]] == [92, 92, 2]
    assert client("fetch_ticker", "ETH/USDT")["last"] == 3
    assert client("fetch_ticker", "BTC/USDT", {"name": "mini"})["last"] == 4, "another question"
    client.exchange.options["ticker_cache_ms"] = 0.001
    assert client("fetch_ticker", "BTC/USDT")["last"] == 5


def test_methods_of_ccxt_are_passed_and_those_with_a_socket_are_not() -> None:
    plans = pass_through_methods()
    assert {"fetch_ohlcv", "fetch_order_book", "fetch_status", "fetch_funding_rate", "set_leverage"} <= set(plans)
    assert not [name for name in plans if name.endswith("_ws") or name.startswith("watch")]
    assert "withdraw" not in plans
    assert "fetch_l2_order_book" not in plans


async def test_clients_share_options_and_nothing_else(stub: Stub, config: dict[str, Any]) -> None:
    from driver.async_ import OmsCcxtExchange

    first, second = OmsCcxtExchange(config), OmsCcxtExchange({**config, "options": config["options"]})
    await asyncio.gather(first.load_markets(), second.load_markets())
    assert first.markets.keys() == second.markets.keys()
    assert first.has is not second.has
    await asyncio.gather(first.close(), second.close())
