"""Clients of several processes that lose their connection and resume on another process; and who watches meanwhile.

Holds what is started together and what came of it. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from loadtest.bench import servers
from loadtest.bench.servers import Server
from loadtest.streams import Count, RefusedError, Streams
from loadtest.swarm import ToolError

CHANNEL: Final = "trades"
CLIENTS: Final = 6
TIMES: Final = 4  # that each resumes
RATE: Final = 20.0  # things a second that happen in a market
AWAY_S: Final = 0.3  # in which updates go by
WITHIN_S: Final = 60.0
TRIES: Final = 100  # connections until one is on another process: the kernel spreads them by chance


@dataclass(frozen=True)
class Elsewhere:
    """What came of them all."""

    resumed: int  # on another process than before, in the epoch that they were in, with all between
    not_resumed: int
    missing: int  # numbers that never came, announced or not
    repeated: int
    watches_of_a_key: int  # at the exchange, of the one that has most


def measure(processes: int, *, clients: int = CLIENTS, times: int = TIMES) -> Elsewhere:
    """A simulated exchange, a gateway of so many processes, and the clients; raises ToolError when they come to no
    end."""
    with servers.exchange(symbols=2, rate=RATE) as exchange:
        options = servers.binance_at(exchange)
        with servers.gateway(servers.SIMULATED, options, klass="binance", workers=processes) as server:
            until_all_listen(server)
            try:
                return uvloop.run(asyncio.wait_for(_all(server, exchange, clients, times), WITHIN_S))
            except (OSError, TimeoutError, WebSocketException, RefusedError) as error:
                raise ToolError(f"clients that resume on another process: {error!r}") from error


async def _all(server: Server, exchange: Server, clients: int, times: int) -> Elsewhere:
    told = await asyncio.to_thread(status, server)
    pids = [server.pid, *(each["pid"] for each in told.get("workers", []))]
    async with AsyncExitStack() as stack:
        seen = [Client(server, pids) for _ in range(clients)]
        stays = Client(server, pids)  # while all others are away, as long as the machine likes: else the epoch may end
        for each in (stays, *seen):
            stack.push_async_callback(each.leave)
            await each.come()
        watches = await asyncio.to_thread(watches_of_a_key, exchange)
        for _ in range(times):
            await asyncio.gather(*(each.come_back_elsewhere() for each in seen))
    return of_counts([each.streams.count for each in seen], clients * times, watches)


def of_counts(counts: Collection[Count], wanted: int, watches: int) -> Elsewhere:
    """`wanted` is how often they came back."""
    resumed = sum(count.resumed for count in counts)
    return Elsewhere(
        resumed,
        wanted - resumed,
        sum(count.unannounced + count.announced + count.resynced for count in counts),
        sum(count.repeated for count in counts),
        watches,
    )


class Client:
    """One stream, wherever its connection is."""

    def __init__(self, server: Server, pids: Collection[int]) -> None:
        self.streams = Streams()
        self._server = server
        self._pids = pids
        self._socket: ClientConnection | None = None
        self._is_on = 0  # a process

    async def come(self, but_not_on: int = 0) -> None:
        """Connect, and read an update of the stream."""
        async with AsyncExitStack() as others:
            for _ in range(TRIES):
                socket = await connect(
                    f"ws://127.0.0.1:{self._server.port}{self._server.path}", compression=None, max_queue=None
                )
                self._is_on = await asyncio.to_thread(owner, self._server.port, socket.local_address[1], self._pids)
                if self._is_on != but_not_on:
                    break
                others.push_async_callback(socket.close)  # not before: its place would be taken again
            else:
                raise ToolError(f"{TRIES} connections, and none on another process")
        self._socket = socket
        await socket.send(json.dumps(self.streams.subscribe(CHANNEL, ["BTC/USDT"])))
        updates = self.streams.count.updates
        while self.streams.count.updates == updates:
            self.streams.take(orjson.loads(await socket.recv()))

    async def come_back_elsewhere(self) -> None:
        """Lose the connection, be away for a while, and resume on another process."""
        before = self._is_on
        await self.leave()
        await asyncio.sleep(AWAY_S)
        await self.come(but_not_on=before)

    async def leave(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None


def status(server: Server) -> dict[str, Any]:
    """What the gateway tells of itself."""
    return dict(json.loads(server.get("/api/ws/status")[1]))


def until_all_listen(server: Server) -> None:
    """All of its processes: before, connections would all be the first one's."""
    while not all(each["listening"] for each in status(server).get("workers", [])):
        time.sleep(0.05)


def watches_of_a_key(exchange: Server) -> int:
    """How often the stream is subscribed to that most are subscribed to."""
    streams: dict[str, Any] = json.loads(exchange.get("/admin/status")[1])["streams"]
    return max((each["subscribers"] for each in streams.values()), default=0)


def owner(port: int, peer_port: int, pids: Collection[int]) -> int:
    """Which process has accepted the connection of loopback from `peer_port` (proc_net_tcp(5)); ToolError when none
    of them has it."""
    ours, theirs = (f"0100007F:{each:04X}" for each in (port, peer_port))
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _number, local, remote, *_rest = fields = line.split()
        if (local, remote) == (ours, theirs):
            link = f"socket:[{fields[9]}]"
            for pid in pids:
                if link in _open_files(pid):
                    return pid
    raise ToolError(f"no process has the connection from port {peer_port}")


def _open_files(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(each.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found
