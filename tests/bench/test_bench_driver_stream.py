"""What an update costs a program on the pro driver, held against ccxt.pro's own binance class on the same stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

import pytest

from gateway.sources.sim import sim_options
from tests.conftest import ROOT
from tests.e2e.ordering import Ordering, ordering

SECONDS = 3
RATE = "300"  # arrivals a second in the market
BURST = 500


async def cost(kind: str, config: dict[str, Any], method: str) -> dict[str, float]:
    """Of one kind, in a process of its own."""
    arguments = ("-m", "tests.bench.driver_stream", kind, json.dumps(config), method, str(SECONDS))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    return dict(json.loads(output))


async def burst(gateway: Ordering) -> None:
    """Many trades at once, again and again."""
    while True:
        await asyncio.sleep(0.25)
        await gateway.exchange.post("burst", stream="btcusdt@trade", count=BURST)


async def compare(gateway: Ordering, method: str) -> float:
    """What ours costs in parts of what theirs does, both at once: what disturbs one disturbs the other."""
    options = {"account_id": 1, "base_url": f"http://127.0.0.1:{gateway.app.port}"}
    ours, theirs = await asyncio.gather(
        cost("driver", {"apiKey": gateway.keys["ann"], "options": options}, method),
        cost("binance", sim_options(gateway.exchange.base_url), method),
    )
    told = [f"{each['messages']} messages, {each['calls']} calls, {each['us']:.0f} us" for each in (ours, theirs)]
    print(f"{method}: driver {told[0]}; binance {told[1]}; ratio {ours['us'] / theirs['us']:.2f}")
    assert min(ours["messages"], theirs["messages"]) > 10 * SECONDS // 2
    return ours["us"] / theirs["us"]


@pytest.mark.timed
async def test_an_update_costs_no_more_than_on_ccxts_own_class(dsn: str) -> None:
    async with ordering(dsn, "--rate", RATE) as gateway:
        ratios = {method: await compare(gateway, method) for method in ("trades", "bids_asks", "order_book")}
        bursting = asyncio.create_task(burst(gateway))
        ratios["trades in bursts"] = await compare(gateway, "trades")
        bursting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bursting
    assert all(ratio < 1 for ratio in ratios.values()), ratios
