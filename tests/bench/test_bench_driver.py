"""What the driver adds to a raw HTTP round trip of an order, against a gateway in front of the simulated exchange."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.conftest import ROOT
from tests.e2e.ordering import ordering

COUNT = 60
ADDED_MAX = 0.20  # of the round trip by hand


async def test_create_order_adds_little_to_a_raw_round_trip(dsn: str) -> None:
    """Both in one run and in turn, so that whatever else this machine does happens to both."""
    async with ordering(dsn) as gateway:
        arguments = ("-m", "tests.bench.driver_orders", f"http://127.0.0.1:{gateway.app.port}", gateway.keys["ann"])
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, str(COUNT), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    for kind, told in json.loads(output).items():
        by_hand, by_driver, added = (told[f"{name}_ms"] for name in ("by_hand", "by_driver", "added"))
        part = by_driver / by_hand - 1
        print(f"{kind}: {by_hand:.2f} ms by hand, {by_driver:.2f} ms by the driver ({part:+.1%}), {added:.2f} ms added")
        assert part < ADDED_MAX, kind
