"""The replay on the wire: the recorded bytes, books that fit, klines that fit, ccxt's own book."""

import asyncio
import contextlib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.async_support
import ccxt.pro
import orjson
import pytest

from loadtest.exchange.decimals import parse
from loadtest.exchange.recording import Recording, load
from loadtest.exchange.replay import ReplayFeed, StartOn, State
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.streams import Streams
from tests.loadtest.exchange.tools import Client, ccxt_options, texts, trader_options, write_recording
from tests.waiting import until

RECORDED = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms")
DERIVED = ("btcusdt@kline_1s", "btcusdt@depth", "btcusdt@ticker", "btcusdt@miniTicker", "btcusdt@aggTrade")


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    write_recording(tmp_path / "small.gz")
    return load([tmp_path / "small.gz"])


def _server(recording: Recording, speed: float | None = None, start_on: StartOn = StartOn.COMMAND) -> ExchangeServer:
    return ExchangeServer(lambda streams: ReplayFeed(streams, recording, speed, start_on))


async def _played(server: ExchangeServer, *names: str) -> list[str]:
    """Everything a combined connection gets of a whole replay."""
    got: list[str] = []

    async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            got.append(message.data)

    async with Client(server) as client:
        socket = await client.listen(*names)
        reading = asyncio.ensure_future(read(socket))
        assert (await client.post("/admin/start"))[0] == 200
        status, state = await client.get("/admin/wait")
        assert (status, state["state"]) == (200, "done")
        await client.fault("expire")
        await reading
    return got


def _check_wire(recording: Recording, got: list[str]) -> None:
    passed_on = [text.encode() for text in got if orjson.loads(text)["stream"] in RECORDED]
    assert passed_on == [line.raw for line in recording.lines]


