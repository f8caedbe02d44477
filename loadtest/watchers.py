"""`python -m loadtest.watchers`: many who have one account under observation, while somebody trades on it.

Holds what such clients do, and hold against each other: every figure goes on from the value it had, so that a change
that was left out is seen. One process and one loop; figures as one line of JSON. Speaks the account dialect.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import itertools
import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from loadtest import cpu
from loadtest.observing import Observing
from loadtest.swarm import Buckets

CONNECTING = 32  # handshakes at a time
CONNECT_TIMEOUT_S = 30.0
PING_EVERY_S = 5.0
PONG_WITHIN_S = 1.0  # a ping that is no older when the time is over may still be answered
TRADE_EVERY_S = 1.0  # as often as the account is read
TRADED = {"symbol": "BTC/USDT", "order_type": "market", "qty": "0.01"}
READY_S = 30.0
BUCKET_MS = 0.1
FAILURES_KEPT = 5


@dataclass
class Tally:
    """What all of them saw."""

    updates_us: Counter[float] = field(default_factory=Counter)
    pongs_us: Counter[float] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)  # by type
    broken: int = 0  # changes that did not begin where the one before had ended
    trades: int = 0
    failures: list[str] = field(default_factory=list)


class Watcher:
    """One client with one connection, and the account as it was told."""

    def __init__(self, tally: Tally) -> None:
        self.alive = False
        self.updates = 0  # beside snapshots
        self.silence_s = 0.0  # the longest without an update
        self._tally = tally
        self._observing = Observing()
        self._told_s: float | None = None  # when the last update came, or, before there was one, the connection
        self._pings_s: deque[float] = deque()  # when those were sent that have no pong yet, which come in their order

    async def open(self, url: str, key: str, at_once: asyncio.Semaphore) -> ClientConnection | None:
        """Connected and greeted; a failure is noted."""
        try:
            async with at_once, asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await connect(url, additional_headers={"x-api-key": key}, compression=None, ping_interval=None)
                self.connected(time.time())
                self.take(orjson.loads(await socket.recv()), time.time())
        except (WebSocketException, OSError, TimeoutError) as error:
            self._tally.failures.append(f"connect: {error!r}")
            return None
        self.alive = True
        return socket

    async def watch(self, socket: ClientConnection) -> None:
        """Until somebody ends it: it should be us."""
        pinging = asyncio.create_task(self._ping(socket))
        try:
            while True:
                self.take(orjson.loads(await socket.recv()), time.time())
        except WebSocketException as error:
            self.alive = False
            self._tally.failures.append(f"reading: {error!r}")
        finally:
            pinging.cancel()

    async def _ping(self, socket: ClientConnection) -> None:
        with contextlib.suppress(WebSocketException):  # the reader hears of it
            while True:
                await asyncio.sleep(PING_EVERY_S)
                self.ping(time.time())
                await socket.send('{"type":"ping"}')

    def connected(self, now_s: float) -> None:
        """From now on it is to be told."""
        self._told_s = now_s

    def ping(self, now_s: float) -> None:
        """One is sent."""
        self._pings_s.append(now_s)

    def unanswered(self, now_s: float) -> int:
        """Pings without a pong that have waited for too long."""
        return sum(now_s - pinged_s > PONG_WITHIN_S for pinged_s in self._pings_s)

    def quiet_s(self, now_s: float) -> float:
        """The longest without an update, up to now."""
        return self.silence_s if self._told_s is None else max(self.silence_s, now_s - self._told_s)

    def take(self, message: dict[str, Any], now_s: float) -> None:
        """Hold it against what is known, and time it."""
        kind = str(message["type"])
        self._tally.messages[kind] += 1
        self._tally.broken += self._observing.take(message)
        match kind:
            case "pong" if self._pings_s:
                self._tally.pongs_us[rounded_us(now_s - self._pings_s.popleft())] += 1
            case "pong":
                self._tally.failures.append("pong: no ping waits for one")
            case "account_update":
                self._update(message, now_s)
            case "error":
                self._tally.failures.append(f"error: {message['error_code']}")

    def _update(self, message: dict[str, Any], now_s: float) -> None:
        self.silence_s = self.quiet_s(now_s)
        self._told_s = now_s
        if not message.get("snapshot"):
            self.updates += 1
            read_s = dt.datetime.fromisoformat(message["timestamp"]).timestamp()
            self._tally.updates_us[rounded_us(now_s - read_s)] += 1


def rounded_us(seconds: float) -> float:
    return round(seconds * 1e3 / BUCKET_MS) * BUCKET_MS * 1e3


async def trade(http: str, key: str, account: int, tally: Tally) -> None:
    """Buy and sell in turn, so that there is something to be told each second; begins when orders are taken."""
    async with aiohttp.ClientSession(headers={"x-api-key": key}) as session:
        for side in itertools.cycle(("buy", "sell")):
            body = {"account_id": account, "command": "send_order", "request_id": uuid4().hex}
            asked = session.post(f"{http}/oms/commands", json={**body, "payload": {**TRADED, "side": side}})
            try:
                async with asked as answer:
                    error = (await answer.json())["results"][0]["error"]
                if error is None:
                    tally.trades += 1
                elif error["code"] != "exchange_unavailable":
                    tally.failures.append(f"trade: {error['code']}: {error['message']}")
            except (aiohttp.ClientError, TimeoutError, LookupError, ValueError, TypeError) as fault:  # not an answer
                tally.failures.append(f"trade: {type(fault).__name__}: {fault}")
            await asyncio.sleep(TRADE_EVERY_S)


async def run(http: str, key: str, account: int, conns: int, seconds: float) -> dict[str, Any]:
    """All of them at once for so long, from when the last one is connected; updates and trades are of that time."""
    tally = Tally()
    trading = asyncio.create_task(trade(http, key, account, tally))
    watchers = [Watcher(tally) for _ in range(conns)]
    at_once = asyncio.Semaphore(CONNECTING)
    url = f"{http.replace('http', 'ws', 1)}/ws/account/{account}"
    began = time.monotonic()
    watching: list[asyncio.Task[None]] = []

    async def join(watcher: Watcher) -> None:
        if (socket := await watcher.open(url, key, at_once)) is not None:
            watching.append(asyncio.create_task(watcher.watch(socket)))

    await asyncio.gather(*(join(watcher) for watcher in watchers))
    all_there_s, before = time.monotonic(), cpu.given()
    told, traded = [watcher.updates for watcher in watchers], tally.trades
    await asyncio.wait([trading, asyncio.create_task(asyncio.sleep(seconds))], return_when=asyncio.FIRST_COMPLETED)
    shares, ended_s, lasted_s = cpu.shares(before, cpu.given()), time.time(), time.monotonic() - all_there_s
    updates = [watcher.updates - had for watcher, had in zip(watchers, told, strict=True)]
    if trading.done():
        trading.result()
    for task in (trading, *watching):
        task.cancel()
    await asyncio.gather(trading, *watching, return_exceptions=True)
    return {
        "connect_s": all_there_s - began,
        "lasted_s": lasted_s,
        "alive": sum(watcher.alive for watcher in watchers),
        "updates_min": min(updates),
        "updates_max": max(updates),
        "silence_max_s": max(watcher.quiet_s(ended_s) for watcher in watchers),
        "unanswered": sum(watcher.unanswered(ended_s) for watcher in watchers),
        "broken": tally.broken,
        "trades": tally.trades - traded,
        "messages": dict(tally.messages),
        "updates_us": buckets(tally.updates_us),
        "pongs_us": buckets(tally.pongs_us),
        "failures": len(tally.failures),
        "first_failures": tally.failures[:FAILURES_KEPT],
        "client_cpu": shares.cpu,
        "client_waited": shares.waited,
    }


def buckets(counted: Counter[float]) -> Buckets:
    return sorted(counted.items())


def main() -> None:
    """The command line of the module; the key comes from standard input, so that no list of processes shows it."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.watchers", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("url", help="http://HOST:PORT")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--conns", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    came = uvloop.run(run(asked.url, sys.stdin.read().strip(), asked.account, asked.conns, asked.seconds))
    sys.stdout.write(json.dumps(came) + "\n")


if __name__ == "__main__":
    main()
