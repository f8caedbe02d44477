"""The JavaScript client of the dashboard dialect, in Node and in a browser, against a gateway on a real port."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.app import App
from gateway.config import Config, DashboardConfig, PortfolioConfig, ServerConfig
from gateway.core.market_data import MarketData
from gateway.desk import reader_of
from gateway.limits import Limits
from gateway.net.dashboard import DashboardSession
from gateway.net.portfolio import Portfolios
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from gateway.wire.dashboard import CHANNELS
from oms.model import Quote
from tests.conftest import ROOT
from tests.gateway.core.holdings_made import holdings, position
from tests.gateway.net.accounts import FakeAccounts, Line
from tests.gateway.net.fakes import FakeSource
from tests.gateway.net.treasury import FakeTreasury
from tests.gateway.users import Users
from tests.waiting import until

CLIENT = ROOT / "examples" / "dashboard" / "client.js"
PATIENCE_S = 30.0  # a browser has to start on a busy machine
NOW = "2026-02-07T14:30:00.123Z"


class Gateway:
    """A gateway in single-user mode, in front of a source and an account in memory."""

    def __init__(self) -> None:
        config = Config(
            server=ServerConfig(port=0),
            default_exchange="sim",
            exchanges={"sim": ExchangeConfig(klass="binance")},
            dashboard=DashboardConfig(
                symbols=["BTC/USDT"], account_id=1, price_update_interval_s=0.1, portfolio_update_interval_s=0.1
            ),
        )
        self.app = App(config, make_source=self._make, authenticator=Users().auth)
        self.room = FakeAccounts()
        self.treasury = FakeTreasury()
        self.treasury.now = holdings({"USDT": 100}, [position("BTC/USDT", "2")])
        portfolios = Portfolios(
            self.treasury, MarketData(self.app.hub, self.app.sources, Quote), PortfolioConfig(interval_ms=10),
            fanout=self.app.fanout, loop=asyncio.get_running_loop(), limits=config.limits,
        )  # fmt: skip
        self.app.serve_accounts(self.room, reader=reader_of(1), portfolios=portfolios)

    def _make(self, name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> FakeSource:
        self.source = FakeSource(name, {"BTC/USDT", "ETH/USDT"}, sink)
        return self.source

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.app.port}/ws?client_id=example"

    @property
    def sessions(self) -> list[DashboardSession]:
        return [each for each in self.app.sessions.open if isinstance(each, DashboardSession)]

    async def joined(self, *symbols: str) -> None:
        """A client is there, and told of these symbols and everything else."""

        def is_there() -> bool:
            wanted = [each._symbols for each in self.sessions if len(each._wanted) == len(CHANNELS)]
            watched = {key.symbol for key in self.source.watched if key.channel == "ccxt_ticker"}
            return wanted == [symbols] and watched >= set(symbols) and bool(self.room.channels[1, "deals"].listeners)

        await until(is_there, PATIENCE_S)

    def quote(self, symbol: str, last: float) -> None:
        (key,) = [key for key in self.source.watched if (key.channel, key.symbol) == ("ccxt_ticker", symbol)]
        self.source.publish("ccxt_ticker", symbol, key.variant, last=last, percentage=-1.25)

    def announce(self) -> None:
        data = {"signal_type": "BUY", "symbol": "AAPL", "price": 182.5, "quantity": 10, "confidence": 0.83,
                "source": "s", "timestamp": NOW}  # fmt: skip
        self.app.hub.announce("signals", ["AAPL"], json.dumps(data).encode(), time.time_ns())

    def deal(self) -> None:
        deals = self.room.channels[1, "deals"]
        data = {"symbol": "BTC/USDT", "side": "sell", "qty": "0.01", "price": "60000.5", "executed_at": NOW}
        deals.lines.append(Line(len(deals.lines) + 1, "deal_created", json.dumps(data).encode(), 1))
        for listener in list(deals.listeners):
            listener()

    def drop_all(self) -> None:
        """Connections end as if the network had."""
        for each in self.sessions:
            each._conn.abort()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.app.start()
    yield gateway
    await gateway.app.close()


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, limit=2**20)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# --- Node --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node() -> list[str]:
    """Node with a WebSocket client in it; 20 and 21 have it behind an option."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node")
    return [found, "--experimental-websocket", "--no-warnings"]


