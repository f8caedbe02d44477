"""What the driver adds to a raw HTTP round trip of an order, against a gateway in front of the simulated exchange."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.conftest import ROOT
from tests.e2e.ordering import ordering

COUNT = 60
ADDED_MAX = 0.20  # of the round trip by hand
RUNS_MAX = 3  # on a machine that does other things, medians of so few are some per cent apart by chance


async def test_create_order_adds_little_to_a_raw_round_trip(dsn: str) -> None:
    """Both in one run and in turn, so that whatever else this machine does happens to both."""
    async with ordering(dsn) as gateway:
        for _ in range(RUNS_MAX):
            parts = await measured(f"http://127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
            if all(part < ADDED_MAX for part in parts.values()):
                return
    raise AssertionError(parts)


async def measured(url: str, key: str) -> dict[str, float]:
    """What the driver of each kind added, as a part of the round trip by hand."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.driver_orders",
        url,
        key,
        str(COUNT),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    parts = {}
    for kind, told in json.loads(output).items():
        by_hand, by_driver, added = (told[f"{name}_ms"] for name in ("by_hand", "by_driver", "added"))
        parts[kind] = by_driver / by_hand - 1
        print(
            f"{kind}: {by_hand:.2f} ms by hand, {by_driver:.2f} ms by the driver, {added:+.2f} ms: {parts[kind]:+.1%}"
        )
    return parts
