"""`tickwire demo` as a person starts it: with a database of its own, an account and a key, and as new the next time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.e2e.ordering import POLL_S
from tests.leaks import leaked

START_S = 120.0  # a database is made, on a busy machine
END = "Ctrl-C stops both."


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder that a database server can be run in: a short path, which its user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tickwire-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for log in folder.rglob("*.log*"):
        assert not leaked(log.read_text(errors="replace")), f"{log.name} has a secret"
    shutil.rmtree(folder, ignore_errors=os.geteuid() != 0)


class Demo:
    """What a running one has printed."""

    def __init__(self, text: str) -> None:
        self.key = re.findall(r"export KEY=(\S+)", text)[0]
        self.commands = re.findall(r"^ +(curl -H .*)$", text, re.MULTILINE)

    async def run(self, command: str) -> Any:
        """The answer to a command that it shows."""
        line = command.replace("curl ", "curl --silent ", 1)
        process = await asyncio.create_subprocess_shell(line, stdout=PIPE, env={**os.environ, "KEY": self.key})
        out, _ = await process.communicate()
        return json.loads(out)

    async def send(self) -> dict[str, Any]:
        """The first of its commands, once the account is traded on."""
        async with asyncio.timeout(START_S):
            while True:
                (result,) = (await self.run(self.commands[0]))["results"]
                if result["ok"]:
                    return dict(result)
                assert result["error"]["code"] == "exchange_unavailable", result
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def demo(state: Path, *options: str) -> AsyncIterator[Demo]:
    """Interrupted at the end, as by Ctrl-C."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKWIRE_")}
    options = ("--port", "0", "--symbols", "1", "--state", str(state), *options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "demo", *options), cwd=ROOT, stdout=PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            text = (await process.stdout.readuntil(END.encode())).decode()
        yield Demo(text)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(START_S):
            assert await process.wait() in {0, 130}
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_next_demo_is_as_new_with_the_same_key_and_one_that_keeps_has_the_orders(state: Path) -> None:
    async with demo(state) as first:
        order_id = (await first.send())["order_id"]
        _, change, cancel, _ = first.commands
        assert (await first.run(change))["results"][0]["ok"]
        assert (await first.run(cancel))["results"][0]["ok"]
        await first.send()  # of which the next exchange would know nothing
    assert (state / "api.key").stat().st_mode & 0o077 == 0
    async with demo(state) as anew:
        assert anew.key == first.key
        assert (await anew.run(anew.commands[-1]))["missing"] == [order_id]
        assert (await anew.send())["order_id"] == order_id
        assert (await anew.run(anew.commands[1]))["results"][0]["ok"]
        assert (await anew.run(anew.commands[2]))["results"][0]["ok"]
    async with demo(state, "--keep") as second:
        assert second.key == first.key
        (order,) = (await second.run(second.commands[-1]))["items"]
        assert (order["id"], order["state"], order["price"]) == (order_id, "CANCELED", "50001")
        assert (await second.send())["order_id"] == order_id + 1
    assert not (state / "postgres" / "data" / "postmaster.pid").exists(), "the server ends with its last user"


def child_of(process: int) -> int:
    """Its only one."""
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


async def test_it_ends_with_its_exchange() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "demo", "--port", "0", "--symbols", "1", "--no-orders"),
        cwd=ROOT, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            await process.stdout.readuntil(END.encode())
            os.kill(child_of(process.pid), signal.SIGKILL)
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 1
    assert b"tickwire: the simulated exchange has ended" in errors
