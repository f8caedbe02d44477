"""What the driver adds to a raw HTTP round trip of an order, against a gateway in front of the simulated exchange."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.conftest import ROOT
from tests.e2e.ordering import ordering

COUNT = 60
ADDED_MAX = 0.20  # of the round trip by hand: the goal, which is told beside what was measured


async def test_what_create_order_adds_to_a_raw_round_trip_is_measured_for_each_kind(dsn: str) -> None:
    """Both in one run and in turn, so that whatever else this machine does happens to both; how much it is, machines
    that do other things do not show, so that only who runs this by itself is told (`-s`)."""
    async with ordering(dsn) as gateway:
        parts = await measured(f"http://127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
    assert parts.keys() == {"sync", "async"}
    print({kind: "met" if part < ADDED_MAX else f"missed: {part:+.1%}" for kind, part in parts.items()})


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
