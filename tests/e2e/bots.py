"""freqtrade as a process, in an environment of its own (`make .venv-freqtrade/.installed`), on a gateway of this one.

Holds how it is configured, asked and ended, and what it has written down. Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from loadtest.bench.machine import free_port
from tests.conftest import ROOT
from tests.e2e.processes import POLL_S

PYTHON = Path(os.environ.get("TICKWIRE_FREQTRADE_PYTHON", ROOT / ".venv-freqtrade" / "bin" / "python"))
EXAMPLE = ROOT / "examples" / "freqtrade"
PATIENCE_S = 90.0  # its imports alone take seconds of a core
USER, PASSWORD = "user", "password"
LOGIN = {"Authorization": aiohttp.encode_basic_auth(USER, PASSWORD)}
ORDERS = "SELECT order_id, ft_pair, side, status, amount, filled, average FROM orders ORDER BY id"


class Bot:
    """One freqtrade, asked over its own REST interface and by its files."""

    def __init__(self, folder: Path, url: str, http: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._url = url
        self._http = http
        self._quiet_from: int | None = None  # the line of its log from which on it was at rest
        self.process: asyncio.subprocess.Process | None = None

    def log(self) -> list[str]:
        file = self._folder / "log"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def complaints(self) -> list[str]:
        """Lines of its log that are no information; once it was at rest, only what it says of its exchange.

        The signal that ends it may meet it in the middle of a question to its own database.
        """
        assert self._quiet_from is not None, "it has not finished"
        log = self.log()
        ending = [line for line in log[self._quiet_from :] if "exchange" in line or "Unclosed" in line]
        return [line for line in (*log[: self._quiet_from], *ending) if " - INFO - " not in line]

    def orders(self) -> list[dict[str, Any]]:
        """As it has them in its database."""
        file = self._folder / "trades.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchall():
                return []
            return [dict(row) for row in database.execute(ORDERS)]

    async def until_sold(self, count: int) -> None:
        """So many trades are over. It makes a few each minute."""
        async with asyncio.timeout(PATIENCE_S + 30 * count):
            while sum((order["side"], order["status"]) == ("sell", "closed") for order in self.orders()) < count:
                assert self.process is not None
                assert self.process.returncode is None, "\n".join(self.log()[-30:])
                await asyncio.sleep(POLL_S)

    async def finish(self) -> None:
        """Let it begin no more trades, wait until it has sold all it has, and put it to rest.

        A round that is under way when it is told goes on buying (it has chosen its pairs by then), so
        that nothing held says nothing before that round is over.
        """
        await self._ask("POST", "stopentry")
        round_then = (await self._ask("GET", "health"))["last_process"]
        async with asyncio.timeout(PATIENCE_S):
            while (await self._ask("GET", "health"))["last_process"] == round_then:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            while await self._ask("GET", "status"):  # noqa: ASYNC110  # over HTTP nothing wakes us
                await asyncio.sleep(POLL_S)
            await self._ask("POST", "stop")
            while not any("Changing state" in line and line.endswith("STOPPED") for line in self.log()):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        self._quiet_from = len(self.log())

    async def _ask(self, method: str, path: str) -> Any:
        async with self._http.request(method, f"{self._url}/api/v1/{path}", headers=LOGIN) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


def configure(folder: Path, base_url: str, key: str, *, dry_run: bool, port: int) -> Path:
    """The example's configuration, but for where and who."""
    folder.mkdir()
    config = json.loads((EXAMPLE / "config.json").read_text(encoding="utf-8"))
    config["dry_run"] = dry_run
    config["exchange"]["key"] = key
    config["exchange"]["ccxt_config"]["options"]["base_url"] = base_url
    config["user_data_dir"] = str(folder)
    config["db_url"] = f"sqlite:///{folder}/trades.sqlite"
    config["api_server"] = {
        "enabled": True, "listen_ip_address": "127.0.0.1", "listen_port": port, "verbosity": "error",
        "jwt_secret_key": "secret" * 8, "username": USER, "password": PASSWORD, "CORS_origins": [],
    }  # fmt: skip
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


@asynccontextmanager
async def freqtrade(folder: Path, base_url: str, key: str, *, dry_run: bool = False) -> AsyncIterator[Bot]:
    """It trades by the example's strategy until the block is left, and has to end well."""
    port = free_port()
    config = configure(folder, base_url, key, dry_run=dry_run, port=port)
    command = (
        *("-m", "driver.run", str(PYTHON.with_name("freqtrade")), "trade", "--config", str(config)),
        *("--strategy-path", str(EXAMPLE), "--logfile", str(folder / "log")),
    )
    pipe = asyncio.subprocess.PIPE
    async with aiohttp.ClientSession() as http:
        bot = Bot(folder, f"http://127.0.0.1:{port}", http)
        # Where it takes itself for a test of its own, it writes no log.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        environment["PYTHONPATH"] = str(ROOT)
        bot.process = process = await asyncio.create_subprocess_exec(
            PYTHON, *command, cwd=folder, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        talking = asyncio.create_task(process.communicate())
        try:
            yield bot
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(asyncio.shield(talking), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
            await talking
