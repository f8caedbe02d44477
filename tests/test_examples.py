"""The examples as a reader would run them: each in its own process, against a real gateway with a source in memory."""

from __future__ import annotations

import asyncio
import runpy
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import pytest

from _speedups.book import Book
from gateway.app import App
from gateway.config import Config, ServerConfig
from gateway.config_file import load
from gateway.core.key import Key
from gateway.limits import Limits
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from tests.conftest import ROOT
from tests.gateway.net.fakes import FakeSource

EXAMPLES = ROOT / "examples"
PATIENCE_S = 30.0  # a Python process has to start on a busy machine
TESTED_HERE = {"quotes.py", "book.py", "resume.py", "trades_msgpack_gzip.py", "client.js", "tickwire.toml"}
# In tests/e2e: test_readme, test_signing, test_account_dialect and test_driver_examples.
TESTED_WITH_ORDERS = {"orders.py", "account.py", "driver_sync.py", "driver_async.py", "driver_pro.py", "signed.py"}

Level = list[float]


class Source(FakeSource):
    """Tells when a key is watched: from then on there is a subscriber."""

    def __init__(self, name: str, sink: Sink) -> None:
        super().__init__(name, {"BTC/USDT"}, sink)
        self.acquired: asyncio.Queue[Key] = asyncio.Queue()

    def acquire(self, key: Key) -> None:
        super().acquire(key)
        self.acquired.put_nowait(key)

    async def watched_key(self) -> Key:
        return await asyncio.wait_for(self.acquired.get(), PATIENCE_S)

    def trade(self, number: int) -> None:
        self.publish("trades", "BTC/USDT", price=60000.5, size=0.25, side="buy", trade_id=str(number))

    def quote(self, bid: float) -> None:
        self.publish("quotes", "BTC/USDT", bid=bid, ask=bid + 1, last=bid)

    def lose(self, key: Key) -> None:
        assert self.sink is not None
        self.sink.lost(key, "upstream")

    def move(self, key: Key, book: Book, bids: list[Level], asks: list[Level]) -> None:
        assert self.sink is not None
        changes = book.replace(bids, asks)
        assert changes is not None
        self.sink.publish_book(key, changes, book, t_ex=None, t_in=1)


class Gateway:
    def __init__(self, app: App) -> None:
        self.url = f"ws://127.0.0.1:{app.port}/v1/stream"
        source = app.sources["sim"]
        assert isinstance(source, Source)
        self.source = source

    @asynccontextmanager
    async def run(self, script: str, *arguments: str) -> AsyncIterator[Run]:
        async with running(sys.executable, str(EXAMPLES / script), "--url", self.url, *arguments) as run:
            yield run


