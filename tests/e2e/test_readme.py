"""What the README says about orders, done as it stands there: curl, and the example that listens."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conftest import ROOT
from tests.docs_parts import fences
from tests.e2e.ordering import WAIT_S, Ordering

CURLS = [line for fence in fences("README.md", "sh") for line in fence.splitlines() if "/oms/" in line]


async def curl(gateway: Ordering, line: str) -> Any:
    """The answer to a line of the README, sent by a shell to this gateway."""
    here = line.replace("127.0.0.1:8765", f"127.0.0.1:{gateway.app.port}").replace("curl ", "curl --silent ", 1)
    environment = {**os.environ, "KEY": gateway.keys["ann"]}
    process = await asyncio.create_subprocess_shell(here, stdout=PIPE, env=environment)
    out, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert process.returncode == 0, line
    return json.loads(out)


@asynccontextmanager
async def listening(*options: str, key: str | None) -> AsyncIterator[Process]:
    """The example as a process."""
    environment = {name: value for name, value in os.environ.items() if name != "KEY"}
    environment |= {} if key is None else {"KEY": key}
    command = (sys.executable, str(ROOT / "examples" / "orders.py"), *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode().rstrip()


async def test_an_order_is_placed_changed_and_canceled_and_its_events_are_seen(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    send, change, cancel, look, events = CURLS
    url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
    async with listening("--url", url, "--count", "6", key=gateway.keys["ann"]) as process:
        await gateway.until(lambda streams: streams == 3, lambda: listeners(gateway))
        for line in (send, change, cancel):
            (result,) = (await curl(gateway, line))["results"]
            assert (result["ok"], result["order_id"]) == (True, 1)
        told = [await line_of(process) for _ in range(6)]
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
    states = ("PENDING_SUBMIT", "SUBMITTED", "PENDING_REPLACE", "SUBMITTED", "PENDING_CANCEL", "CANCELED")
    for number, (line, state) in enumerate(zip(told, states, strict=True), 1):
        event = "order_created" if number == 1 else "order_updated"
        assert line.startswith(f"{number} {event} id=1 state={state} side=buy qty=0.01 symbol=BTC/USDT price=5000"), (
            line
        )
    (order,) = (await curl(gateway, look))["items"]
    assert (order["state"], order["price"]) == ("CANCELED", "50001")
    assert [event["sequence"] for event in (await curl(gateway, events))["items"]] == [1, 2, 3, 4, 5, 6]


async def listeners(gateway: Ordering) -> int:
    """How many streams are subscribed."""
    return sum(session.subscriptions for session in gateway.app.sessions.open)


async def test_it_is_ended_by_an_interrupt_without_a_word(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
    async with listening("--url", url, key=gateway.keys["ann"]) as process:
        await gateway.until(lambda streams: streams == 3, lambda: listeners(gateway))
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert (process.returncode, err) == (128 + signal.SIGINT, b"")


async def test_what_is_wrong_is_told(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
    for key, options, message in (
        (None, ("--url", url), "KEY is not set"),
        ("tw_nothing", ("--url", url), "refused: 401"),
        (gateway.keys["ann"], ("--url", url, "--account", "2"), "refused: "),
        (gateway.keys["ann"], ("--url", "ws://127.0.0.1:9/v1/stream"), "nothing listens at "),
    ):
        async with listening(*options, key=key) as process:
            _, err = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert (process.returncode, err.decode().startswith(message)) == (1, True), err
