"""The compiled swarm beside locust's users, one on each worker: what it measures is in locust's statistics.

Holds how its lines become requests of the type `swarm`: in bulk, since one event a message would be all that a worker
could do. Must not import locust: who does patches every socket of the process.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from loadtest.swarm import Buckets, Swarm, raise_open_files, subscriptions

KIND = "swarm"
CHANNEL = "quotes"
TELL_EVERY_MS = 1_000
RUNS_S = 7 * 24 * 3600.0  # it is ended when the test is
MISSED = ("unannounced", "repeated", "lost", "given_up")  # of a line: so many so far


def swarm_of(host: str, conns: int, symbols: list[str], others: Mapping[str, int] | None = None) -> Swarm:
    """What one worker adds, against the gateway that its users have; `others` is how many of them do not just read,
    by the names of swarm.SHARES."""
    port = urlsplit(host).port
    if urlsplit(host).hostname not in ("127.0.0.1", "localhost") or port is None:
        raise ValueError(f"the swarm reads a gateway of this machine, http://127.0.0.1:PORT, not {host}")
    return Swarm(
        port=port,
        conns=conns,
        messages=subscriptions(symbols, CHANNEL),
        seconds=RUNS_S,
        tell_every_ms=TELL_EVERY_MS,
        **(others or {}),  # type: ignore[arg-type]  # whole numbers, by name
    )


class Volume:
    """A swarm that runs, and the statistics that it is added to. `statistics` is locust's, of the environment."""

    def __init__(self, swarm: Swarm, statistics: Any) -> None:
        self._swarm = swarm
        self._statistics = statistics
        self._told: Counter[str] = Counter()
        self._running: subprocess.Popen[str] | None = None
        self._is_over = False
        self._lines = 0
        self._shares: Counter[str] = Counter()

    def run(self) -> None:
        """Until it is stopped; a swarm that ends by itself is a failure."""
        raise_open_files()
        command = self._swarm.command()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as self._running:  # noqa: S603 - our own tool
            assert self._running.stdout is not None
            for line in self._running.stdout:
                self.take(json.loads(line), time.time())
        if not self._is_over:
            add_failures(self._statistics, "run", f"the swarm ended with {self._running.returncode}", 1, time.time())

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
        missed = Counter({name: told[name] for name in MISSED})
        for name, count in (missed - self._told).items():
            add_failures(self._statistics, CHANNEL, name, count, now_s)
        self._told |= missed
        if "client_cpu" in told:  # not of the first line, which is since nothing
            self._lines += 1
            self._shares.update({name: told[f"client_{name}"] for name in ("cpu", "waited")})

    def figures(self) -> dict[str, float | None]:
        """What of its core it took, and how long it waited for one: means since it began, by the names that tell a
        bottleneck."""
        return {
            f"client_{name}_of_swarm_share": self._shares[name] / self._lines if self._lines else None
            for name in ("cpu", "waited")
        }


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


def add_failures(statistics: Any, name: str, what: str, count: int, now_s: float) -> None:
    """As `RequestStats.log_error` would, so often; it costs the same however many numbers are missing. No request
    among them: nothing came that could be timed."""
    statistics.log_error(KIND, name, what)
    for entry in (statistics.get(name, KIND), statistics.total):
        entry.num_failures += count - 1
        entry.num_fail_per_sec[int(now_s)] = entry.num_fail_per_sec.get(int(now_s), 0) + count - 1
    for error in statistics.errors.values():
        if (error.method, error.name, error.error) == (KIND, name, what):
            error.occurrences += count - 1
