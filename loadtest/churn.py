"""`python -m loadtest.churn`: programs that come, go and come back, each holding every stream against its position.

Holds what such programs do: read for a while, then lose the connection and resume, leave and begin anew, change what
they are subscribed to, or stop reading; whether one that leaves a stream has all that any of them had. One process and
one loop; figures as one line of JSON. Speaks the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from loadtest import watchers
from loadtest.furthest import Furthest
from loadtest.hands import HANDS, OF_ACCOUNT
from loadtest.streams import Count, RefusedError, Streams

CONNECT_TIMEOUT_S = 10.0
CATCHES_UP_WITHIN_S = 5.0  # before it leaves what it reads, a program has what anybody had of it
CLOSE_TIMEOUT_S = 1.0  # who has stalled hears of no goodbye
VISIT_S = (0.5, 3.0)  # between two of a program's changes
STALL_S = (1.0, 4.0)
AWAY_S = (0.0, 0.5)  # rings outlive their subscribers by 5 s: who comes back sooner resumes
FAILURES_KEPT = 5
DEEDS = ("drop", "leave", "change", "stall")
DEEDS_OF_ACCOUNT = ("drop", "stall")  # who would begin anew is told again what the key has not confirmed


@dataclass
class Tally:
    """What all programs did and what went wrong."""

    connects: int = 0  # first ones
    reconnects: int = 0
    reconnected: int = 0
    lost: int = 0  # connections that ended without the program's doing
    behind: int = 0  # numbers that others had of a stream, and who read it had not when it left it
    deeds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEEDS, 0))
    failures: list[str] = field(default_factory=list)


class Program:
    """One client over all its connections."""

    def __init__(
        self, number: int, url: str, symbols: Sequence[str], tally: Tally, furthest: Furthest, key: str = ""
    ) -> None:
        self.streams = Streams()
        self.orders_dealt: set[int] = set()  # of an account, those of which a deal was told
        self._hand = OF_ACCOUNT if key else HANDS[number % len(HANDS)]
        self._deeds = DEEDS_OF_ACCOUNT if key else DEEDS
        self._headers = {"x-api-key": key} if key else {}
        self._furthest = furthest
        self._random = random.Random(number)  # noqa: S311 - a choice of load, and the same each run
        self._url = url
        self._symbols = symbols
        self._symbol = self._random.choice(symbols)
        self._tally = tally

    async def run(self, until_s: float) -> None:
        """Visits one after another; all but the first are reconnects."""
        await asyncio.sleep(self._random.uniform(*AWAY_S))  # they do not all begin at once
        first = True
        while time.monotonic() < until_s:
            self._tally.connects += first
            self._tally.reconnects += not first
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    socket = await connect(
                        self._url, additional_headers=self._headers, compression=None, ping_interval=None,
                        close_timeout=CLOSE_TIMEOUT_S,
                    )  # fmt: skip
                    await self._subscribe(socket)
                    for _ in self._hand:
                        while await self._message(socket) != "subscribed":
                            pass
            except (WebSocketException, OSError, TimeoutError, RefusedError) as error:
                self._tally.failures.append(f"connect: {error!r}")
            else:
                self._tally.reconnected += not first
                await self._visits(socket, until_s)
            first = False
            await asyncio.sleep(self._random.uniform(*AWAY_S))

    async def _visits(self, socket: ClientConnection, until_s: float) -> None:
        """Read, do something, read on, until a deed ends the connection, or somebody else does."""
        try:
            while time.monotonic() < until_s:
                await self._read(socket, min(until_s, time.monotonic() + self._random.uniform(*VISIT_S)))
                if await self._deed(socket):
                    break
            else:
                await self._catch_up(socket)
        except (ConnectionClosed, RefusedError) as error:
            self._tally.lost += 1
            self._tally.failures.append(f"reading: {error!r}")
        await socket.close()

    async def _deed(self, socket: ClientConnection) -> bool:
        """Whether the connection is over by it."""
        deed = self._random.choice(self._deeds)
        self._tally.deeds[deed] += 1
        match deed:
            case "leave":
                await self._catch_up(socket)
                self.streams.forget()
                return True
            case "drop":  # what was read and not taken is lost with the connection, and resumed
                socket.transport.abort()
                return True
            case "stall":
                await asyncio.sleep(self._random.uniform(*STALL_S))
            case _:
                await self._catch_up(socket)
                former, self._symbol = self._symbol, self._random.choice(self._symbols)
                if former != self._symbol:
                    for asked in self._hand:
                        await socket.send(json.dumps(self.streams.unsubscribe(asked.channel, [former])))
                    await self._subscribe(socket)
        return False

    async def _catch_up(self, socket: ClientConnection) -> None:
        """Reads on until it is where the furthest of all programs is now; what it lacks then does not come."""
        goals = {asked: self._furthest.of((asked, self._symbol)) for asked in self._hand}

        def missed() -> int:
            """How many numbers, over its streams."""
            at = {asked: self.streams.positions.get((asked.channel, self._symbol)) for asked in self._hand}
            return sum(self._furthest.missed((asked, self._symbol), goals[asked], at[asked]) for asked in self._hand)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCHES_UP_WITHIN_S):
                while missed():
                    await self._message(socket)
        self._tally.behind += missed()

    async def _read(self, socket: ClientConnection, until_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until_s - time.monotonic()):
                while True:
                    await self._message(socket)

    async def _message(self, socket: ClientConnection) -> str:
        message = orjson.loads(await socket.recv())
        if self.streams.take(message) and message["channel"] == "deals":
            self.orders_dealt.add(message["data"]["order_id"])
        for asked in self._hand:
            if position := self.streams.positions.get((asked.channel, self._symbol)):
                self._furthest.saw((asked, self._symbol), position)
        return str(message["type"])

    async def _subscribe(self, socket: ClientConnection) -> None:
        for asked in self._hand:
            await socket.send(json.dumps(self.streams.subscribe(asked.channel, [self._symbol], **asked.options)))


def figures(tally: Tally, counts: list[Count]) -> dict[str, Any]:
    """Everything that was counted, summed over the programs."""
    summed = {name: sum(getattr(count, name) for count in counts) for name in asdict(Count())}
    return {
        **asdict(tally),
        **summed,
        "failures": len(tally.failures),
        "first_failures": tally.failures[:FAILURES_KEPT],
    }


@dataclass(frozen=True)
class Account:
    """That some programs read, and somebody trades on each second."""

    number: int
    key: str
    programs: int


async def run(
    url: str, programs: int, symbols: Sequence[str], seconds: float, account: Account | None = None
) -> dict[str, Any]:
    """All programs at once; those of an account are counted apart."""
    tally, furthest = Tally(), Furthest()
    clients = [Program(number, url, symbols, tally, furthest) for number in range(programs)]
    until_s = time.monotonic() + seconds
    running = [client.run(until_s) for client in clients]
    if account is None:
        await asyncio.gather(*running)
        return figures(tally, [client.streams.count for client in clients])
    theirs, traded = Tally(), watchers.Tally()
    names = [str(account.number)]
    owners = [Program(n, url, names, theirs, furthest, account.key) for n in range(account.programs)]
    trading = asyncio.create_task(watchers.trade(f"http://{urlsplit(url).netloc}", account.key, account.number, traded))
    owning = [asyncio.create_task(owner.run(until_s)) for owner in owners]
    all_over = asyncio.gather(*running, *owning)
    if owning:  # what is traded once the first has left cannot be told to all
        await asyncio.wait(owning, return_when=asyncio.FIRST_COMPLETED)
        trading.cancel()
    await all_over
    trading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await trading
    came = figures(tally, [client.streams.count for client in clients])
    had = figures(theirs, [owner.streams.count for owner in owners])
    dealt = min((len(owner.orders_dealt) for owner in owners), default=0)
    told = {"trades": traded.trades, "trades_failed": traded.failures, "orders_dealt_min": dealt}
    return {**came, "of_account": {**had, **told}}


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.churn", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("url", help="ws://HOST:PORT/v1/stream")
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--account", type=int, default=1, help="the account that those with a key read and trade on")
    parser.add_argument("--key-file", type=Path, help="with a key, which no list of processes shows")
    parser.add_argument("--owners", type=int, default=10, help="so many more programs read the account")
    asked = parser.parse_args()
    key = asked.key_file.read_text(encoding="ascii").strip() if asked.key_file else ""
    account = Account(asked.account, key, asked.owners) if key else None
    came = uvloop.run(run(asked.url, asked.programs, asked.symbols, asked.seconds, account))
    sys.stdout.write(json.dumps(came) + "\n")


if __name__ == "__main__":
    main()
