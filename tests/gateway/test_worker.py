"""A worker as a process: it needs its link and nothing else. What it serves: tests/e2e/test_workers.py."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import msgspec

from gateway.config import ServerConfig
from gateway.limits import Limits
from gateway.net.worker import Settings
from gateway.wire import link
from tests.conftest import ROOT


async def test_it_listens_when_it_is_welcomed_and_ends_with_its_link() -> None:
    ours, theirs = socket.socketpair()
    with theirs, socket.create_server(("127.0.0.1", 0)) as inherited:
        fds = [theirs.fileno(), inherited.fileno()]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.worker", "info", "json", *map(str, fds)), cwd=ROOT, pass_fds=fds
        )
        port = inherited.getsockname()[1]
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    settings = msgspec.json.encode(Settings(ServerConfig(), Limits()))
    writer.write(link.control(link.Welcome(1, 0, settings)))
    said = link.Reader()
    messages: list[link.Bytes | link.Up] = []
    while link.Listening() not in messages:
        messages += [link.up(payload) for payload in said.feed(await asyncio.wait_for(reader.read(1 << 16), 60))]
    client, client_writer = await asyncio.open_connection("127.0.0.1", port)
    client_writer.write(b"GET")
    while not any(isinstance(message, link.Opened) for message in messages):
        messages += [link.up(payload) for payload in said.feed(await asyncio.wait_for(reader.read(1 << 16), 60))]
    writer.close()
    assert await asyncio.wait_for(process.wait(), 30) == 0
    with contextlib.suppress(ConnectionResetError):
        assert await client.read() == b""
    client_writer.close()
