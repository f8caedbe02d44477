"""The other ends of an end-to-end test: the exchange as a process of its own, and the gateway, here or as one too.

Holds how they are started, asked and ended. Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from gateway.app import App
from gateway.config import Config, ServerConfig
from gateway.limits import Limits
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options
from gateway.wire.stream import STREAM_PATH
from loadtest.exchange.cli import main
from tests.conftest import ROOT
from tests.forks import CONTEXT, run_main
from tests.simulated import options_at

# For a flood that a client must see whole although it shares this process with the gateway, and so is slow itself.
# How slow readers are treated is test_slow_reader's subject.
PATIENT: dict[str, Any] = {"queue_state_bytes": 1 << 28, "queue_append_bytes": 1 << 28, "queue_bytes_max": 1 << 29}

START_S = 60.0  # Python imports ccxt for seconds, and on a machine that does more than it can for many
STOP_S = 30.0
POLL_S = 0.02  # another process cannot wake us: its state is asked for until it is as awaited


class Exchange:
    """The simulated exchange, asked over its admin endpoint."""

    def __init__(self, base_url: str, http: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.ws_url = f"ws{base_url.removeprefix('http')}"
        self.http = http

    async def get(self, path: str, **query: Any) -> Any:
        async with self.http.get(f"{self.base_url}{path}", params=query) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            return await answer.json()

    async def post(self, command: str, **fields: Any) -> Any:
        async with self.http.post(f"{self.base_url}/admin/{command}", json=fields) as answer:
            assert answer.status == 200, (command, answer.status, await answer.text())
            return await answer.json()

    async def fault(self, fault: str, **fields: Any) -> int:
        return int((await self.post("faults", fault=fault, **fields))["touched"])

    async def streams(self) -> dict[str, dict[str, int]]:
        """Subscribers, subscribes and messages of each stream that was ever subscribed."""
        return dict((await self.get("/admin/status"))["streams"])

    async def subscribers(self) -> dict[str, int]:
        """Of each stream that has any."""
        return {name: each["subscribers"] for name, each in (await self.streams()).items() if each["subscribers"]}

    async def until(self, holds: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0) -> None:
        """Wait until its status is as awaited."""
        async with asyncio.timeout(timeout_s):
            while not holds(await self.get("/admin/status")):  # noqa: ASYNC110  # no event crosses processes
                await asyncio.sleep(POLL_S)

    async def until_subscribed(self, *streams: str) -> None:
        """Exactly one upstream subscription to each of these."""
        await self.until(
            lambda status: all(status["streams"].get(name, {}).get("subscribers") == 1 for name in streams)
        )


@asynccontextmanager
async def exchange_of(*arguments: str | Path) -> AsyncIterator[Exchange]:
    """`python -m loadtest.exchange` with these arguments, on any free port."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=run_main, args=(main, [str(each) for each in arguments], sender))
    await asyncio.to_thread(process.start)
    sender.close()
    try:
        with os.fdopen(os.dup(receiver.fileno())) as output:
            url = await asyncio.wait_for(asyncio.to_thread(_url, output), START_S)
            async with aiohttp.ClientSession() as http:
                yield Exchange(url, http)
    finally:
        receiver.close()
        process.terminate()
        await asyncio.to_thread(process.join, STOP_S)
        if process.exitcode is None:
            process.kill()
    assert process.exitcode == 0


def _url(output: TextIO) -> str:
    """Where an exchange listens, by the first it says."""
    line = output.readline()
    assert "exchange listening on " in line, f"it ended before it listened: {line}"
    return line.split()[-1]


async def first_line(output: asyncio.StreamReader | None, text: str) -> str:
    """The first line of a process's output that holds `text`."""
    assert output is not None
    said: list[str] = []
    async with asyncio.timeout(START_S):
        while line := (await output.readline()).decode():
            said.append(line)
            if text in line:
                return line.strip()
    raise AssertionError(f"it ended before it said {text!r}: {''.join(said)}")


async def echo(output: asyncio.StreamReader | None) -> None:
    """Show with a failed test what a process says; and let it say on."""
    assert output is not None
    while line := await output.readline():
        sys.stderr.write(line.decode())


async def end(process: Process) -> int:
    """Ask a process to stop and wait for it; its exit code."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode


class Gateway:
    """The gateway of this process: the real App on a real port."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.url = f"ws://127.0.0.1:{app.port}{STREAM_PATH}"

    def counters(self) -> dict[str, int]:
        return self.app.fanout.counters()

    def outboxes_bytes(self) -> list[int]:
        """What waits for each socket."""
        return [connection.outbox.queued_bytes for connection in self.app.listener.connections]


def config_of(exchange: Exchange, *names: str, limits: dict[str, Any] | None = None, **settings: Any) -> Config:
    """A gateway on any free port with that exchange as `sim`, the default one, and under other names too."""
    sim = ExchangeConfig(klass="binance", options=options_at(exchange.base_url), **settings)
    return Config(
        server=ServerConfig(port=0),
        default_exchange="sim",
        exchanges=dict.fromkeys(("sim", *names), sim),
        limits=Limits(**limits or {}),
    )


@asynccontextmanager
async def gateway_of(config: Config) -> AsyncIterator[Gateway]:
    app = App(config)
    try:
        await app.start()
        yield Gateway(app)
    finally:
        await app.close()


class Served:
    """`tickwire serve` as a process of its own."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.base_url = f"http://127.0.0.1:{port}"
        self.url = f"ws://127.0.0.1:{port}{STREAM_PATH}"

    def rss_bytes(self) -> int:
        """Memory it holds now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def served_of(exchange: Exchange | None, folder: Path, *options: str) -> AsyncIterator[Served]:
    """The command as an operator starts it: a file, the environment over it, and options.

    Without an exchange it makes up prices itself: then neither it nor the test waits for ccxt.
    """
    file = folder / "tickwire.toml"
    klass = "synthetic" if exchange is None else "binance"
    file.write_text(f'[server]\nport = 0\n\n[oms]\nenabled = false\n\n[exchanges.sim]\nclass = "{klass}"\n')
    made = {"symbols": 1, "rate": 50} if exchange is None else sim_options(exchange.base_url)
    environment = {**os.environ, "TICKWIRE_EXCHANGES__SIM__OPTIONS": json.dumps(made)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        "serve",
        "--config",
        str(file),
        *options,
        cwd=ROOT,
        env=environment,
        stderr=PIPE,
    )
    try:
        line = await first_line(process.stderr, '"event":"listening"')
        echoing = asyncio.create_task(echo(process.stderr))
        try:
            yield Served(process, json.loads(line)["port"])
        finally:
            await end(process)
            await echoing  # its children have that pipe too, and it is to be closed with the loop still there
    finally:
        await end(process)
