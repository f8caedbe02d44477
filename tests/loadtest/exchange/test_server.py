"""The exchange as a whole, through ccxt's own unmodified pro class."""

import asyncio
from typing import Any

import ccxt.pro
import pytest

from loadtest.exchange.decimals import parse
from loadtest.exchange.feed import Feed
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.streams import Streams
from tests.docs_parts import fences
from tests.loadtest.exchange.test_feed import Bare
from tests.loadtest.exchange.tools import Client, ccxt_options, synthetic


async def _soon(call: Any) -> Any:
    return await asyncio.wait_for(call, 10)


async def test_ccxt_watches_every_channel() -> None:
    async with synthetic(symbols=2, rate=200) as server:
        exchange = ccxt.pro.binance(ccxt_options(server.base_url))
        try:
            ticker = await _soon(exchange.watch_ticker("BTC/USDT", {"name": "ticker"}))
            assert 0 < ticker["bid"] < ticker["ask"]
            assert ticker["last"] > 0
            assert (await _soon(exchange.watch_ticker("BTC/USDT", {"name": "miniTicker"})))["last"] > 0
            best = (await _soon(exchange.watch_bids_asks(["BTC/USDT", "ETH/USDT"]))).popitem()[1]
            assert 0 < best["bid"] < best["ask"]
            trades = await _soon(exchange.watch_trades("ETH/USDT"))
            assert trades[-1]["symbol"] == "ETH/USDT"
            assert (await _soon(exchange.watch_trades("BTC/USDT", params={"name": "aggTrade"})))[-1]["price"] > 0
            for timeframe in ("1s", "1m", "5m"):
                bar = (await _soon(exchange.watch_ohlcv("BTC/USDT", timeframe)))[-1]
                assert bar[3] <= bar[4] <= bar[2]
            book = await _soon(exchange.watch_order_book("BTC/USDT"))
            for _ in range(10):
                before, book = book["nonce"], await _soon(exchange.watch_order_book("BTC/USDT"))
                assert book["nonce"] > before
                assert book["bids"][0][0] < book["asks"][0][0]
            assert server.streams.status()["btcusdt@depth@100ms"]["subscribes"] == 1
            assert await _soon(exchange.un_watch_trades("ETH/USDT"))
            assert server.streams.status()["ethusdt@trade"]["subscribers"] == 0
        finally:
            await exchange.close()


async def test_the_book_ccxt_builds_equals_the_servers(still: ExchangeServer) -> None:
    exchange = ccxt.pro.binance(ccxt_options(still.base_url))
    served = still.feed.markets["BTCUSDT"].book
    try:
        book = await _soon(exchange.watch_order_book("BTC/USDT"))
        for _ in range(20):
            waiting = asyncio.ensure_future(exchange.watch_order_book("BTC/USDT"))
            await asyncio.sleep(0)
            still.feed.trade("BTCUSDT", "0.05", buy=True)
            still.feed.burst("btcusdt@depth@100ms", 1)
            book = await _soon(waiting)
        assert book["nonce"] == served.update_id
        for side, levels in (("bids", served.bids), ("asks", served.asks)):
            assert [(parse(f"{p:.8f}"), parse(f"{s:.8f}")) for p, s in book[side]] == levels.top(1000)
    finally:
        await exchange.close()


async def test_unknown_paths(client: Client) -> None:
    assert (await client.get("/api/v3/nothing"))[0] == 404
    assert (await client.post("/api/v3/nothing"))[0] == 404


async def test_a_taken_port_is_an_error(still: ExchangeServer) -> None:
    with pytest.raises(OSError, match="in use"):
        await ExchangeServer(lambda _: Bare(), port=still.port).start()


async def test_a_failing_feed_is_told() -> None:
    class Failing(Bare):
        async def run(self) -> None:
            raise RuntimeError("out of numbers")

    def make(_: Streams) -> Feed:
        return Failing()

    server = ExchangeServer(make)
    await server.start()
    with pytest.raises(RuntimeError, match="out of numbers"):
        await server.failed()
    with pytest.raises(RuntimeError, match="out of numbers"):
        await server.close()


async def test_close_says_goodbye_to_open_connections() -> None:
    server = synthetic()
    await server.start()
    async with Client(server) as client:
        socket = await client.listen("btcusdt@trade")
        await asyncio.gather(server.close(), socket.receive(10))
        assert socket.close_code == 1001


async def test_the_documented_lines_work(still: ExchangeServer) -> None:
    lines = fences("docs/exchange.md", "python")
    assert len(lines) == 2

    def run() -> None:
        for text in lines:
            names: dict[str, Any] = {}
            exec(text.replace("127.0.0.1:9001", f"127.0.0.1:{still.port}"), names)
            names["exchange"].session.close()

    await asyncio.to_thread(run)
    assert [order.status for order in still.trading.ledger.orders] == ["CANCELED"]
