"""A reconnect storm: everybody connects and subscribes at once, while others are reading.

Holds what is started together, and which figures that gives. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from loadtest import histogram, series
from loadtest.bench import servers
from loadtest.bench.machine import client_cpu, on_cpu
from loadtest.bench.servers import Server
from loadtest.outcome import Curve, Sample
from loadtest.swarm import Swarm, raise_open_files, subscribe
from loadtest.watching import watched

SYMBOL = "S0/USDT"
IN_FLIGHT = 512  # handshakes: a client that has lost its connection does not wait for others
WARMUP_S = 1.5
STAYS_S = 0.5  # who has come reads for so long


@dataclass(frozen=True)
class Storm:
    """Who reads all the time, and how many come at once."""

    readers: int
    comers: int
    rate: float  # updates a second
    seconds: float  # the readers are measured; the storm begins with it and should end within


@dataclass(frozen=True)
class Weathered:
    """What came of it."""

    figures: dict[str, float | None]
    samples: list[Sample]
    curve: Curve


def measure(storm: Storm, say: Callable[[str], None]) -> Weathered:
    """One gateway with one key, and all of them on it; raises ToolError when a client does not run to its end."""
    raise_open_files()
    options = {"symbols": 1, "rate": storm.rate}
    with servers.gateway(servers.SYNTHETIC, options, klass="synthetic") as server, ThreadPoolExecutor(1) as pool:
        say(f"{storm.comers} connections at once, while {storm.readers} read")
        with watched(server, storm.seconds) as readings:
            reading = pool.submit(swarm(server, storm.readers, WARMUP_S, storm.seconds).run_to_buckets)
            time.sleep(WARMUP_S)
            came = swarm(server, storm.comers, 0.0, STAYS_S).run()
            read, buckets = reading.result()
    return Weathered(figures(storm, read, came), series.samples(readings), histogram.curve(buckets))


def swarm(server: Server, conns: int, warmup_s: float, seconds: float) -> Swarm:
    """Both kinds of clients ask for the one key."""
    return Swarm(
        port=server.port,
        conns=conns,
        messages=(subscribe([SYMBOL]),),
        in_flight=IN_FLIGHT,
        warmup_s=warmup_s,
        seconds=seconds,
        server_pid=server.pid,
        prefix=on_cpu(client_cpu()),
    )


def figures(storm: Storm, read: dict[str, float], came: dict[str, float]) -> dict[str, float | None]:
    """By the names that limits have. `read` is of who read all the time, `came` of who came."""
    return {
        "storm_s": came["connect_s"],
        "accepted_per_s": came["alive"] / came["connect_s"],
        "refused_count": storm.comers - came["alive"],
        "handshake_p50_ms": came["handshake_p50_ms"],
        "handshake_p99_ms": came["handshake_p99_ms"],
        "lost_count": storm.readers - read["alive"],
        "missing_count": sum(seen[name] for seen in (read, came) for name in ("announced", "unannounced", "repeated")),
        "p50_ms": read["p50_ms"],
        "p99_ms": read["p99_ms"],
        "p999_ms": read["p999_ms"],
    }
