"""A line between the driver and the gateway that delays, cuts and truncates what comes back.

Holds connections and what is done to each answer; requests always arrive. Must not know what is said on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum


class Fault(Enum):
    NONE = "none"
    CUT = "cut"  # the answer never comes, and the connection ends
    TRUNCATE = "truncate"  # half of it comes, and the connection ends
    DELAY = "delay"  # it comes when nobody waits for it any more


class Proxy:
    """`fault_of` says what happens to the next answer."""

    def __init__(self, port: int, fault_of: Callable[[], Fault], delay_s: float) -> None:
        self.port = 0
        self.seen: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self.targets: list[str] = []  # of each first request on a connection
        self.fault_of = fault_of
        self.gateway_port = port
        self._delay_s = delay_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        requests: asyncio.Task[None] | None = None
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.gateway_port)
            ends.append(behind_writer)
            line = await reader.readline()
            self.targets += line.decode().split()[1:2]
            behind_writer.write(line)
            requests = asyncio.create_task(_copy(reader, behind_writer))
            await self._answers(behind_reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            if requests is not None:
                requests.cancel()
            for end in ends:
                end.close()
            self._tasks.discard(task)

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            fault = self.fault_of()
            self.seen[fault] += 1
            if fault is Fault.CUT:
                return
            if fault is Fault.TRUNCATE:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return
            if fault is Fault.DELAY:
                await asyncio.sleep(self._delay_s)
            writer.write(data)
            await writer.drain()

    async def close(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def faulty(port: int, fault_of: Callable[[], Fault], *, delay_s: float) -> AsyncIterator[Proxy]:
    """The line to whoever listens at `port`, while this is entered."""
    proxy = Proxy(port, fault_of, delay_s)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
