"""A server that says what a test wants to the compiled client, and what the client then has measured."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from websockets.asyncio.server import ServerConnection, serve

from loadtest import swarm
from loadtest.swarm import Buckets, Swarm, subscribe
from tests.waiting import until

Script = Callable[[ServerConnection], Awaitable[None]]
PATIENT_S = 60.0  # the measurement is ended by who has seen enough
ALONE = Swarm(port=0, conns=1, messages=(subscribe(["BTC/USDT"]),), warmup_s=0.0, seconds=PATIENT_S)


def update(sequence: int, *, symbol: str = "BTC/USDT", epoch: str = "e1", kind: str = "update") -> str:
    now_ns = time.time_ns()
    frame = {"type": "quote", "channel": "quotes", "kind": kind, "epoch": epoch, "sequence": sequence}
    frame |= {"timestamp": "2026-02-07T14:30:00.123Z", "t_ex": None, "t_in": now_ns - 5_000_000, "t_out": now_ns}
    return json.dumps({**frame, "data": {"symbol": symbol, "exchange": "x", "bid": 1}}, separators=(",", ":"))


def book(sequence: int, prev_sequence: int | None, *, kind: str = "update") -> str:
    """Of the same symbol: what it is to be applied to stands after its levels; None leaves that out."""
    told = json.loads(update(sequence, kind=kind)) | {"type": "book", "channel": "book"}
    told["data"] = {"symbol": "BTC/USDT", "exchange": "x", "bids": [[1, 2]], "asks": []}
    if prev_sequence is not None:
        told["data"]["prev_sequence"] = prev_sequence
    return json.dumps(told, separators=(",", ":"))


def gap(first: int, last: int, *, epoch: str = "e1", **new: str) -> str:
    said = {"type": "gap", "channel": "quotes", "symbol": "BTC/USDT", "epoch": epoch, "from": first, "to": last}
    return json.dumps({**said, "reason": "slow_consumer", **new}, separators=(",", ":"))


def says(frames: Iterable[str]) -> Script:
    """Answers the subscribe request with an ack and these frames."""

    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        acked = {"streams": {"BTC/USDT": {"epoch": "e1", "sequence": 99}}}
        await connection.send(json.dumps({"type": "subscribed", "data": acked}, separators=(",", ":")))
        for frame in frames:
            await connection.send(frame)

    return script


class Server:
    """Talks by a script, and knows of how many clients that they have read all that was said."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.have_read = 0
        self.port = 0

    async def talk(self, connection: ServerConnection) -> None:
        await self.script(connection)
        await (await connection.ping())  # a client answers when it has read what came before
        self.have_read += 1
        await connection.wait_closed()


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    server = Server(script)
    async with serve(server.talk, "127.0.0.1", 0, compression=None) as listening:
        server.port = next(iter(listening.sockets)).getsockname()[1]
        yield server


async def measured(script: Script, asked: Swarm = ALONE) -> tuple[dict[str, float], Buckets]:
    """What it has measured when all have read what the script says."""
    async with serving(script) as server:
        measuring = replace(asked, port=server.port).measuring()
        ended = await asyncio.to_thread(measuring.__enter__)
        try:
            await until(lambda: server.have_read == asked.conns)
            return await asyncio.to_thread(ended)
        finally:
            await asyncio.to_thread(measuring.__exit__, None, None, None)


async def seen(script: Script, asked: Swarm = ALONE) -> dict[str, float]:
    return (await measured(script, asked))[0]


async def seen_apart(readers: Sequence[Iterable[str]], asked: Swarm) -> dict[str, float]:
    """The same when each is said something else, from when it is measured."""
    measures, each = asyncio.Event(), iter(readers)

    async def script(connection: ServerConnection) -> None:
        frames = next(each)
        await measures.wait()
        for frame in frames:
            await connection.send(frame)

    async with serving(script) as server:
        measuring = replace(asked, port=server.port, conns=len(readers)).measuring()
        ended = await asyncio.to_thread(measuring.__enter__)
        measures.set()
        try:
            await until(lambda: server.have_read == len(readers))
            return (await asyncio.to_thread(ended))[0]
        finally:
            await asyncio.to_thread(measuring.__exit__, None, None, None)


async def audited(frames: Iterable[str], asked: Swarm) -> dict[str, float]:
    """The same of one that holds those who do not read to account: it is told when who reads has read, and when all
    have."""
    async with serving(says(frames)) as server:
        words = replace(asked, port=server.port).command()
        swarming = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        try:
            for readers in (asked.conns - asked.stalled - asked.slow, asked.conns):
                await until(lambda: server.have_read >= readers)  # noqa: B023  # it is asked here only
                swarming.terminate()
            out, _ = await swarming.communicate()
        finally:
            if swarming.returncode is None:
                swarming.kill()
                await swarming.wait()
    return swarm.read(out.decode().splitlines())[0]
