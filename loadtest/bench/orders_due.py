"""`python -m loadtest.bench.orders_due`: clients that send orders at fixed times, timed from when they were due.

Holds one client program: key from standard input, figures as one line of JSON. Whoever is slow is asked no less often
for that, so no wait is left out. Must not know what it is measured for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import orjson
import uvloop

from loadtest import cpu
from loadtest.bench.orders_client import Client, order_of, percentile

ANSWER_WITHIN_S = 10.0  # of the last one: an order without an answer has failed


class Due:
    """The orders of one connection that have no answer yet, and what came of the others; times by one clock, s."""

    def __init__(self, counted_from_s: float) -> None:
        self._counted_from_s = counted_from_s
        self._out: dict[int, float] = {}  # by number, when each was due
        self.replied_ms: list[float] = []
        self.late_ms: list[float] = []  # how late they were sent
        self.failed: list[str] = []

    def sent(self, number: int, due_s: float, now_s: float) -> None:
        self._out[number] = due_s
        if due_s >= self._counted_from_s:
            self.late_ms.append((now_s - due_s) * 1e3)

    def told(self, message: dict[str, Any], now_s: float) -> None:
        """Anything that the gateway says; only answers count."""
        if message["type"] not in {"command_result", "error"} or message.get("id") not in self._out:
            return
        due_s = self._out.pop(message["id"])
        answer = message["data"]["results"][0] if message["type"] == "command_result" else {"ok": False}
        if not answer["ok"]:
            self.failed.append(str(answer.get("error") or message))
        elif due_s >= self._counted_from_s:
            self.replied_ms.append((now_s - due_s) * 1e3)

    @property
    def due(self) -> int:
        """How many were due while it counted."""
        return len(self.late_ms)

    @property
    def waiting(self) -> int:
        """How many have no answer yet."""
        return len(self._out)

    def over(self) -> None:
        """Who has no answer now gets none."""
        self.failed += [f"order {number}: no answer within {ANSWER_WITHIN_S:g} s" for number in self._out]
        self._out.clear()


def figures(seen: list[Due], client: cpu.Shares) -> dict[str, object]:
    """What came of the orders of all connections, and what their one process was given."""
    replied = sorted(itertools.chain.from_iterable(each.replied_ms for each in seen))
    late = sorted(itertools.chain.from_iterable(each.late_ms for each in seen))
    failed = [why for each in seen for why in each.failed]
    return {
        "due": sum(each.due for each in seen),
        "replied": len(replied),
        "p50_ms": percentile(replied, 0.5),
        "p99_ms": percentile(replied, 0.99),
        "sent_late_p99_ms": percentile(late, 0.99),
        "failed": len(failed),
        "first_failure": failed[0] if failed else "",
        "client_cpu": client.cpu,
        "client_waited": client.waited,
    }


async def send(
    socket: aiohttp.ClientWebSocketResponse, due: Due, times_s: Iterator[float], order: Iterator[dict[str, object]]
) -> None:
    """At each time an order, whether those before are answered or not; until all are, or the last one's time is up."""
    none_waits = asyncio.Event()
    reading = asyncio.create_task(_read(socket, due, none_waits))
    for number, (due_s, payload) in enumerate(zip(times_s, order, strict=False), start=1):
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        due.sent(number, due_s, time.monotonic())
        none_waits.clear()
        await socket.send_str(orjson.dumps({"action": "command", "id": number, "payload": payload}).decode())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(none_waits.wait(), ANSWER_WITHIN_S)
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    due.over()


async def _read(socket: aiohttp.ClientWebSocketResponse, due: Due, none_waits: asyncio.Event) -> None:
    async for frame in socket:
        due.told(orjson.loads(frame.data), time.monotonic())
        if not due.waiting:
            none_waits.set()


def times(first_s: float, every_s: float, until_s: float) -> Iterator[float]:
    """When orders are due."""
    return itertools.takewhile(lambda at_s: at_s < until_s, (first_s + n * every_s for n in itertools.count()))


async def run(
    url: str, key: str, account_id: int, conns: int, every_s: float, warmup_s: float, seconds: float
) -> dict[str, object]:
    run_name = time.time_ns()
    names = (f"{run_name}-{number}" for number in itertools.count())
    orders = (order_of(account_id, name) for name in names)
    async with aiohttp.ClientSession(headers={"x-api-key": key}) as http:
        sockets = [await http.ws_connect(url) for _ in range(conns)]
        await Client(sockets[0], account_id, names).until_ready()
        began_s, before = time.monotonic(), cpu.given()
        from_s = began_s + warmup_s
        seen = [Due(from_s) for _ in sockets]
        await asyncio.gather(
            *(
                send(socket, due, times(began_s + n * every_s / conns, every_s, from_s + seconds), orders)
                for n, (socket, due) in enumerate(zip(sockets, seen, strict=True))
            )
        )
        return figures(seen, cpu.shares(before, cpu.given()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.orders_due")
    parser.add_argument("url")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--conns", type=int, default=1)
    parser.add_argument("--every-ms", type=float, default=100.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    key = sys.stdin.readline().strip()
    of_clients = asked.conns, asked.every_ms / 1e3, asked.warmup, asked.seconds
    sys.stdout.write(json.dumps(uvloop.run(run(asked.url, key, asked.account, *of_clients))) + "\n")


if __name__ == "__main__":
    main()
