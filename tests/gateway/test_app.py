"""A whole gateway on a real port: a source in memory, the real hub, fan-out and sockets, and a foreign client."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import App
from gateway.config import Config, OmsConfig, ServerConfig
from gateway.limits import Limits
from gateway.process import run
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from tests.gateway.net.fakes import FakeSource
from tests.gateway.sources.tools import synthetic
from tests.plain_http import NO_TLS
from tests.simulated import options_at
from tests.waiting import until

SYMBOLS = {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT"}


def config_of(**limits: Any) -> Config:
    return Config(
        server=ServerConfig(port=0),
        default_exchange="sim",
        exchanges={"sim": ExchangeConfig(klass="binance")},
        limits=Limits(**limits),
    )


class Gateway:
    """A running gateway and its one source."""

    def __init__(self, app: App) -> None:
        self.app = app
        source = app.sources["sim"]
        assert isinstance(source, FakeSource)
        self.source = source

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.app.port}/v1/stream"

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            return await client.get(f"http://127.0.0.1:{self.app.port}{path}")

    @asynccontextmanager
    async def subscribed(self, channel: str, *symbols: str, **options: Any) -> AsyncIterator[Reader]:
        wire = {key: options.pop(key) for key in ("compression", "sock", "max_queue") if key in options}
        wire.setdefault("compression", None)
        if "gzip" in options:
            options["compression"] = options.pop("gzip")
        async with connect(self.url, **wire) as socket_:
            reader = Reader(socket_)
            assert (await reader.next())["type"] == "connected"
            request = {"action": "subscribe", "channel": channel, "symbols": symbols or ("BTC/USDT",), **options}
            await socket_.send(json.dumps(request))
            reader.ack = await reader.next()
            assert reader.ack["type"] == "subscribed", reader.ack
            yield reader


class Reader:
    """What a client reads, in whatever encoding it comes."""

    def __init__(self, socket_: ClientConnection) -> None:
        self.socket = socket_
        self.ack: dict[str, Any] = {}

    def position(self, symbol: str = "BTC/USDT") -> dict[str, Any]:
        return dict(self.ack["data"]["streams"][symbol])

    async def next(self) -> dict[str, Any]:
        raw = await asyncio.wait_for(self.socket.recv(), 5)
        if isinstance(raw, str):
            return dict(json.loads(raw))
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
            return dict(json.loads(raw) if raw[:1] == b"{" else msgspec.msgpack.decode(raw))
        return dict(msgspec.msgpack.decode(raw))

    async def take(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]


@pytest.fixture(name="start")
async def _start() -> AsyncIterator[Callable[..., Any]]:
    apps: list[App] = []

    async def start(**limits: Any) -> Gateway:
        def make_source(name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> FakeSource:
            return FakeSource(name, SYMBOLS, sink)

        app = App(config_of(**limits), make_source=make_source)
        apps.append(app)
        await app.start()
        return Gateway(app)

    yield start
    for app in apps:
        await app.close()
        assert all(isinstance(source, FakeSource) and source.closed for source in app.sources.values())


Start = Callable[..., Any]


async def test_subscribe_snapshot_and_contiguous_updates(start: Start) -> None:
    gateway = await start()
    async with gateway.subscribed("quotes") as first:
        for bid in range(1, 4):
            gateway.source.publish("quotes", "BTC/USDT", bid=bid)
        assert [update["sequence"] for update in await first.take(3)] == [1, 2, 3]
        async with gateway.subscribed("quotes", "BTC/USDT", "ETH/USDT", "XXX") as second:
            assert second.ack["data"]["errors"] == {"XXX": "unknown_symbol"}
            snapshot = await second.next()
            assert (snapshot["kind"], snapshot["data"]["bid"]) == ("snapshot", 3)
            assert second.position()["sequence"] == snapshot["sequence"] == 3
            gateway.source.publish("quotes", "BTC/USDT", bid=4)
            update = await second.next()
            assert (update["kind"], update["sequence"], update["data"]["bid"]) == ("update", 4, 4)
            assert update == await first.next()
        assert set(update) == {
            *("type", "channel", "kind", "epoch", "sequence", "timestamp", "t_ex", "t_in", "t_out", "data"),
        }
        assert update["t_in"] <= update["t_out"]


@pytest.mark.parametrize(
    "options",
    [{"gzip": "gzip"}, {"encoding": "msgpack"}, {"gzip": "gzip", "encoding": "msgpack"}, {"compression": "deflate"}],
    ids=["gzip", "msgpack", "gzip-msgpack", "deflate"],
)
async def test_every_form_reaches_a_real_client(start: Start, options: dict[str, Any]) -> None:
    gateway = await start()
    async with gateway.subscribed("trades") as plain, gateway.subscribed("trades", **options) as other:
        for note in ("short", "long" * 1_000):
            gateway.source.publish("trades", "BTC/USDT", note=note)
            message = await plain.next()
            assert message["data"]["note"] == note
            assert await other.next() == message


async def test_resume_and_resend(start: Start) -> None:
    gateway = await start()
    async with gateway.subscribed("trades") as first:
        for price in range(1, 11):
            gateway.source.publish("trades", "BTC/USDT", price=price)
        seen = await first.take(10)
        position = {"epoch": seen[0]["epoch"], "sequence": 4}
        async with gateway.subscribed("trades", resume={"BTC/USDT": position}) as second:
            assert (second.position()["recovered"], second.position()["replayed"]) == (True, 6)
            assert await second.take(6) == seen[4:]
        lost = {"epoch": "unknown", "sequence": 4}
        async with gateway.subscribed("trades", resume={"BTC/USDT": lost}) as third:
            assert third.position()["recovered"] is False
            assert (await third.next())["type"] == "gap"
        await first.socket.send('{"action":"resend","channel":"trades","symbol":"BTC/USDT","from":2,"to":3,"id":1}')
        reply, *again = await first.take(3)
        assert (reply["type"], reply["data"]["resent"]) == ("resent", 2)
        assert again == seen[1:3]


@pytest.mark.timed
async def test_a_throttled_client_gets_the_last_value_within_the_interval(start: Start) -> None:
    gateway = await start()
    async with gateway.subscribed("quotes", throttle_ms=120) as reader:
        assert reader.ack["data"]["throttle_ms"] == 100
        loop = asyncio.get_running_loop()
        for bid in range(1, 51):
            gateway.source.publish("quotes", "BTC/USDT", bid=bid)
        begun_s = loop.time()
        first, last = await reader.take(2)
        assert (first["data"]["bid"], last["data"]["bid"]) == (1, 50)
        assert (first["sequence"], last["sequence"]) == (1, 2)
        assert loop.time() - begun_s < 0.5, "the interval is 0.1 s; the rest is for a busy machine"


async def test_a_batch_is_one_frame_of_what_gathered(start: Start) -> None:
    gateway = await start()
    async with gateway.subscribed("trades", batch=True, throttle_ms=50) as reader:
        for price in range(1, 6):
            gateway.source.publish("trades", "BTC/USDT", price=price)
        batch = await reader.next()
        assert (batch["type"], batch["channel"], batch["sequence"]) == ("batch", "trades", 1)
        assert [trade["price"] for trade in batch["data"]] == [1, 2, 3, 4, 5]


async def test_a_stalled_reader_is_told_what_it_missed(start: Start) -> None:
    gateway = await start(queue_state_bytes=8_192, queue_append_bytes=16_384, queue_bytes_max=65_536)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", gateway.app.port))
    small.setblocking(False)
    async with (
        gateway.subscribed("trades", sock=small, max_queue=1) as stalled,
        gateway.subscribed("trades") as lively,
    ):
        for price in range(1, 1_001):
            gateway.source.publish("trades", "BTC/USDT", price=price, note="x" * 1_000)
            assert (await lively.next())["sequence"] == price
        assert gateway.app.fanout.counters()["skipped"] > 0
        expected = 1
        gaps = 0
        while expected <= 1_000:
            message = await stalled.next()
            first, last = message.get("from", message.get("sequence")), message.get("to", message.get("sequence"))
            assert first == expected, "every missing number was announced"
            expected = last + 1
            gaps += message["type"] == "gap"
            assert message.get("reason") in {None, "slow_consumer"}
        assert gaps > 0


async def test_a_flood_of_requests_that_does_not_read_is_bounded_and_closed(start: Start) -> None:
    gateway = await start(
        queue_state_bytes=8_192,
        queue_append_bytes=16_384,
        queue_bytes_max=65_536,
        send_buffer_bytes=4_096,
        close_timeout_s=0.2,
    )
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", gateway.app.port))
    small.setblocking(False)
    async with gateway.subscribed("bars", sock=small, timeframe="1m") as flood:
        for timeframe in range(2, 40):
            request = {"action": "subscribe", "channel": "bars", "symbols": ["BTC/USDT"], "timeframe": f"{timeframe}m"}
            await flood.socket.send(json.dumps(request))
            await flood.next()
        flood.socket.transport.pause_reading()
        (connection,) = gateway.app.listener.connections
        for _ in range(300):
            await flood.socket.send('{"action":"list"}')
            assert connection.outbox.queued_bytes <= 65_536 + 16_384, "one reply above the limit at most"
        assert await gateway.app.sessions.emptied_within(5)
        assert connection.close_code == 4008
        flood.socket.transport.abort()


async def test_one_watch_however_many_subscribe_and_none_after_they_left(start: Start) -> None:
    gateway = await start(linger_s=0.0)
    async with gateway.subscribed("quotes"), gateway.subscribed("quotes", throttle_ms=100):
        assert len(gateway.source.watched) == 1
        status = (await gateway.get("/api/ws/status")).json()
        assert (status["connections"], status["subscriptions"], len(status["watches"])) == (2, 2, 1)
        released = asyncio.Event()
        gateway.source.release = lambda _key: released.set()
    await asyncio.wait_for(released.wait(), 5)


async def test_http_and_refused_paths_on_the_same_port(start: Start) -> None:
    gateway = await start()
    assert (await gateway.get("/healthz")).json() == {"status": "ok"}
    await asyncio.wait(gateway.app.markets.starting)
    assert (await gateway.get("/readyz")).json() == {"ready": True, "checks": {"listening": True, "sources": True}}
    gateway.source.acquire(await gateway.source.resolve("quotes", "BTC/USDT", ""))
    gateway.source.state = "backoff"
    assert (await gateway.get("/readyz")).status_code == 503
    assert "tickwire_connections 0.0" in (await gateway.get("/metrics")).text
    assert (await gateway.get("/v1/stream")).status_code == 426
    for path in ("/ws/account/1", "/nope"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{gateway.app.port}{path}")
        response = refused.value.response
        assert response.status_code == 404
        assert json.loads(response.body or b"")["code"] == "unsupported_action"
        assert "/v1/stream" in json.loads(response.body or b"")["message"]


async def test_a_source_that_does_not_start_leaves_the_rest_running(start: Start) -> None:
    async def fail() -> None:
        raise OSError("no network")

    app = App(config_of(), make_source=lambda name, _config, sink, _limits: FakeSource(name, SYMBOLS, sink))
    app.sources["sim"].start = fail  # type: ignore[method-assign]  # a source without a network
    await app.start()
    try:
        await asyncio.wait(app.markets.starting)
        gateway = Gateway(app)
        assert (await gateway.get("/readyz")).status_code == 503
        async with gateway.subscribed("quotes"):
            gateway.source.publish("quotes", "BTC/USDT", bid=1)
            assert (await gateway.get("/readyz")).status_code == 200, "a live watch proves that it works"
    finally:
        await app.close()


async def test_a_gateway_is_ready_when_its_exchange_appears() -> None:
    async with synthetic() as server:
        url = server.base_url  # and from here on nothing listens there
    exchange = ExchangeConfig(klass="binance", options=options_at(url))
    app = App(msgspec.structs.replace(config_of(), exchanges={"sim": exchange}))
    await app.start()
    try:
        async with httpx.AsyncClient(verify=NO_TLS, base_url=f"http://127.0.0.1:{app.port}") as client:
            with capture_logs() as logs:
                await until(lambda: any(line["event"] == "markets not loaded" for line in logs))
            [told, *_] = [line for line in logs if line["event"] == "markets not loaded"]
            assert "Cannot connect to host 127.0.0.1" in told["error"], "why, not only what was asked"
            assert told["retry_ms"] > 0
            response = await client.get("/readyz")
            assert (response.status_code, response.json()["checks"]["sources"]) == (503, False)
            async with synthetic(port=int(url.rpartition(":")[2])):
                await asyncio.wait_for(asyncio.wait(app.markets.starting), 20)
                assert (await client.get("/readyz")).status_code == 200
    finally:
        await app.close()


async def test_shutdown_tells_then_closes_then_ends(start: Start) -> None:
    gateway = await start(drain_ms=2_000)
    async with gateway.subscribed("quotes") as one, gateway.subscribed("trades") as two:
        draining = asyncio.create_task(gateway.app.drain())
        for reader in (one, two):
            message = await reader.next()
            assert message == {"type": "server_shutdown", "deadline_ms": 2_000, "reconnect_after_ms": 250}
            with pytest.raises(ConnectionClosed) as closed:
                await reader.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        await draining
        assert gateway.app.sessions.connections() == 0
        with pytest.raises(OSError, match="refused"):
            await connect(gateway.url)


@pytest.mark.timed
async def test_shutdown_does_not_wait_longer_than_the_drain_for_a_deaf_client(start: Start) -> None:
    gateway = await start(drain_ms=200)
    deaf = await connect(gateway.url)
    deaf.transport.pause_reading()
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await gateway.app.drain()
    assert 0.1 < loop.time() - begun_s < 2
    assert gateway.app.sessions.connections() == 1
    await gateway.app.close()
    deaf.transport.abort()
    await deaf.wait_closed()


PROGRAM = """
import uvloop
from gateway import log
from gateway.process import run
from gateway.config import Config, OmsConfig, ServerConfig
from gateway.limits import Limits
log.configure("warning")
limits = Limits(drain_ms=60_000, close_timeout_s=60.0)
config = Config(server=ServerConfig(port=0), limits=limits, oms=OmsConfig(enabled=False))
uvloop.run(run(config, ready=lambda port: print(port, flush=True)))
"""


@asynccontextmanager
async def gateway_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        yield process, f"ws://127.0.0.1:{port}/v1/stream"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
async def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    async with gateway_process() as (process, url), connect(url) as client:
        await client.recv()
        process.send_signal(number)
        assert json.loads(await client.recv())["type"] == "server_shutdown"
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_second_signal_ends_the_process_at_once() -> None:
    async with gateway_process() as (process, url):
        deaf = await connect(url)
        await deaf.recv()
        process.send_signal(signal.SIGTERM)
        assert json.loads(await deaf.recv())["type"] == "server_shutdown"
        deaf.transport.pause_reading()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGTERM
        deaf.transport.abort()
        await deaf.wait_closed()


async def test_a_taken_port_is_an_error_of_the_caller(start: Start) -> None:
    gateway = await start()
    config = Config(server=ServerConfig(port=gateway.app.port), oms=OmsConfig(enabled=False))
    with pytest.raises(OSError, match="in use"):
        await run(config)
