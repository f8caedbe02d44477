"""The REST side: through ccxt's own classes, and where they do not look, by hand."""

import asyncio
from typing import Any

import ccxt
import ccxt.async_support
import pytest

from loadtest.exchange.decimals import show
from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, ccxt_options, synthetic

SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def _check(exchange: Any, results: dict[str, Any]) -> None:
    assert list(results["load_markets"]) == SYMBOLS
    market = exchange.market("BTC/USDT")
    assert (market["id"], market["active"], market["spot"]) == ("BTCUSDT", True, True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.00001)
    assert market["limits"]["cost"]["min"] == 5
    assert set(results["tickers"]) == set(results["tickers_of"]) == set(results["bids_asks"]) == set(SYMBOLS)
    ticker, book = results["ticker"], results["book"]
    assert ticker["bid"] == book["bids"][0][0] == results["bids_asks"]["BTC/USDT"]["bid"]
    assert ticker["ask"] == book["asks"][0][0] > book["bids"][0][0]
    assert len(book["bids"]) == 20
    assert len(results["trades"]) == 31
    assert ticker["last"] == results["trades"][-1]["price"] == results["prices"]["BTC/USDT"]["price"]
    assert [trade["side"] for trade in results["trades"][-2:]] == ["buy", "sell"]
    bars = results["ohlcv"]
    assert sum(bar[5] for bar in bars) == pytest.approx(ticker["baseVolume"])
    assert bars[-1][4] == ticker["last"]


def _fetch_all(exchange: Any) -> dict[str, Any]:
    return {
        "load_markets": exchange.load_markets(),
        "ticker": exchange.fetch_ticker("BTC/USDT"),
        "tickers": exchange.fetch_tickers(),
        "tickers_of": exchange.fetch_tickers(SYMBOLS),
        "bids_asks": exchange.fetch_bids_asks(SYMBOLS),
        "prices": exchange.fetch_last_prices(SYMBOLS),
        "book": exchange.fetch_order_book("BTC/USDT", 20),
        "trades": exchange.fetch_trades("BTC/USDT"),
        "ohlcv": exchange.fetch_ohlcv("BTC/USDT", "1m"),
        "time": exchange.fetch_time(),
    }


async def test_sync_ccxt(still: ExchangeServer) -> None:
    still.feed.burst("btcusdt@trade", 30)
    exchange = ccxt.binance(ccxt_options(still.base_url))
    try:
        _check(exchange, await asyncio.to_thread(_fetch_all, exchange))
    finally:
        exchange.session.close()


async def test_async_ccxt(still: ExchangeServer) -> None:
    still.feed.burst("btcusdt@trade", 30)
    exchange = ccxt.async_support.binance(ccxt_options(still.base_url))
    try:
        await exchange.load_markets()
        _check(exchange, {name: await result for name, result in _fetch_all(exchange).items()})
        with pytest.raises(ccxt.BadSymbol):
            await exchange.publicGetDepth({"symbol": "NOPE"})
        with pytest.raises(ccxt.BadRequest):
            await exchange.publicGetKlines({"symbol": "BTCUSDT", "interval": "7m"})
    finally:
        await exchange.close()


async def test_klines_in_a_range() -> None:
    async with synthetic(symbols=1) as server, Client(server) as client:
        bars = server.feed.markets["BTCUSDT"].bars
        now_ms = server.feed.now_ms()
        opened_ms = now_ms // 1000 * 1000 - 5_000
        # Trades of the last seconds, as if the market had been there for a while.
        made = server.feed.markets["BTCUSDT"].trades[-1]
        assert bars.rows("1s", now_ms, None, None, 10)
        query = {"symbol": "BTCUSDT", "interval": "1s"}
        status, rows = await client.get("/api/v3/klines", **query, startTime=str(opened_ms), limit="3")
        assert status == 200
        assert rows[0][0] == made.time_ms // 1000 * 1000
        assert rows[0][4] == show(made.price)
        assert rows[0][6] == rows[0][0] + 999
        assert len(rows[0]) == 12
        assert (await client.get("/api/v3/klines", **query, endTime=str(opened_ms)))[1] == []


async def test_trades_and_their_aggregates(still: ExchangeServer, client: Client) -> None:
    still.feed.trade("BTCUSDT", "50", buy=True)
    trades = (await client.get("/api/v3/trades", symbol="BTCUSDT", limit="1000"))[1]
    assert [trade["id"] for trade in trades] == list(range(trades[0]["id"], trades[0]["id"] + len(trades)))
    assert trades[-1].keys() == {"id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"}
    made = (await client.get("/api/v3/aggTrades", symbol="BTCUSDT", limit="1000"))[1]
    assert [number for row in made for number in range(row["f"], row["l"] + 1)] == [trade["id"] for trade in trades]
    assert (await client.get("/api/v3/trades", symbol="BTCUSDT", limit="2"))[1] == trades[-2:]
    assert (await client.get("/api/v3/aggTrades", symbol="BTCUSDT", limit="2"))[1] == made[-2:]
    assert (await client.get("/api/v3/aggTrades", symbol="BTCUSDT", limit="2", fromId=str(made[1]["a"])))[1] == made[
        1:3
    ]
    since = str(made[-1]["T"] + 1)
    assert (await client.get("/api/v3/aggTrades", symbol="BTCUSDT", startTime=since))[1] == []


@pytest.mark.parametrize("path", ["ticker/24hr", "ticker/bookTicker", "ticker/price"])
async def test_tickers_of_one_of_some_and_of_all(client: Client, path: str) -> None:
    single = (await client.get(f"/api/v3/{path}", symbol="ETHUSDT"))[1]
    assert single["symbol"] == "ETHUSDT"
    some = (await client.get(f"/api/v3/{path}", symbols='["ETHUSDT"]'))[1]
    assert [row["symbol"] for row in some] == ["ETHUSDT"]
    every = (await client.get(f"/api/v3/{path}"))[1]
    assert [row["symbol"] for row in every] == ["BTCUSDT", "ETHUSDT"]


async def test_the_small_ticker(client: Client) -> None:
    full = (await client.get("/api/v3/ticker/24hr", symbol="BTCUSDT"))[1]
    small = (await client.get("/api/v3/ticker/24hr", symbol="BTCUSDT", type="MINI"))[1]
    assert small.keys() < full.keys()
    assert (await client.get("/api/v3/ticker/24hr", symbol="BTCUSDT", type="HUGE"))[0] == 400


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("depth", {}, -1102),
        ("depth", {"symbol": "NOPE"}, -1121),
        ("depth", {"symbol": "BTCUSDT", "limit": "many"}, -1100),
        ("exchangeInfo", {"symbol": "NOPE"}, -1121),
        ("klines", {"symbol": "BTCUSDT"}, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "2", "endTime": "1"}, -1127),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, -1128),
        ("ticker/price", {"symbols": "x"}, -1100),
    ],
)
async def test_error_codes(client: Client, path: str, query: dict[str, str], code: int) -> None:
    status, answer = await client.get(f"/api/v3/{path}", **query)
    assert (status, answer["code"]) == (400, code)
    assert isinstance(answer["msg"], str)


async def test_ping_and_the_old_prefix(client: Client) -> None:
    assert await client.get("/api/v3/ping") == (200, {})
    assert await client.get("/api/v1/ping") == (200, {})
