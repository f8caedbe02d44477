"""Faults of a simulated exchange during a run: which, when, and carried out one after another.

Holds the exchange as a process that can be restarted, and its control door. Must not know clients, nor what a fault
does to anybody.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loadtest.bench import servers
from loadtest.bench.machine import free_port
from loadtest.bench.servers import Server
from loadtest.swarm import ToolError

RESTART_DOWN_S = 1.0
DOOR_TIMEOUT_S = 10.0


class Kind(NamedTuple):
    """One kind of fault: what the control door is told (nothing: the process is restarted), how long it lasts, and
    whether it breaks streams, which then has to be announced."""

    name: str
    commands: tuple[Mapping[str, Any], ...]
    lasts_s: float
    breaks: bool


KINDS = (
    Kind("drop", ({"fault": "drop"},), 0.0, breaks=True),
    Kind("slow answers", ({"fault": "delay", "ms": 500, "seconds": 4},), 4.0, breaks=False),
    Kind("silence", ({"fault": "silent", "seconds": 6, "pong": True},), 6.0, breaks=True),
    Kind("restart", (), RESTART_DOWN_S, breaks=True),
    Kind(
        "refusal",
        ({"fault": "rest", "status": 503, "path": "/stream", "seconds": 3}, {"fault": "drop"}),
        3.0,
        breaks=True,
    ),
)


class Injected(NamedTuple):
    """A fault that was: times are of the wall clock, as clients on this machine read it."""

    kind: str
    from_s: float
    until_s: float
    breaks: bool


def times(seconds: float, every_s: float, recovery_s: float) -> list[float]:
    """When faults begin: so far apart, and none so late that it is not over, with its recovery, at the end.

    Raises ToolError when one would begin before the one before is over and recovered from: what then happens could be
    either's doing.
    """
    if not every_s:
        return []
    longest_s = max(kind.lasts_s for kind in KINDS) + recovery_s
    if every_s < longest_s:
        raise ToolError(f"a fault every {every_s:g} s: one and its recovery take up to {longest_s:g} s")
    begin_s = [every_s * (number + 0.5) for number in range(int(seconds / every_s) + 1)]
    over_s = [at_s + KINDS[number % len(KINDS)].lasts_s + recovery_s for number, at_s in enumerate(begin_s)]
    return [at_s for at_s, by_s in zip(begin_s, over_s, strict=True) if by_s <= seconds]


@dataclass
class Exchange:
    """A simulated exchange with a market that moves by itself, on one port however often it is started."""

    symbols: int
    rate: float
    port: int = field(default_factory=free_port)
    server: Server = field(init=False)
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        self.server = self._running.enter_context(
            servers.exchange(symbols=self.symbols, rate=self.rate, port=self.port)
        )

    def stop(self) -> None:
        self._running.close()

    def command(self, command: Mapping[str, Any]) -> None:
        """Told to the control door; raises ToolError when it does not do it."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DOOR_TIMEOUT_S)) as door:
            door.request("POST", "/admin/faults", json.dumps(command))
            answer = door.getresponse()
            said = answer.read().decode()
        if answer.status != http.client.OK:
            raise ToolError(f"the exchange refused {command}: {said}")

    def suffer(self, kind: Kind, over: threading.Event) -> Injected:
        """The fault from its beginning to its end."""
        began_s = time.time()
        for command in kind.commands:
            self.command(command)
        if not kind.commands:
            self.stop()
        over.wait(kind.lasts_s)
        if not kind.commands:
            self.start()
        return Injected(kind.name, began_s, time.time(), kind.breaks)


@contextmanager
def exchange(symbols: int, rate: float) -> Iterator[Exchange]:
    """One that runs while the block does."""
    one = Exchange(symbols, rate)
    one.start()
    try:
        yield one
    finally:
        one.stop()


@contextmanager
def restless(one: Exchange, at_s: list[float]) -> Iterator[list[Injected]]:
    """All kinds in turn while the block runs; ToolError when one could not be done, unless the block itself fails."""
    began_s = time.monotonic()
    over = threading.Event()
    injected: list[Injected] = []
    failures: list[Exception] = []

    def disturb() -> None:
        try:
            for number, due_s in enumerate(at_s):
                if over.wait(max(0.0, began_s + due_s - time.monotonic())):
                    return
                injected.append(one.suffer(KINDS[number % len(KINDS)], over))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield injected
    finally:
        over.set()
        thread.join()
    if failures:
        raise ToolError(f"a fault of the exchange could not be made: {failures[0]!r}") from failures[0]
