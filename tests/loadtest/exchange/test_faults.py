"""Each fault, as a client and as ccxt sees it."""

import asyncio

import aiohttp
import ccxt
import ccxt.pro
import orjson
import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, ccxt_options, texts


async def test_drop_cuts_without_a_close_frame(client: Client) -> None:
    socket = await client.listen("btcusdt@trade")
    other = await client.listen("ethusdt@trade")
    assert await client.fault("drop", stream="btcusdt@trade") == 1
    await socket.receive(10)
    assert socket.close_code == 1006
    assert not other.closed
    assert await client.fault("drop") == 1
    await other.receive(10)
    assert other.close_code == 1006


async def test_expire_closes_with_a_handshake(client: Client) -> None:
    socket = await client.listen("btcusdt@trade")
    assert await client.fault("expire") == 1
    assert (await socket.receive(10)).type is aiohttp.WSMsgType.CLOSE
    assert socket.close_code == 1001


@pytest.mark.parametrize("fault", ["drop", "expire"])
async def test_ccxt_is_told_and_dials_again(still: ExchangeServer, client: Client, fault: str) -> None:
    exchange = ccxt.pro.binance(ccxt_options(still.base_url))
    try:
        # A number, not the book: ccxt may go on in the same object.
        nonce = (await exchange.watch_order_book("BTC/USDT"))["nonce"]
        waiting = asyncio.ensure_future(exchange.watch_order_book("BTC/USDT"))
        await asyncio.sleep(0)
        await client.fault(fault)
        with pytest.raises(ccxt.NetworkError):
            await asyncio.wait_for(waiting, 10)
        still.feed.burst("btcusdt@depth@100ms", 3)
        again = await asyncio.wait_for(exchange.watch_order_book("BTC/USDT"), 10)
        assert again["nonce"] == nonce + 3
        assert still.streams.status()["btcusdt@depth@100ms"]["subscribes"] == 2
    finally:
        await exchange.close()


async def test_silence_keeps_the_connection_and_sends_nothing(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("btcusdt@trade", autoping=False)
    assert await client.fault("silent") == 1
    still.feed.burst("btcusdt@trade", 5)
    await socket.ping(b"there?")
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    # A request on another connection is answered after the silenced ones were handled.
    other = await client.listen("ethusdt@trade")
    await other.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
    await texts(other, 1)
    assert (await client.get("/admin/status"))[1]["faults"]["silent"] == 1
    await client.fault("clear")
    still.feed.burst("btcusdt@trade", 1)
    # One trade opened the market.
    seventh = still.feed.markets["BTCUSDT"].trades[0].id + 6
    assert orjson.loads((await texts(socket, 1))[0])["data"]["t"] == seventh
    assert still.streams.counters["messages_silenced"] == 6


async def test_silence_may_answer_pings_and_may_end_by_itself(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("btcusdt@trade", autoping=False)
    await client.fault("silent", pong=True, seconds=0.05)
    await socket.ping(b"there?")
    assert (await socket.receive(10)).type is aiohttp.WSMsgType.PONG
    connection = next(iter(still.streams.connections.values()))
    await socket.ping(b"still?")
    while connection.silent:
        assert (await socket.receive(10)).type is aiohttp.WSMsgType.PONG
        await socket.ping(b"still?")


async def test_a_skipped_diff_makes_ccxt_resynchronise(still: ExchangeServer, client: Client) -> None:
    exchange = ccxt.pro.binance(ccxt_options(still.base_url))
    try:
        await exchange.watch_order_book("BTC/USDT")
        still.feed.burst("btcusdt@depth@100ms", 1)
        await asyncio.wait_for(exchange.watch_order_book("BTC/USDT"), 10)
        assert await client.fault("skip", stream="btcusdt@depth@100ms", count=1) == 1
        waiting = asyncio.ensure_future(exchange.watch_order_book("BTC/USDT"))
        await asyncio.sleep(0)
        still.feed.burst("btcusdt@depth@100ms", 2)
        with pytest.raises(ccxt.ChecksumError):
            await asyncio.wait_for(waiting, 10)
        book = await asyncio.wait_for(exchange.watch_order_book("BTC/USDT"), 10)
        assert book["nonce"] == still.feed.markets["BTCUSDT"].book.update_id
    finally:
        await exchange.close()


async def test_hold_sends_a_burst_in_one_write(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("btcusdt@trade")
    await client.fault("hold", stream="btcusdt@trade", count=10)
    before = still.streams.counters["writes"]
    for _ in range(9):
        await client.post("/admin/burst", stream="btcusdt@trade", count=1)
    assert still.streams.counters["writes"] == before
    await client.post("/admin/burst", stream="btcusdt@trade", count=1)
    ids = [orjson.loads(text)["data"]["t"] for text in await texts(socket, 10)]
    assert ids == list(range(ids[0], ids[0] + 10))
    assert still.streams.counters["writes"] == before + 1


async def test_clear_releases_what_is_held(still: ExchangeServer, client: Client) -> None:
    socket = await client.listen("btcusdt@trade")
    await client.fault("hold", stream="btcusdt@trade", count=10)
    still.feed.burst("btcusdt@trade", 3)
    await client.fault("clear")
    assert len(await texts(socket, 3)) == 3


async def test_delay(still: ExchangeServer, client: Client) -> None:
    loop = asyncio.get_running_loop()
    socket = await client.listen("btcusdt@trade")
    await client.fault("delay", ms=50)
    began = loop.time()
    still.feed.burst("btcusdt@trade", 3)
    await texts(socket, 3)
    assert loop.time() - began > 0.045
    await client.fault("delay", ms=0)
    still.feed.burst("btcusdt@trade", 1)
    await texts(socket, 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, ccxt.DDoSProtection), (418, ccxt.DDoSProtection), (503, ccxt.ExchangeNotAvailable)],
)
async def test_rest_refusals(
    still: ExchangeServer, client: Client, status: int, error: type[ccxt.NetworkError]
) -> None:
    exchange = ccxt.pro.binance(ccxt_options(still.base_url))
    try:
        await exchange.load_markets()
        await client.fault("rest", status=status, count=2)
        for _ in range(2):
            with pytest.raises(error):
                await exchange.fetch_order_book("BTC/USDT")
        assert (await exchange.fetch_order_book("BTC/USDT"))["bids"]
        assert still.streams.counters["requests_refused"] == 2
    finally:
        await exchange.close()


async def test_rest_refusals_by_path_and_by_time(client: Client) -> None:
    await client.fault("rest", status=503, path="/api/v3/depth", seconds=30)
    assert (await client.get("/api/v3/ping"))[0] == 200
    for _ in range(3):
        assert (await client.get("/api/v3/depth", symbol="BTCUSDT"))[0] == 503
    await client.fault("clear")
    assert (await client.get("/api/v3/depth", symbol="BTCUSDT"))[0] == 200
    await client.fault("rest", status=503, seconds=0)
    assert (await client.get("/api/v3/ping"))[0] == 200


async def test_websocket_handshakes_can_be_refused(client: Client) -> None:
    await client.fault("rest", status=503, path="/stream")
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.listen("btcusdt@trade")
    await client.listen("btcusdt@trade")


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"fault": "skip"},
        {"fault": "skip", "stream": "nothing"},
        {"fault": "hold", "stream": "btcusdt@trade"},
        {"fault": "delay", "ms": -1},
        {"fault": "delay", "ms": "long"},
        {"fault": "rest", "status": 200},
    ],
)
async def test_wrong_commands_are_refused(client: Client, command: dict[str, object]) -> None:
    status, answer = await client.post("/admin/faults", **command)
    assert status == 400
    assert answer["error"]
