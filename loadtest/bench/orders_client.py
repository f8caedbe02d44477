"""`python -m loadtest.bench.orders_client`: clients that send orders over WebSockets, one after another, and time them.

Holds one client program: key from standard input, figures as one line of JSON. Must not know what it is measured for.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import aiohttp
import orjson
import uvloop

from loadtest import cpu

READY_S = 30.0
WIDTH = 1.03  # of a bucket, as those of the compiled client


def order_of(account_id: int, request_id: str) -> dict[str, object]:
    """One that is taken, finds nobody to trade with, and is over: open orders do not pile up."""
    payload = {
        "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "1000",
        "time_in_force": "IOC",
    }  # fmt: skip
    return {"account_id": account_id, "command": "send_order", "request_id": request_id, "payload": payload}


class Timed:
    """What came of the orders of all clients."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.failed: list[str] = []

    def figures(self, conns: int, seconds: float, client: cpu.Shares) -> dict[str, object]:
        done = sorted(self.latencies_ms)
        return {
            "conns": conns,
            "seconds": seconds,
            "orders": len(done),
            "per_s": len(done) / seconds,
            "p50_ms": percentile(done, 0.5),
            "p99_ms": percentile(done, 0.99),
            "failed": len(self.failed),
            "first_failure": self.failed[0] if self.failed else "",
            "client_cpu": client.cpu,
            "client_waited": client.waited,
            "buckets": buckets(done),
        }


def buckets(latencies_ms: Iterable[float]) -> list[tuple[float, int]]:
    """How many took no longer than so many us and longer than the one before, ascending; each is WIDTH wider."""
    counted = Counter(math.ceil(math.log(max(1.0, ms * 1e3), WIDTH)) for ms in latencies_ms)
    return [(WIDTH**number, count) for number, count in sorted(counted.items())]


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Client:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse, account_id: int, names: Iterator[str]) -> None:
        self._socket = socket
        self._account_id = account_id
        self._names = names

    async def order(self) -> dict[str, object]:
        """Send one, and wait for the answer."""
        payload = order_of(self._account_id, next(self._names))
        await self._socket.send_str(orjson.dumps({"action": "command", "id": 1, "payload": payload}).decode())
        while True:
            told = orjson.loads((await self._socket.receive()).data)
            if told["type"] == "command_result":
                return dict(told["data"]["results"][0])
            if told["type"] == "error":
                return {"ok": False, "error": told}

    async def until_ready(self) -> None:
        """The account may not be traded on yet."""
        async with asyncio.timeout(READY_S):
            while not (await self.order())["ok"]:  # noqa: ASYNC110 - it is another process that becomes ready
                await asyncio.sleep(0.1)

    async def send(self, until_s: float, timed: Timed) -> None:
        while (began := time.perf_counter()) < until_s:
            answer = await self.order()
            if answer["ok"]:
                timed.latencies_ms.append((time.perf_counter() - began) * 1e3)
            else:
                timed.failed.append(str(answer["error"]))


async def run(url: str, key: str, account_id: int, conns: int, warmup_s: float, seconds: float) -> dict[str, object]:
    run_name = time.time_ns()
    names = (f"{run_name}-{number}" for number in itertools.count())
    async with aiohttp.ClientSession(headers={"x-api-key": key}) as http:
        clients = [Client(await http.ws_connect(url), account_id, names) for _ in range(conns)]
        await clients[0].until_ready()
        await asyncio.gather(*(client.send(time.perf_counter() + warmup_s, Timed()) for client in clients))
        timed, began, before = Timed(), time.perf_counter(), cpu.given()
        await asyncio.gather(*(client.send(began + seconds, timed) for client in clients))
        return timed.figures(conns, time.perf_counter() - began, cpu.shares(before, cpu.given()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.orders_client")
    parser.add_argument("url")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--conns", type=int, default=1)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    key = sys.stdin.readline().strip()
    figures = uvloop.run(run(asked.url, key, asked.account, asked.conns, asked.warmup, asked.seconds))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
