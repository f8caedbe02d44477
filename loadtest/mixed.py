"""Subscribers of many kinds at once for as long as wanted: the swarm reads, a few of it stall, programs come and go.

Holds what is started together, and which figures that gives. The server's memory, CPU and messages are read all the
while. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from loadtest import histogram, series
from loadtest.bench import servers
from loadtest.bench.machine import client_cpu, on_cpu
from loadtest.bench.servers import Server
from loadtest.outcome import Curve, Sample
from loadtest.swarm import Swarm, last_json_line, raise_open_files, subscribe
from loadtest.watching import watched

WARMUP_S = 1.0
AUDIT_S = 3.0  # those who stalled read again, so that what they missed is held against what was announced
ENDS_WITHIN_S = 60.0  # of its time, a client that does not is given up


@dataclass(frozen=True)
class Mix:
    """Who is there."""

    conns: int  # that read all the time
    stalled: int  # that stop reading after they are up
    programs: int  # that come and go
    symbols: int
    rate: float  # updates a second and symbol
    minutes: float

    @property
    def seconds(self) -> float:
        return 60 * self.minutes


@dataclass(frozen=True)
class Mixed:
    """What came of it."""

    figures: dict[str, float | None]
    samples: list[Sample]
    curve: Curve
    notes: list[str]


def measure(mix: Mix, say: Callable[[str], None]) -> Mixed:
    """One gateway, and all of them on it; raises ToolError when one of them cannot run or does not end."""
    raise_open_files()
    options = {"symbols": mix.symbols, "rate": mix.rate}
    with servers.gateway(servers.SYNTHETIC, options, klass="synthetic") as server, ThreadPoolExecutor(2) as pool:
        say(f"{mix.conns} connections, {mix.stalled} stalled, {mix.programs} programs, {mix.minutes:g} minutes")
        with watched(server, mix.seconds) as readings:
            swarm = pool.submit(_swarm(server, mix).run_to_buckets)
            churn = pool.submit(last_json_line, churn_command(server, mix), timeout_s=mix.seconds + ENDS_WITHIN_S)
            (read, buckets), came = swarm.result(), churn.result()
    seen = series.samples(readings)
    return Mixed(figures(mix, read, came, seen), seen, histogram.curve(buckets), _notes(came))


def _swarm(server: Server, mix: Mix) -> Swarm:
    return Swarm(
        port=server.port,
        conns=mix.conns + mix.stalled,
        messages=(subscribe(["S%d/USDT"]),),
        index_modulus=mix.symbols,
        warmup_s=WARMUP_S,
        seconds=mix.seconds,
        server_pid=server.pid,
        stalled=mix.stalled,
        audit_s=AUDIT_S if mix.stalled else 0.0,
        prefix=on_cpu(client_cpu()),
    )


def churn_command(server: Server, mix: Mix) -> list[str]:
    """The command line of the programs, on the client's core."""
    words = [
        *on_cpu(client_cpu()),
        sys.executable,
        "-m",
        "loadtest.churn",
        f"ws://127.0.0.1:{server.port}{server.path}",
    ]
    words += ["--programs", str(mix.programs), "--symbols", str(mix.symbols), "--seconds", str(mix.seconds)]
    return words


def figures(mix: Mix, read: dict[str, float], came: dict[str, Any], seen: list[Sample]) -> dict[str, float | None]:
    """By the names that limits have. `read` is of the swarm, `came` of the programs."""
    due = mix.rate * mix.seconds
    told = came["updates"] + came["announced"] + came["unannounced"]
    tries = came["connects"] + came["reconnects"]
    slope = series.memory_slope(seen)
    return {
        "unannounced_count": read["unannounced"] + came["unannounced"],
        "repeated_count": read["repeated"] + came["repeated"],
        "announced_count": read["announced"] + came["announced"],
        "lost_count": mix.conns - read["readers_alive"] + came["lost"],  # who stalls for long is closed, and may be
        "delivered_share": min(1.0, (read["min_per_conn"] + 1) / due),
        "delivered_to_programs_share": came["updates"] / told if told else 0.0,
        "reconnect_success_share": came["reconnected"] / came["reconnects"] if came["reconnects"] else 0.0,
        "connect_failures_share": (came["failures"] - came["lost"]) / tries if tries else 1.0,
        "resumed_count": came["resumed"],
        "not_recovered_count": came["not_recovered"],
        "messages_per_s": read["msg_s"],
        "p50_ms": read["p50_ms"],
        "p99_ms": read["p99_ms"],
        "p999_ms": read["p999_ms"],
        "cpu_per_message_us": read["server_us_per_msg"],
        "client_cpu_share": read["client_cpu"],
        "memory_slope_KiB_per_h": slope.kib_per_h if slope else None,
        "memory_slope_error_KiB_per_h": slope.error_kib_per_h if slope else None,
        "memory_slope_beyond_noise_KiB_per_h": series.memory_slope_beyond_noise_kib_per_h(slope),
        "memory_grown_KiB": series.memory_grown_kib(seen),
    }


def _notes(came: dict[str, Any]) -> list[str]:
    deeds = ", ".join(f"{name} {count}" for name, count in came["deeds"].items())
    notes = [f"the programs' deeds: {deeds}; {came['resumed']} streams resumed, {came['replayed']} updates replayed"]
    notes += [f"a program: {failure}" for failure in came["first_failures"]]
    return notes
