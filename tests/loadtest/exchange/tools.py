"""What the tests of the simulated exchange share: servers, ccxt options, collectors, small recordings."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from loadtest.exchange import messages
from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.streams import Streams
from loadtest.exchange.synthetic import SyntheticFeed

START_MS = 1_700_000_000_000
RECORDED_KINDS = ("trade", "bookTicker", "depth@100ms")


def payload(frame: bytes) -> bytes:
    """The payload of a finished server frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Collector:
    """Stands in for a connection: keeps the payloads it is sent."""

    def __init__(self, *, combined: bool = True) -> None:
        self.combined = combined
        self.number = id(self)
        self.topics: dict[str, object] = {}
        self.payloads: list[bytes] = []
        self._arrived = asyncio.Event()

    def send(self, frame: bytes) -> None:
        self.payloads.append(payload(frame))
        self._arrived.set()

    async def until(self, count: int) -> None:
        """Wait for that many messages."""
        async with asyncio.timeout(10):
            while len(self.payloads) < count:
                self._arrived.clear()
                await self._arrived.wait()

    def messages(self) -> list[dict[str, Any]]:
        return [orjson.loads(data) for data in self.payloads]

    def listen(self, streams: Streams, *names: str) -> "Collector":
        for name in names:
            streams.subscribe(self, name)  # type: ignore[arg-type]  # only what a topic uses
        return self


class FakeTransport:
    """Keeps what is written; never drains by itself."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.buffered_bytes = 0
        self.aborted = False
        self._written = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._written.set()

    async def until(self, expected: bytes) -> None:
        """Wait until this was written, in whatever pieces."""
        async with asyncio.timeout(10):
            while b"".join(self.writes) != expected:
                self._written.clear()
                await self._written.wait()

    def get_write_buffer_size(self) -> int:
        return self.buffered_bytes

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def synthetic(symbols: int = 2, rate: float = 0, seed: int = 1) -> ExchangeServer:
    return ExchangeServer(lambda streams: SyntheticFeed(streams, symbols, rate, seed))


def ccxt_options(base_url: str) -> dict[str, Any]:
    """URL overrides for ccxt's own binance classes."""
    socket_url = base_url.replace("http://", "ws://")
    return {
        "enableRateLimit": False,
        "urls": {
            "api": {
                "public": f"{base_url}/api/v3",
                "private": f"{base_url}/api/v3",
                "v1": f"{base_url}/api/v1",
                "sapi": f"{base_url}/sapi/v1",
                "ws": {"spot": f"{socket_url}/stream/ws", "ws-api": {"spot": f"{socket_url}/ws-api/v3"}},
            }
        },
        "options": {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchMargins": False,
            "fetchCurrencies": False,
        },
    }


def trader_options(base_url: str, api_key: str = DEFAULT_KEY, secret: str = DEFAULT_SECRET) -> dict[str, Any]:
    """The same for one who trades."""
    return ccxt_options(base_url) | {"apiKey": api_key, "secret": secret}


class Client:
    """A plain client of one server: REST, admin commands, and one WebSocket at a time."""

    def __init__(self, server: ExchangeServer) -> None:
        self._http = aiohttp.ClientSession(base_url=server.base_url)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def get(self, path: str, /, **query: str) -> tuple[int, Any]:
        async with self._http.get(path, params=query) as response:
            if response.content_type != "application/json":
                return response.status, await response.text()
            return response.status, orjson.loads(await response.read())

    async def post(self, path: str, /, **command: object) -> tuple[int, Any]:
        async with self._http.post(path, json=command) as response:
            return response.status, orjson.loads(await response.read())

    async def fault(self, kind: str, /, **command: object) -> int:
        status, answer = await self.post("/admin/faults", fault=kind, **command)
        assert status == 200, answer
        return int(answer["touched"])

    async def listen(self, *names: str, autoping: bool = True) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect("/stream", params={"streams": "/".join(names)}, autoping=autoping)

    async def connect(self, path: str) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect(path)


async def texts(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    return [await asyncio.wait_for(socket.receive_str(), 10) for _ in range(count)]


def write_recording(path: Path, *, seconds: int = 5, seed: int = 3, snapshot: bool = True) -> list[bytes]:
    """Make a file like the recorded ones out of a synthetic market; returns its stream messages in order."""
    streams = Streams()
    feed = SyntheticFeed(streams, 1, rate=300, seed=seed, start_ms=START_MS)
    collector = Collector().listen(streams, *(f"btcusdt@{kind}" for kind in RECORDED_KINDS))
    lines: list[bytes] = []
    recorded: list[bytes] = []
    for step in range(1, seconds * 100 + 1):
        feed.advance(START_MS + step * 10)
        received_ns = (START_MS + step * 10) * 1_000_000
        for number, data in enumerate(collector.payloads):
            lines.append(b"%d %b\n" % (received_ns + number, data))
        recorded += collector.payloads
        collector.payloads = []
        if step == 43 and snapshot:
            # In the middle of a diff, as a collector's request falls.
            lines.append(b"%d %b\n" % (received_ns + 10_000, messages.depth(feed.markets["BTCUSDT"].book, 1000)))
    with gzip.open(path, "wb") as file:
        file.writelines(lines)
    return recorded