async def line_of(process: asyncio.subprocess.Process, kind: str | None = None) -> dict[str, Any]:
    """The next message that it prints, of this type."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    if not line:
        assert process.stderr is not None
        pytest.fail((await process.stderr.read()).decode())
    message = dict(json.loads(line))
    return message if kind in {None, message.get("type")} else await line_of(process, kind)


async def test_in_node_it_is_told_everything_and_comes_back(gateway: Gateway, node: list[str]) -> None:
    async with running(*node, str(CLIENT), gateway.url, "ETH/USDT") as run:
        for last in (3_000, 3_001):
            await gateway.joined("ETH/USDT")
            gateway.quote("ETH/USDT", last)
            told = await line_of(run, "price_update")
            assert {symbol: said["price"] for symbol, said in told["symbols"].items()} == {"ETH/USDT": last}
            if last == 3_000:
                gateway.drop_all()
                await until(lambda: not gateway.sessions)
        gateway.announce()
        assert (await line_of(run, "signal"))["symbol"] == "AAPL"
        gateway.deal()
        assert (await line_of(run, "trade_executed"))["side"] == "SELL"
        gateway.source.publish("quotes", "BTC/USDT", bid=110, ask=110)
        while not (told := await line_of(run, "portfolio_update"))["data"]["total_pnl"]:
            pass  # what was known before there was a price
        assert (told["data"]["total_pnl"], told["data"]["position_count"]) == (20, 1)


async def test_in_node_it_ends_when_it_has_told_enough(gateway: Gateway, node: list[str]) -> None:
    async with running(*node, str(CLIENT), gateway.url, "BTC/USDT", "1") as run:
        await gateway.joined("BTC/USDT")
        gateway.announce()
        assert (await line_of(run))["type"] == "signal"
        assert await asyncio.wait_for(run.wait(), PATIENCE_S) == 0


def script_of(url: str, options: str) -> str:
    """A program that prints its states, its errors and the pongs it gets."""
    return f"""
        const {{ DashboardClient }} = require({json.dumps(str(CLIENT))});
        const print = (message) => console.log(JSON.stringify(message));
        const on = {{ pong: print, error: print, state: (state, code) => print({{ state, code }}) }};
        new DashboardClient({json.dumps(url)}, on, {options}).start();
        """


async def test_in_node_it_does_not_come_back_when_that_is_in_vain(gateway: Gateway, node: list[str]) -> None:
    async with running(*node, "-e", script_of(gateway.url, '{ token: "nonsense" }')) as run:
        assert await line_of(run) == {"state": "connecting"}
        assert await line_of(run) == {"state": "open"}
        assert (await line_of(run))["error"].startswith("invalid_api_key")
        assert await line_of(run) == {"state": "closed", "code": 1008}
        assert await asyncio.wait_for(run.wait(), PATIENCE_S) == 0, "nothing is left to do"


async def test_in_node_it_pings(gateway: Gateway, node: list[str]) -> None:
    async with running(*node, "-e", script_of(gateway.url, "{ pingMs: 50 }")) as run:
        while await line_of(run) != {"type": "pong"}:
            pass


async def test_in_node_it_gives_up_a_connection_on_which_nothing_comes(node: list[str]) -> None:
    async def deaf(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(deaf, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        async with running(*node, "-e", script_of(url, "{ pingMs: 5, retryMs: 1 }")) as run:
            for state in ({"state": "open"}, {"state": "waiting", "code": 4000}, {"state": "open"}):
                while await line_of(run) != state:
                    pass


# --- a browser ---------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """A test's output is for what went wrong."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The folder of the page, as a site."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(CLIENT.parent)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class Page:
    """A page in a browser without a window, by the browser's own protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._asked = 0
        self._within: dict[str, str] = {}

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked += 1
        await self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params, **self._within}))
        while True:
            message = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE_S))
            if message.get("id") == self._asked:
                assert "error" not in message, message
                return dict(message["result"])

    async def open(self, url: str) -> None:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._within = {"sessionId": session["sessionId"]}
        await self.call("Page.navigate", url=url)

    async def text(self, selector: str, wanted: str = "") -> str:
        """The text of an element once there is one, and it has this in it."""
        look = f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"
        wait = f"""new Promise((resolve) => {{
            const look = () => {{
                const text = {look};
                if (text.includes({json.dumps(wanted)}) && text) resolve(text);
                else setTimeout(look, 5);
            }};
            look();
        }})"""
        found = await self.call("Runtime.evaluate", expression=wait, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return str(found["result"]["value"])


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("TICKWIRE_REQUIRE_BROWSER"):
            pytest.fail("no browser, and TICKWIRE_REQUIRE_BROWSER is set")
        pytest.skip("no Chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]  # fmt: skip
    async with running(found, *options):
        address = folder / "DevToolsActivePort"  # where it says what it listens on
        await until(lambda: address.exists() and address.read_text().count("\n") == 1, PATIENCE_S)
        port, path = address.read_text().split()
        async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield Page(socket)


async def test_in_a_browser_the_page_shows_it(gateway: Gateway, site: str, tmp_path: Path) -> None:
    async with browser(tmp_path) as page:
        await page.open(f"{site}?url={gateway.url}")
        assert await page.text("#state", "open") == "open"
        await gateway.joined("BTC/USDT")
        gateway.quote("BTC/USDT", 60_000.5)
        assert await page.text("#prices tr") == "BTC/USDT60,000.5-1.25 %–––"
        gateway.source.publish("quotes", "BTC/USDT", bid=110, ask=110)
        assert await page.text("#positions tr", "110") == "BTC/USDT21001102010"
        assert await page.text("#total") == "20"
        gateway.announce()
        assert (await page.text("#signals tr")).startswith("AAPLBUY182.5100.83")
        gateway.deal()
        assert (await page.text("#trades tr")).startswith("BTC/USDTSELL0.0160,000.5")
        gateway.drop_all()
        await until(lambda: not gateway.sessions)
        await gateway.joined("BTC/USDT")
        gateway.quote("BTC/USDT", 60_001)
        assert await page.text("#prices tr", "60,001")