def _check_klines(recording: Recording, got: list[str]) -> None:
    """Closed 1 s klines are without holes and equal what the recorded trades make."""
    trades: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in recording.lines:
        data = orjson.loads(line.raw)["data"]
        if data.get("e") == "trade":
            trades[data["T"] // 1000 * 1000].append(data)
    klines = [message["data"]["k"] for message in map(orjson.loads, got) if message["stream"] == "btcusdt@kline_1s"]
    closed = [kline for kline in klines if kline["x"]]
    assert [k["t"] for k in closed] == list(range(closed[0]["t"], closed[-1]["t"] + 1, 1000))
    for kline in closed:
        made = trades[kline["t"]]
        assert kline["n"] == len(made)
        assert parse(kline["v"]) == sum(parse(trade["q"]) for trade in made)
        if made:
            prices = [parse(trade["p"]) for trade in made]
            assert [parse(kline[name]) for name in "ohlc"] == [prices[0], max(prices), min(prices), prices[-1]]
            assert (kline["f"], kline["L"]) == (made[0]["t"], made[-1]["t"])


def _check_aggregates(recording: Recording, got: list[str]) -> None:
    """Aggregates hold every trade once, in order."""
    data = [orjson.loads(line.raw)["data"] for line in recording.lines]
    trade_ids = [made["t"] for made in data if made.get("e") == "trade"]
    spans = [
        (message["data"]["f"], message["data"]["l"])
        for message in map(orjson.loads, got)
        if message["stream"] == "btcusdt@aggTrade"
    ]
    assert [number for first, last in spans for number in range(first, last + 1)] == trade_ids


def _check_slow_diffs(got: list[str]) -> None:
    diffs = [m["data"] for m in map(orjson.loads, got) if m["stream"] == "btcusdt@depth"]
    assert len(diffs) > 3
    for earlier, later in pairwise(diffs):
        assert later["U"] == earlier["u"] + 1


async def _check_replay(recording: Recording) -> None:
    async with _server(recording) as server:
        got = await _played(server, *RECORDED, *DERIVED)
    _check_wire(recording, got)
    _check_klines(recording, got)
    _check_aggregates(recording, got)
    _check_slow_diffs(got)


async def test_a_replay_passes_on_what_was_recorded_and_derives_the_rest(recording: Recording) -> None:
    await _check_replay(recording)


async def test_the_recorded_files_on_the_wire(recorded_paths: list[Path]) -> None:
    await _check_replay(load(recorded_paths))


async def _check_ccxt_book(server: ExchangeServer, last_id: int) -> None:
    """ccxt's own book, snapshot and diffs, equals the server's after a whole replay."""
    exchange = ccxt.pro.binance(ccxt_options(server.base_url))
    try:
        async with Client(server) as client, asyncio.timeout(60):
            book = await exchange.watch_order_book("BTC/USDT")
            assert book["nonce"] == server.feed.markets["BTCUSDT"].book.update_id
            await client.post("/admin/start")
            while book["nonce"] < last_id:
                # The last update may have come before the call: then nothing more answers it.
                with contextlib.suppress(TimeoutError):
                    book = await asyncio.wait_for(exchange.watch_order_book("BTC/USDT"), 1)
        served = server.feed.markets["BTCUSDT"].book
        assert book["nonce"] == served.update_id == last_id
        # ccxt cuts its book to 1,000 levels as it goes, so deep ones are missing later.
        assert _units(book["bids"][:200]) == served.bids.top(200)
        assert _units(book["asks"][:200]) == served.asks.top(200)
        # Nothing went wrong on the way: one subscription was enough.
        assert server.streams.status()["btcusdt@depth@100ms"]["subscribes"] == 1
    finally:
        await exchange.close()


def _units(levels: list[list[float]]) -> list[tuple[int, int]]:
    return [(parse(f"{price:.8f}"), parse(f"{size:.8f}")) for price, size in levels]


def _last_id(recording: Recording) -> int:
    data = (orjson.loads(line.raw)["data"] for line in recording.lines)
    return max(int(made["u"]) for made in data if made.get("e") == "depthUpdate")


async def test_ccxt_follows_the_book(recording: Recording) -> None:
    async with _server(recording, speed=10) as server:
        await _check_ccxt_book(server, _last_id(recording))


async def test_ccxt_follows_the_recorded_book_at_any_speed(recorded_paths: list[Path]) -> None:
    # One file: ccxt 4.5.64 with aiohttp 3.14 miscounts what it takes from a queue, and stands still after some 4,000
    # messages that came in bursts.
    recording = load(recorded_paths[:1])
    async with _server(recording) as server:
        await _check_ccxt_book(server, _last_id(recording))


async def test_rest_depth_fits_the_diffs_wherever_the_replay_is(recording: Recording) -> None:
    """Snapshot plus later diffs gives the same book, whatever diff the snapshot was taken after."""
    async with _server(recording) as server, Client(server) as client:
        socket = await client.listen("btcusdt@depth@100ms")
        snapshots, diffs = [], []
        while (await client.post("/admin/step", count=97))[1]["played"]:
            snapshots.append((await client.get("/api/v3/depth", symbol="BTCUSDT", limit="5000"))[1])
        count = sum(b"depthUpdate" in line.raw for line in recording.lines)
        diffs = [orjson.loads(text)["data"] for text in await texts(socket, count)]
    for snapshot in snapshots:
        sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        last_id = snapshot["lastUpdateId"]
        for diff in diffs:
            if diff["u"] <= last_id:
                continue
            assert diff["U"] <= last_id + 1 <= diff["u"]
            last_id = diff["u"]
            for name, side in sides.items():
                side.update(diff[name])
        final = {name: sorted(level for level in side.items() if float(level[1])) for name, side in sides.items()}
        assert final["b"] == sorted(map(tuple, snapshots[-1]["bids"]))
        assert final["a"] == sorted(map(tuple, snapshots[-1]["asks"]))


async def test_a_step_is_one_write(recording: Recording) -> None:
    async with _server(recording) as server, Client(server) as client:
        socket = await client.listen(*RECORDED)
        before = server.streams.counters["writes"]
        assert await client.post("/admin/step", count=50) == (200, {"played": 50})
        assert [text.encode() for text in await texts(socket, 50)] == [line.raw for line in recording.lines[:50]]
        assert server.streams.counters["writes"] == before + 1
        assert server.feed.status()["state"] == State.WAITING


async def test_the_first_subscription_starts_it(recording: Recording) -> None:
    async with _server(recording, start_on=StartOn.SUBSCRIBE) as server, Client(server) as client:
        assert (await client.get("/admin/status"))[1]["feed"]["state"] == "waiting"
        socket = await client.listen("btcusdt@trade")
        assert (await client.get("/admin/wait"))[1]["position"] == len(recording.lines)
        trades = [line.raw for line in recording.lines if b'"e":"trade"' in line.raw]
        assert [text.encode() for text in await texts(socket, len(trades))] == trades
        assert (await client.post("/admin/start"))[0] == 409
        assert (await client.post("/admin/step"))[0] == 409


async def test_it_can_start_at_once(recording: Recording) -> None:
    async with _server(recording, start_on=StartOn.NOW) as server, Client(server) as client:
        assert (await client.get("/admin/wait"))[1]["state"] == "done"


async def test_speed_is_a_factor_on_the_recorded_pace(recording: Recording) -> None:
    loop = asyncio.get_running_loop()
    async with _server(recording, speed=10, start_on=StartOn.NOW) as server:
        began = loop.time()
        await server.feed.finished()
        # Five recorded seconds, less the first diff.
        assert loop.time() - began > 0.45


async def test_it_can_begin_anew(recording: Recording) -> None:
    def make(streams: Streams) -> ReplayFeed:
        return ReplayFeed(streams, recording, None, StartOn.SUBSCRIBE, again=True)

    first = next(line.raw for line in recording.lines if b'"e":"trade"' in line.raw).decode()
    async with ExchangeServer(make) as server, Client(server) as client:
        for _ in range(2):
            socket = await client.listen("btcusdt@trade")
            assert await texts(socket, 1) == [first]
            async for _ in socket:
                pass
            assert socket.close_code == 1006
        assert (await client.get("/admin/wait"))[0] == 409


async def test_the_clock_is_the_recordings(recording: Recording) -> None:
    async with _server(recording) as server, Client(server) as client:
        await client.post("/admin/step", count=len(recording.lines))
        newest = max(orjson.loads(line.raw)["data"].get("E", 0) for line in recording.lines)
        assert await client.get("/api/v3/time") == (200, {"serverTime": newest})


async def test_users_trade_in_a_recording_and_leave_it_as_it_was(recording: Recording) -> None:
    """An order at the best bid is filled by recorded sales at its price or through it, and by no more of them."""
    async with _server(recording) as server, Client(server) as client:
        exchange = ccxt.async_support.binance(trader_options(server.base_url))
        try:
            bid = (await exchange.fetch_order_book("BTC/USDT", 5))["bids"][0][0]
            taken = await exchange.create_order("BTC/USDT", "market", "buy", 0.01)
            assert taken["status"] == "closed"
            order = await exchange.create_order("BTC/USDT", "limit", "buy", 1, bid, {"clientOrderId": "a"})
            stop = await exchange.create_order("BTC/USDT", "market", "sell", 1, None, {"stopLossPrice": bid - 0.1})
            await client.post("/admin/step", count=len(recording.lines))
            trades = [data for line in recording.lines if (data := orjson.loads(line.raw)["data"]).get("e") == "trade"]
            through = sum(float(trade["q"]) for trade in trades if trade["m"] and float(trade["p"]) <= bid)
            filled = (await exchange.fetch_order(order["id"], "BTC/USDT"))["filled"]
            assert 0 < filled <= through
            mine = await exchange.fetch_my_trades("BTC/USDT", params={"orderId": order["id"]})
            assert {(trade["price"], trade["takerOrMaker"]) for trade in mine} == {(bid, "maker")}
            assert all(abs(exchange.milliseconds() - trade["timestamp"]) < 60_000 for trade in mine), "it is now"
            assert any(float(trade["p"]) <= bid - 0.1 for trade in trades)
            assert (await exchange.fetch_order(stop["id"], "BTC/USDT"))["status"] == "closed"
        finally:
            await exchange.close()
        shown = (await client.get("/api/v3/depth", symbol="BTCUSDT", limit="1000"))[1]
    async with _server(recording) as untouched, Client(untouched) as client:
        await client.post("/admin/step", count=len(recording.lines))
        assert (await client.get("/api/v3/depth", symbol="BTCUSDT", limit="1000"))[1] == shown


async def test_orders_outlive_the_end_of_a_recording(recording: Recording) -> None:
    feeds: list[ReplayFeed] = []

    def make(streams: Streams) -> ReplayFeed:
        feeds.append(ReplayFeed(streams, recording, None, again=True))
        return feeds[0]

    async with ExchangeServer(make) as server, Client(server) as client:
        exchange = ccxt.async_support.binance(trader_options(server.base_url))
        try:
            await exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 1_000, {"clientOrderId": "a"})
            market = feeds[0].markets["BTCUSDT"]
            socket = await client.listen("btcusdt@trade")
            async for _ in socket:
                pass
            await until(lambda: feeds[0].markets["BTCUSDT"] is not market)
            assert (await client.post("/admin/fill", symbol="BTCUSDT", client_order_id="a", qty="0.005"))[0] == 200
            placed = await exchange.create_order("BTC/USDT", "market", "buy", 0.01)
            assert placed["status"] == "closed"
            assert (await exchange.cancel_order(None, "BTC/USDT", {"origClientOrderId": "a"}))["filled"] == 0.005
        finally:
            await exchange.close()


async def test_commands_for_made_up_markets_are_refused(recording: Recording) -> None:
    async with _server(recording) as server, Client(server) as client:
        assert (await client.post("/admin/burst", stream="btcusdt@trade", count=1))[0] == 409
        assert (await client.post("/admin/trade", symbol="BTCUSDT", side="BUY", size="1"))[0] == 409
