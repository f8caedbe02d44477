"""What the driver adds to an order: the same command sent by hand and by create_order, in turn, from one process.

By hand is a POST on a kept connection with the very library that ccxt uses, read as JSON; nothing is checked, named or
made into a structure. Run by test_bench_driver in a process of its own, so that the gateway's work is not the client's.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import aiohttp
import requests

from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.sync import OmsCcxtExchange as SyncExchange

SYMBOL, PRICE, AMOUNT = "BTC/USDT", 50000, 0.01
WARM = 5


def body_of(number: int) -> dict[str, Any]:
    """The command that create_order sends."""
    payload = {
        "symbol": SYMBOL, "side": "buy", "qty": str(AMOUNT), "order_type": "limit", "price": str(PRICE),
        "client_order_id": f"by-hand-{time.time_ns()}-{number}",
    }  # fmt: skip
    request_id = f"drv-{time.time_ns()}-{number}"
    return {"account_id": 1, "command": "send_order", "request_id": request_id, "payload": payload}


def config_of(url: str, key: str) -> dict[str, Any]:
    return {"apiKey": key, "options": {"account_id": 1, "base_url": url}}


def headers_of(key: str) -> dict[str, str]:
    return {"x-api-key": key, "Content-Type": "application/json", "Prefer": "return=representation"}


def sync_times(url: str, key: str, count: int) -> tuple[list[float], list[float]]:
    """Seconds of each, by hand and by the driver."""
    exchange: Any = SyncExchange(config_of(url, key))
    exchange.load_markets()
    by_hand, by_driver = [], []
    with requests.Session() as session:
        for number in range(count + WARM):
            began = time.perf_counter()
            answer = session.post(f"{url}/oms/commands", data=json.dumps(body_of(number)), headers=headers_of(key))
            assert answer.json()["results"][0]["order"]["status"] == "open"
            by_hand.append(time.perf_counter() - began)
            began = time.perf_counter()
            order = exchange.create_order(SYMBOL, "limit", "buy", AMOUNT, PRICE)
            by_driver.append(time.perf_counter() - began)
            assert order["status"] == "open"
    exchange.cancel_all_orders()
    exchange.close()
    return by_hand[WARM:], by_driver[WARM:]


async def async_times(url: str, key: str, count: int) -> tuple[list[float], list[float]]:
    """The same, awaited."""
    by_hand, by_driver = [], []
    exchange: Any = AsyncExchange(config_of(url, key))
    async with exchange, aiohttp.ClientSession() as session:
        await exchange.load_markets()
        for number in range(count + WARM):
            began = time.perf_counter()
            data = json.dumps(body_of(number))
            async with session.post(f"{url}/oms/commands", data=data, headers=headers_of(key)) as answer:
                assert (await answer.json())["results"][0]["order"]["status"] == "open"
            by_hand.append(time.perf_counter() - began)
            began = time.perf_counter()
            order = await exchange.create_order(SYMBOL, "limit", "buy", AMOUNT, PRICE)
            by_driver.append(time.perf_counter() - began)
            assert order["status"] == "open"
        await exchange.cancel_all_orders()
    return by_hand[WARM:], by_driver[WARM:]


def main(url: str, key: str, count: int) -> None:
    """Prints, for each kind, the median milliseconds by hand, by the driver, and of what the driver added."""
    told = {}
    for kind, times in (("sync", sync_times(url, key, count)), ("async", asyncio.run(async_times(url, key, count)))):
        by_hand, by_driver = (statistics.median(each) * 1000 for each in times)
        added = statistics.median(ours - theirs for theirs, ours in zip(*times, strict=True)) * 1000
        told[kind] = {"by_hand_ms": by_hand, "by_driver_ms": by_driver, "added_ms": added}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
