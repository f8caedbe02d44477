"""The examples of the driver as a reader would run them, against a gateway in front of the simulated exchange."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from decimal import Decimal

import pytest

from tests.conftest import ROOT
from tests.e2e.ordering import WAIT_S, Ordering

SCRIPTS = ("driver_sync.py", "driver_async.py", "driver_pro.py")


async def run(script: str, address: str, key: str | None) -> tuple[int | None, list[str], str]:
    """Its exit code, its lines, and what it complained of."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({} if key is None else {"KEY": key})}
    if key is None:
        environment.pop("KEY", None)
    command = (sys.executable, str(ROOT / "examples" / script), "--gateway", address)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    out, complaints = await asyncio.wait_for(process.communicate(), 2 * WAIT_S)
    return process.returncode, out.decode().splitlines(), complaints.decode()


async def test_the_one_that_waits(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    code, lines, complaints = await run("driver_sync.py", f"127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
    assert code == 0, complaints
    words = [line.split() for line in lines]
    trades = [line for line in words if line[0] == "trade:"]
    assert words[0][:4] == ["rests:", "1", "open", "0.01"]
    assert lines[1:3] == ["edited: 1 open 0.02", "canceled: 1 canceled"]
    assert words[3][:4] == ["bought:", "2", "closed", "0.01"]
    assert sum(Decimal(trade[2]) for trade in trades) == Decimal("0.01")
    assert lines[-2] == "closed: 3 sell 0.00999", "less the fee, which is taken from what was bought"
    assert lines[-1].startswith("balance: {'free': ")


async def test_the_one_that_is_awaited(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    code, lines, complaints = await run("driver_async.py", f"127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
    assert code == 0, complaints
    each = [
        line
        for number in range(3)
        for line in (f"{number} buy 0.01 open sell 0.01 open", f"{number} canceled canceled")
    ]
    assert lines == [*each, "open: []"]
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    assert [order["status"] for order in ledger["orders"]] == ["CANCELED"] * 6


async def test_the_one_that_watches(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    code, lines, complaints = await run("driver_pro.py", f"127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
    assert code == 0, complaints
    words = [line.split() for line in lines]
    assert [line[0] for line in words[:3]] == ["book:"] * 3
    assert sum(Decimal(line[2]) for line in words if line[0] == "fill:") == Decimal("0.019")
    assert {line[1] for line in words if line[0] in {"bought:", "sold:"}} == {"0.01", "0.009"}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_where_nothing_listens_or_no_key_is_given(script: str) -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, lines, complaints = await run(script, address, "tw_x")
        assert (code, lines) == (1, [])
        assert complaints.startswith(f"no answer from {address}: start `make demo`")
        assert len(complaints.splitlines()) == 1
        assert (await run(script, address, None))[2] == "KEY is not set: `tickwire demo` shows an API key\n"
