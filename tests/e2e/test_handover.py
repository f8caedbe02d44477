"""A gateway is replaced while it is used: the next process listens before the first one ends, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from oms.model import PositionMode
from oms.postgres import Embedded
from tests.conftest import ROOT
from tests.crash.client import Client
from tests.crash.world import Scene, World
from tests.e2e.processes import START_S, STOP_S, echo, end, exchange_of, first_line
from tests.waiting import until

AGAIN_S = 0.02
ORDERS = 8  # before, while and after the process changes
GOING_AWAY = 1001


class Follower:
    """A client that keeps its position, and comes back whenever it is sent away."""

    def __init__(self, scene: Scene, url: str) -> None:
        self.seen: list[int] = []
        self.gaps: list[Any] = []
        self.ends: list[tuple[bool, int]] = []  # whether a shutdown was announced, and the code of the close
        self.subscribed = asyncio.Event()
        self._url = url.replace("http", "ws") + "/v1/stream"
        self._headers = {"x-api-key": scene.key}
        self._account = str(scene.account.id)
        self._position: dict[str, Any] = {}

    async def follow(self) -> None:
        while True:
            announced = False
            try:
                async with connect(self._url, additional_headers=self._headers) as client:
                    if not await self._subscribe(client):
                        await asyncio.sleep(AGAIN_S)
                        continue
                    while True:
                        message = json.loads(await client.recv())
                        announced |= message["type"] == "server_shutdown"
                        if message["type"] == "gap":
                            self.gaps.append(message)
                        elif message.get("kind") == "update":
                            self.seen.append(message["sequence"])
                            self._position["sequence"] = message["sequence"]
            except ConnectionClosed as closed:
                self.ends.append((announced, closed.rcvd.code if closed.rcvd else 0))
            except (OSError, InvalidStatus):
                await asyncio.sleep(AGAIN_S)

    async def _subscribe(self, client: ClientConnection) -> bool:
        """Go on from where it was; False while nobody takes orders there."""
        await client.recv()
        resume = {self._account: self._position} if self._position else {}
        number = int(self._account)
        request = {"action": "subscribe", "channel": "orders", "account_ids": [number], "resume": resume}
        await client.send(json.dumps({**request, "snapshot": False}))
        answer = json.loads(await client.recv())
        stream = answer.get("data", {}).get("streams", {}).get(self._account)
        if stream is None:
            return False
        if not self._position:
            self._position = {"epoch": stream["epoch"], "sequence": stream["sequence"]}
        self.subscribed.set()
        return True


async def trade(client: Client) -> None:
    order = client.command("send_order", symbol="BTC/USDT", side="buy", order_type="market", qty="0.01")
    await client.ask_until_told(order, socket=False, timeout_s=30)


async def test_orders_and_their_events_go_on_in_the_next_process(postgres: Embedded, tmp_path: Path) -> None:
    async with (
        exchange_of("--symbols", "1", "--rate", "0") as exchange,
        World(postgres, exchange, tmp_path).scene(PositionMode.NETTING) as scene,
        scene.gateway(shared_port=0) as first,
    ):
        client, follower = scene.client(first), Follower(scene, first.url)
        following = asyncio.create_task(follower.follow())
        await follower.subscribed.wait()
        for _ in range(ORDERS):
            await trade(client)
        async with scene.gateway(shared_port=int(first.url.rsplit(":", 1)[1])) as second:
            assert second.url == first.url
            going = asyncio.create_task(first.stop())
            for _ in range(ORDERS):
                await trade(client)
            await going
            assert first.exit_code == 0
            for _ in range(ORDERS):
                await trade(client)
            last = (await scene.books()).sequences["orders"]
            await until(lambda: following.done() or (follower.seen and follower.seen[-1] == last))
            assert follower.ends
            assert set(follower.ends) == {(True, GOING_AWAY)}, "it was told before it was sent away"
            assert following.cancel(), "it came back whenever it was sent away"
            with contextlib.suppress(asyncio.CancelledError):
                await following
        assert follower.seen == list(range(1, last + 1)), "each event once, and in order"
        assert follower.gaps == []
        assert all(each.answers[-1]["ok"] for each in client.asked)
        ledger = await scene.ledger()
        assert Counter(entry["client_order_id"] for entry in ledger["orders"]).most_common(1)[0][1] == 1
        assert len(ledger["orders"]) == len(client.asked) == 3 * ORDERS


class Systemd:
    """What it does for a service: holds the socket, passes it on, and hears how far the service is."""

    def __init__(self, folder: Path) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/v1/stream"
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify"))
        self.told.setblocking(False)
        self.file = folder / "tickwire.toml"
        self.file.write_text('[oms]\nenabled = false\n[exchanges.made]\nclass = "synthetic"\n')

    def start(self) -> asyncio.Task[Process]:
        """The service, as one process after another is it."""
        words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.file)]
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{self.listening.fileno()}'
        return asyncio.create_task(
            asyncio.create_subprocess_exec(
                "bash", "-c", script, "service", *words,
                cwd=ROOT, stderr=PIPE, pass_fds=[self.listening.fileno()],
                env={**os.environ, "NOTIFY_SOCKET": str(self.file.parent / "notify"), "WATCHDOG_USEC": "200000"},
            )
        )  # fmt: skip

    async def heard(self) -> str:
        return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.told, 100), START_S)).decode()

    def close(self) -> None:
        self.listening.close()
        self.told.close()


async def test_who_connects_while_the_service_is_replaced_is_answered_by_the_next_process(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path)
    first = await systemd.start()
    try:
        assert await systemd.heard() == "READY=1"
        assert await systemd.heard() == "WATCHDOG=1"
        assert await systemd.heard() == "WATCHDOG=1"
        await first_line(first.stderr, '"event":"listening"')
        echoing = [asyncio.create_task(echo(first.stderr))]
        async with connect(systemd.url) as client:
            assert json.loads(await client.recv())["type"] == "connected"
            first.terminate()
            while await systemd.heard() != "STOPPING=1":
                pass
            assert json.loads(await client.recv())["type"] == "server_shutdown"
            meanwhile = asyncio.create_task(connect(systemd.url, open_timeout=START_S).__aenter__())
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == GOING_AWAY
        assert await asyncio.wait_for(first.wait(), STOP_S) == 0
        assert not meanwhile.done(), "it waits in the queue of the socket"
        second = await systemd.start()
        try:
            echoing.append(asyncio.create_task(echo(second.stderr)))
            waited = await asyncio.wait_for(meanwhile, START_S)
            assert json.loads(await waited.recv())["type"] == "connected"
            await waited.close()
        finally:
            assert await end(second) == 0
        await asyncio.gather(*echoing)
    finally:
        await end(first)
        systemd.close()