class Run:
    """An example in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
        assert line, await self.errors()
        return line.decode().rstrip()

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.read(), PATIENCE_S)).decode()

    async def ends(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[Run]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture(name="gateway")
async def _gateway() -> AsyncIterator[Gateway]:
    def make_source(name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> Source:
        return Source(name, sink)

    config = Config(
        server=ServerConfig(port=0), default_exchange="sim", exchanges={"sim": ExchangeConfig(klass="binance")}
    )
    app = App(config, make_source=make_source)
    await app.start()
    yield Gateway(app)
    await app.close()


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == TESTED_HERE | TESTED_WITH_ORDERS


async def test_quotes(gateway: Gateway) -> None:
    async with gateway.run("quotes.py", "--count", "2") as run:
        await gateway.source.watched_key()
        gateway.source.quote(60000.5)
        assert await run.line() == "1 BTC/USDT 60000.5 60001.5 60000.5"
        gateway.source.quote(60002)
        assert await run.line() == "2 BTC/USDT 60002 60003 60002"
        assert await run.ends() == 0


async def test_book_across_a_loss_and_a_wrong_checksum(gateway: Gateway) -> None:
    source = gateway.source
    async with gateway.run("book.py", "--count", "5") as run:
        key = await source.watched_key()
        book = Book(int(key.variant))
        source.move(key, book, [[60000, 1], [59999.5, 2]], [[60001, 0.5]])
        epoch, _, rest = (await run.line()).partition(" ")
        assert rest == "1 snapshot bid ('60000', '1') ask ('60001', '0.5') checksum ok"
        source.move(key, book, [[60000.5, 0.00001], [59999.5, 2]], [[60001, 0.5]])
        assert await run.line() == f"{epoch} 2 update bid ('60000.5', '0.00001') ask ('60001', '0.5') checksum ok"

        source.lose(key)
        void, reason, epoch = (await run.line()).split()
        assert (void, reason) == ("void:", "upstream")
        book = Book(int(key.variant))
        source.move(key, book, [[61000, 1]], [[61001, 1]])
        assert (await run.line()).startswith(f"{epoch} 1 snapshot bid ('61000', '1')")

        wrong: dict[str, Any] = {"bids": [[61000, 7]], "asks": [], "prev_sequence": 1, "checksum": 1}
        source.publish("book", "BTC/USDT", key.variant, **wrong)
        assert await run.line() == f"asking again: checksum of ('{epoch}', 2) does not match"
        assert (await run.line()).startswith(f"{epoch} 2 snapshot bid ('61000', '1')")
        source.move(key, book, [[61000, 2]], [[61001, 1]])
        assert (await run.line()).startswith(f"{epoch} 3 update bid ('61000', '2')")
        assert await run.ends() == 0


async def test_resume_misses_nothing_and_is_told_when_it_must(gateway: Gateway) -> None:
    source = gateway.source
    async with gateway.run("resume.py", "--count", "5", "--drop-every", "2") as run:
        key = await source.watched_key()
        assert await run.line() == "subscribed: recovered None replayed 0"
        for number in range(1, 5):
            source.trade(number)
        epoch = (await run.line()).split()[0]
        assert await run.line() == f"{epoch} 2 buy 0.25 at 60000.5"
        assert await run.line() == "subscribed: recovered True replayed 2"
        assert await run.line() == f"{epoch} 3 buy 0.25 at 60000.5"
        source.lose(key)
        assert await run.line() == f"{epoch} 4 buy 0.25 at 60000.5"
        assert await run.line() == "subscribed: recovered False replayed 0"
        assert await run.line() == "gap: 5 to 5 resync"
        source.trade(1)
        again, _, rest = (await run.line()).partition(" ")
        assert (again != epoch, rest) == (True, "1 buy 0.25 at 60000.5")
        assert await run.ends() == 0


async def test_trades_as_msgpack_and_gzip(gateway: Gateway) -> None:
    async with gateway.run("trades_msgpack_gzip.py", "--throttle-ms", "50", "--count", "2") as run:
        await gateway.source.watched_key()
        for count in (60, 1):
            for number in range(count):
                gateway.source.trade(number)
            words = (await run.line()).split()
            assert words[1:6] == [str(count), "trades", f"{count * 0.25:g}", "in", "all"]
            assert int(words[6]) < count * 20 + 400, "many alike pack well, and the one has an envelope"
        assert await run.ends() == 0


@pytest.mark.parametrize("script", sorted(name for name in TESTED_HERE if name.endswith(".py")))
async def test_a_refusal_is_told(gateway: Gateway, script: str) -> None:
    async with gateway.run(script, "--symbol", "XXX") as run:
        assert await run.ends() == 1
        assert "unknown_symbol" in await run.errors()


@pytest.fixture(name="node")
async def _node() -> list[str]:
    """Node with a WebSocket client in it."""
    node = shutil.which("node")
    for options in ([], ["--experimental-websocket"]):
        if node is None:
            break
        async with running(node, *options, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)") as probe:
            if await probe.ends() == 0:
                return [node, *options]
    pytest.skip("no Node with a WebSocket client")


async def test_javascript(gateway: Gateway, node: list[str]) -> None:
    script = str(EXAMPLES / "client.js")
    async with running(*node, script, gateway.url, "BTC/USDT", "2") as run:
        await gateway.source.watched_key()
        gateway.source.quote(60000.5)
        assert await run.line() == "1 60000.5 60001.5 60000.5"
        gateway.source.quote(60002)
        assert await run.line() == "2 60002 60003 60002"
        assert await run.ends() == 0
    async with running(*node, script, gateway.url, "XXX") as run:
        assert await run.ends() == 1
        assert "unknown_symbol" in await run.errors()


@pytest.mark.parametrize("script", ["quotes.py", "book.py", "trades_msgpack_gzip.py"])
async def test_where_nothing_listens(script: str) -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/v1/stream"
        async with running(sys.executable, str(EXAMPLES / script), "--url", url) as run:
            assert await run.ends() == 1
            errors = (await run.errors()).splitlines()
    assert len(errors) == 1
    assert errors[0].startswith(f"nothing listens at {url}")


def test_the_grid_takes_back_what_rests_though_one_order_is_over() -> None:
    canceled: list[str] = []

    class Exchange:
        def cancel_order(self, order_id: str, symbol: str) -> None:
            if order_id in {"2", "3"}:
                raise (ccxt.InvalidOrder if order_id == "2" else ccxt.OrderNotFound)(f"order {order_id} is over")
            canceled.append(order_id)

    grid = runpy.run_path(str(EXAMPLES / "strategies" / "grid.py"))["Grid"](Exchange(), "BTC/USDT", 0.001, 2.0)
    grid.resting = {str(number): ("buy", -number) for number in range(1, 5)}
    grid.lift()
    assert (canceled, grid.resting) == (["1", "4"], {})


def test_configuration() -> None:
    config = load(EXAMPLES / "tickwire.toml", {})
    assert config.default_exchange in config.exchanges
    assert config.exchanges["binance_test"].sandbox


def test_examples_show_defaults_of_the_demo() -> None:
    """They are run beside `make demo` as they stand."""
    address = f"127.0.0.1:{ServerConfig().port}"
    for path in EXAMPLES.iterdir():
        if path.suffix in {".py", ".js"}:
            shown = address if path.name.startswith(("driver_", "account")) else f"{address}/v1/stream"
            assert shown in path.read_text(encoding="utf-8"), path.name
