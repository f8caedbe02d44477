"""The compiled swarm beside locust's users, one on each worker: what it measures is in locust's statistics.

Holds how its lines become requests of the type `swarm`: in bulk, since one event a message would be all that a worker
could do. Must not import locust: who does patches every socket of the process.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from loadtest.swarm import Buckets, Swarm, raise_open_files, subscribe

KIND = "swarm"
CHANNEL = "quotes"
TELL_EVERY_MS = 1_000
RUNS_S = 7 * 24 * 3600.0  # it is ended when the test is
Fail = Callable[[str, str], None]  # a name, and what failed


def swarm_of(host: str, conns: int, symbols: list[str]) -> Swarm:
    """What one worker adds, against the gateway that its users have."""
    port = urlsplit(host).port
    if urlsplit(host).hostname not in ("127.0.0.1", "localhost") or port is None:
        raise ValueError(f"the swarm reads a gateway of this machine, http://127.0.0.1:PORT, not {host}")
    return Swarm(
        port=port,
        conns=conns,
        messages=(subscribe(symbols, CHANNEL),),
        seconds=RUNS_S,
        tell_every_ms=TELL_EVERY_MS,
    )


class Volume:
    """A swarm that runs, and the statistics that it is added to. `statistics` is locust's, of the environment."""

    def __init__(self, swarm: Swarm, statistics: Any, fail: Fail) -> None:
        self._swarm = swarm
        self._statistics = statistics
        self._fail = fail
        self._told: Counter[str] = Counter()
        self._running: subprocess.Popen[str] | None = None
        self._is_over = False

    def run(self) -> None:
        """Until it is stopped; a swarm that ends by itself is a failure."""
        raise_open_files()
        command = self._swarm.command()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as self._running:  # noqa: S603 - our own tool
            assert self._running.stdout is not None
            for line in self._running.stdout:
                self.take(json.loads(line), time.time())
        if not self._is_over:
            self._fail("run", f"the swarm ended with {self._running.returncode}")

    def stop(self) -> None:
        self._is_over = True
        if self._running is not None:
            self._running.kill()

    def take(self, told: dict[str, Any], now_s: float) -> None:
        """One line of it: what was measured since the last, and the increase of what was missed."""
        if "since_us" not in told:
            return
        for statistics in (self._statistics.get(CHANNEL, KIND), self._statistics.total):
            add(statistics, told["since_us"], now_s)
        missed = Counter({name: told[name] for name in ("unannounced", "repeated")})
        missed["lost"] = told["conns"] - told["alive"]
        for name, count in (missed - self._told).items():
            for _ in range(count):
                self._fail(CHANNEL, name)
        self._told |= missed


def add(entry: Any, buckets: Buckets, now_s: float) -> None:
    """As `StatsEntry.log` would, message by message; response times are rounded as locust rounds them."""
    for us, count in buckets:
        ms = us / 1e3
        entry.num_requests += count
        entry.total_response_time += ms * count
        entry.min_response_time = ms if entry.min_response_time is None else min(entry.min_response_time, ms)
        entry.max_response_time = max(entry.max_response_time, ms)
        key = round(ms) if ms < 100 else round(ms, -1) if ms < 1000 else round(ms, -2)
        entry.response_times[int(key)] = entry.response_times.get(int(key), 0) + count
        entry.num_reqs_per_sec[int(now_s)] = entry.num_reqs_per_sec.get(int(now_s), 0) + count
    if buckets:
        entry.last_request_timestamp = now_s
