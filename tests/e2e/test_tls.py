"""`tickwire serve` with TLS as an operator runs it: market data, HTTP, and a certificate that is changed meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests import certificates
from tests.conftest import ROOT
from tests.e2e.processes import echo, end, first_line

SUBSCRIBE = '{"action":"subscribe","channel":"quotes","symbols":["S0/USDT"]}'


async def updates(client: ClientConnection, count: int) -> list[int]:
    """Numbers of the next updates."""
    found: list[int] = []
    while len(found) < count:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 10))
        if message.get("kind") == "update":
            found.append(message["sequence"])
    return found


def serial(client: ClientConnection) -> str:
    """Which certificate it was shown."""
    secured: ssl.SSLObject = client.transport.get_extra_info("ssl_object")
    shown = secured.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


async def test_a_certificate_is_changed_under_a_running_stream(tmp_path: Path) -> None:
    files = certificates.issue(tmp_path)
    file = tmp_path / "tickwire.toml"
    file.write_text(
        f'[server]\nport = 0\ntls_certificate = "{files.certificate}"\ntls_key = "{files.key}"\n\n'
        "[oms]\nenabled = false\n\n"
        '[exchanges.made]\nclass = "synthetic"\noptions = { symbols = 1, rate = 50 }\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "serve", "--config", str(file), cwd=ROOT, stderr=PIPE
    )
    try:
        port = json.loads(await first_line(process.stderr, '"event":"listening"'))["port"]
        url, trust = f"wss://localhost:{port}/v1/stream", certificates.client()
        async with connect(url, ssl=trust) as old:
            await old.send(SUBSCRIBE)
            seen = await updates(old, 5)
            files.key.write_text("half of a ke")
            process.send_signal(signal.SIGHUP)
            await first_line(process.stderr, "the old one stays")
            async with connect(url, ssl=trust) as meanwhile:
                assert serial(meanwhile) == serial(old)
            certificates.issue(tmp_path)
            process.send_signal(signal.SIGHUP)
            await first_line(process.stderr, "certificate read again")
            echoing = asyncio.create_task(echo(process.stderr))
            async with connect(url, ssl=trust) as new:
                assert serial(new) != serial(old)
                await new.send(SUBSCRIBE)
                await updates(new, 5)
            async with httpx.AsyncClient(verify=trust) as http:
                metrics = (await http.get(f"https://localhost:{port}/metrics")).text
                assert "tickwire_certificate_expiry_timestamp_seconds" in metrics
            seen += await updates(old, 20)
            assert seen == list(range(seen[0], seen[0] + 25)), "the stream went on"
        await end(process)
        await echoing
    finally:
        await end(process)
