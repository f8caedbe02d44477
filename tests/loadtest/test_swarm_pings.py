"""The compiled client's requests: open loop, and timed from when each was due."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from dataclasses import replace

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.loadtest.told import ALONE, seen
from tests.waiting import until


async def test_replies_are_timed() -> None:
    answered: Counter[ServerConnection] = Counter()
    answering: set[asyncio.Task[None]] = set()

    async def answer(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for request in connection:
                asked = json.loads(request)
                assert asked["action"] == "ping"
                await connection.send(json.dumps({"type": "pong", "id": asked["id"]}, separators=(",", ":")))
                answered[connection] += 1

    async def script(connection: ServerConnection) -> None:
        answering.add(asyncio.create_task(answer(connection)))
        await until(lambda: answered[connection] >= 5)

    began_s = time.monotonic()
    figures = await seen(script, replace(ALONE, conns=2, messages=(), ping_every_ms=20))
    most_ms = (time.monotonic() - began_s) * 1e3
    await asyncio.gather(*answering)
    assert figures["replies"] >= 10
    assert 0 < figures["reply_p50_ms"] <= figures["reply_p99_ms"] < most_ms


async def test_pings_go_by_when_they_were_due_however_late_they_are_sent() -> None:
    due_ns: list[int] = []
    hearing: list[asyncio.Task[None]] = []

    async def hear(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for request in connection:
                due_ns.append(int(json.loads(request)["id"]))

    async def script(connection: ServerConnection) -> None:
        hearing.append(asyncio.create_task(hear(connection)))
        await until(lambda: len(due_ns) >= 6)

    await seen(script, replace(ALONE, messages=(), ping_every_ms=20))
    await asyncio.gather(*hearing)
    assert {later - former for former, later in itertools.pairwise(due_ns)} == {20_000_000}
