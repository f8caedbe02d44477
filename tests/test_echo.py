"""The echo server of the conformance suites, started as they start it."""

from __future__ import annotations

import asyncio
import sys

import websockets


async def test_it_says_where_it_listens_and_echoes_large_messages() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "tests.echo", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line.startswith("listening on 127.0.0.1:")
        async with websockets.connect(f"ws://{line.split()[-1]}/", max_size=None) as client:
            assert client.protocol.extensions
            for message in ("grüße", bytes(range(256)) * 65_536):
                await client.send(message)
                assert await client.recv() == message
    finally:
        process.terminate()
        _, errors = await process.communicate()
    assert errors == b""
