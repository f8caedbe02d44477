"""What each process does by itself at the port they share: TLS, and descriptors that run out."""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from gateway.app import App
from gateway.config import Config, OmsConfig, ServerConfig
from tests import certificates
from tests.e2e.trading import ask, take

WAIT_S = 20.0  # until chance and the other process have done their part


@asynccontextmanager
async def two(**server: Any) -> AsyncIterator[App]:
    """Two processes, the second of which is a worker."""
    app = App(Config(server=ServerConfig(port=0, workers=2, **server), exchanges={}, oms=OmsConfig(enabled=False)))
    try:
        await app.start()
        yield app
    finally:
        await app.close()


def held(app: App) -> int:
    """How many sockets the worker has."""
    assert app.workers is not None
    return int(app.workers.told()[0]["connections"])


async def landed(app: App, trust: ssl.SSLContext | None = None) -> ClientConnection | None:
    """One more client, if the worker has taken it; else it is gone again. Raises as `connect` does."""
    before = held(app)
    url = f"{'wss' if trust else 'ws'}://localhost:{app.port}/v1/stream"
    client = await connect(url, ssl=trust, host="127.0.0.1")
    assert (await take(client))["type"] == "connected"
    if held(app) > before:
        return client
    await client.close()
    return None


async def on_worker(app: App, trust: ssl.SSLContext | None = None) -> ClientConnection:
    async with asyncio.timeout(WAIT_S):
        while (client := await landed(app, trust)) is None:
            pass
    return client


def serial(client: ClientConnection) -> str:
    """Which certificate it was shown."""
    shown = client.transport.get_extra_info("ssl_object").getpeercert()
    return str(shown["serialNumber"])


def first_free(pid: int) -> int:
    """The descriptor that a process is given next."""
    taken = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in count() if number not in taken)


async def test_a_certificate_that_is_read_again_is_shown_by_a_worker_too(tmp_path: Path) -> None:
    files, trust = certificates.issue(tmp_path), certificates.client()
    async with two(tls_certificate=str(files.certificate), tls_key=str(files.key)) as app:
        old = await on_worker(app, trust)
        certificates.issue(tmp_path)
        app.reload()
        new = await on_worker(app, trust)
        async with asyncio.timeout(WAIT_S):
            while serial(new) == serial(old):  # it has not been told yet
                await new.close()
                new = await on_worker(app, trust)
        for client in (old, new):
            assert (await ask(client, action="ping"))["type"] == "pong"
            await client.close()


async def test_a_worker_without_a_free_descriptor_serves_who_is_there_and_takes_others_when_it_has_one() -> None:
    async with two() as app:
        assert app.workers is not None
        pid = app.workers.told()[0]["pid"]
        client = await on_worker(app)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free(pid), limits[1]))
        refused = 0
        async with asyncio.timeout(WAIT_S):
            while refused < 3:
                try:
                    assert await landed(app) is None
                except (ConnectionClosed, InvalidHandshake, OSError):  # it is shut in front of them
                    refused += 1
        assert held(app) == 1
        await client.send(json.dumps({"action": "ping"}))
        assert (await take(client))["type"] == "pong"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        other = await on_worker(app)
        assert (await ask(other, action="ping"))["type"] == "pong"
        assert [each["starts"] for each in app.workers.told()] == [1]
        await other.close()
        await client.close()
