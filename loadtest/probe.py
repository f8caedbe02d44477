"""`python -m loadtest.probe`: one client that asks all the time, and reads every stream: was the service there?

Holds what such a client does and what it noted, as one line of JSON. What it means is `uptime`'s. Speaks the wire.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from loadtest.flow import Flow
from loadtest.hands import CHANNELS
from loadtest.streams import Count, RefusedError, Streams
from loadtest.uptime import Announced, Slot

LIVE = "quotes"  # the channel that never rests in a market that moves
SLOT_S = 0.25
ANSWER_WITHIN_S = 1.0
CONNECT_TIMEOUT_S = 5.0
AGAIN_AFTER_S = 0.1


class Probe:
    """The client over all its connections."""

    def __init__(self, url: str, symbols: list[str]) -> None:
        self._url = url
        self.symbols = symbols
        self._streams = Streams()
        self._updated_s: dict[str, float] = {}
        self.flow = Flow([(channel, symbol) for channel in CHANNELS for symbol in symbols])
        self.ended_s = 0.0
        self._sent_s: dict[str, float] = {}  # by slot number, what has no answer yet
        self._answered: set[str] = set()
        self._none_waits = asyncio.Event()  # for an answer
        self._all_there = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._slots: list[tuple[float, float]] = []
        self.gaps: list[Announced] = []
        self.failures: list[str] = []

    @property
    def count(self) -> Count:
        return self._streams.count

    async def run(self, seconds: float, over: asyncio.Event | None = None) -> None:
        """Asks from when every stream was live for the first time, for so long or until it is `over`."""
        reading = asyncio.create_task(self._read())
        asking = asyncio.create_task(self._ask())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for((over or asyncio.Event()).wait(), seconds)
        asking.cancel()
        self.ended_s = time.time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_waits.wait(), ANSWER_WITHIN_S)
        reading.cancel()
        for task in (asking, reading):
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def seen(self) -> list[Slot]:
        """One for each piece of time."""
        return [Slot(at_s, str(n) in self._answered, oldest_s) for n, (at_s, oldest_s) in enumerate(self._slots)]

    async def _read(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    socket = await connect(self._url, compression=None, ping_interval=None, max_queue=None)
                self._socket = socket
                for channel in CHANNELS:
                    await socket.send(json.dumps(self._streams.subscribe(channel, self.symbols)))
                while True:
                    self._take(orjson.loads(await socket.recv()))
            except (WebSocketException, OSError, TimeoutError, RefusedError) as error:
                self.failures.append(repr(error))
                self._socket = None
            await asyncio.sleep(AGAIN_AFTER_S)

    def _take(self, message: dict[str, Any]) -> None:
        now_s = time.time()
        if message["type"] == "pong":
            number = str(message["id"])
            if now_s - self._sent_s.pop(number, 0.0) <= ANSWER_WITHIN_S:
                self._answered.add(number)
            if not self._sent_s:
                self._none_waits.set()
        elif message["type"] == "gap":
            stream = f"{message['channel']} {message['symbol']}"
            self.gaps.append(Announced(now_s, stream, message["reason"]))
        elif message.get("channel") in CHANNELS and "sequence" in message and now_s <= (self.ended_s or now_s):
            channel, symbol = message["channel"], message["data"]["symbol"]
            self.flow.took((channel, symbol), now_s)
            if channel == LIVE:
                self._updated_s[symbol] = now_s
            if len(self._updated_s) == len(self.symbols):
                self._all_there.set()
        self._streams.take(message)

    async def _ask(self) -> None:
        await self._all_there.wait()
        self.flow.begin(time.time())
        while True:
            number, now_s = str(len(self._slots)), time.time()
            self._slots.append((now_s, min(self._updated_s.values())))
            if self._socket is not None:
                self._sent_s[number] = now_s
                self._none_waits.clear()
                with contextlib.suppress(WebSocketException):  # the reader hears of it
                    await self._socket.send(json.dumps({"action": "ping", "id": number}))
            await asyncio.sleep(SLOT_S)


async def run(url: str, symbols: list[str], seconds: float) -> dict[str, Any]:
    """What was noted, as it is printed."""
    probe = Probe(url, symbols)
    await probe.run(seconds)
    return told(probe)


def told(probe: Probe) -> dict[str, Any]:
    """All that it has noted."""
    count = probe.count
    return {
        "slots": probe.seen(),
        "gaps": probe.gaps,
        "flow": {channel: probe.flow.of(channel, probe.ended_s) for channel in CHANNELS},
        "updates": count.updates,
        "unannounced": count.unannounced,
        "repeated": count.repeated,
        "misfit": count.misfit,
        "announced": count.announced,
        "streams": [f"{channel} {symbol}" for channel in CHANNELS for symbol in probe.symbols],
        "failures": probe.failures,
    }


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.probe", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("url", help="ws://HOST:PORT/v1/stream")
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(uvloop.run(run(asked.url, asked.symbols, asked.seconds))) + "\n")


if __name__ == "__main__":
    main()
