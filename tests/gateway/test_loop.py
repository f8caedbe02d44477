"""Both event loops: the choice, and a whole gateway where uvloop cannot be imported."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import uvloop
from websockets.asyncio.client import connect

from gateway import loop

WITHOUT_UVLOOP = """
import sys
sys.modules["uvloop"] = None  # every import of it fails from here on
from gateway.cli import main
sys.argv = ["tickwire", "serve"]
main()
"""
CONFIG = """
[server]
port = 0
[oms]
enabled = false
[exchanges.made]
class = "synthetic"
options = { symbols = 1, rate = 50.0 }
"""


def test_uvloop_is_used_where_it_is_there() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert isinstance(loop.run(running()), uvloop.Loop)


async def quotes(url: str, count: int) -> list[int]:
    async with connect(url) as socket:
        listed = json.dumps({"action": "subscribe", "channel": "quotes", "symbols": ["S0/USDT"]})
        await socket.send(listed)
        numbers: list[int] = []
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "quote" and message["kind"] == "update":
                numbers.append(message["sequence"])
            if len(numbers) == count:
                break
        return numbers


def test_a_gateway_serves_and_drains_without_uvloop(tmp_path: Path) -> None:
    (tmp_path / "tickwire.toml").write_text(CONFIG)
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_UVLOOP],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        port = next(json.loads(line).get("port", 0) for line in process.stderr if '"port"' in line)
        numbers = asyncio.run(asyncio.wait_for(quotes(f"ws://127.0.0.1:{port}/v1/stream", 20), 30))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert process.returncode == 0
    assert "Traceback" not in err
