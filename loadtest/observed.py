"""Connections that have an account under observation, for minutes: a demo that trades, and the watchers on it.

Holds what is started together, and which figures that gives. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest import histogram, series, users
from loadtest.bench.servers import Server
from loadtest.outcome import Curve, Sample
from loadtest.series import Reading
from loadtest.swarm import ToolError, raise_open_files
from loadtest.watching import reading, watched

ENDS_WITHIN_S = 90.0  # of its time, with the handshakes before
ACCOUNT = 1


@dataclass(frozen=True)
class Observation:
    """How many watch, and for how long."""

    conns: int
    minutes: float


@dataclass(frozen=True)
class Observed:
    """What came of it."""

    figures: dict[str, float | None]
    samples: list[Sample]
    curves: dict[str, Curve]
    notes: list[str]


def measure(asked: Observation, say: Callable[[str], None]) -> Observed:
    """One demo, and all of them on its account; raises ToolError when they do not run to their end."""
    raise_open_files()
    seconds = 60 * asked.minutes
    say(f"{asked.conns} connections to one account, {asked.minutes:g} minutes")
    with users.demo() as demo:
        port = urlsplit(demo.url).port
        assert port is not None
        server = Server("tickwire", demo.pid, port, Path())
        before = reading(server)
        with watched(server, seconds) as readings:
            came = _watchers(demo, asked.conns, seconds)
    return Observed(figures(asked, came, before, readings), series.samples(readings), curves(came), notes(came))


def _watchers(demo: users.Demo, conns: int, seconds: float) -> dict[str, Any]:
    words = [sys.executable, "-m", "loadtest.watchers", demo.url, "--account", str(ACCOUNT)]
    words += ["--conns", str(conns), "--seconds", str(seconds)]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            words, input=demo.key, capture_output=True, text=True, check=False, timeout=seconds + ENDS_WITHIN_S
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"the watchers did not end {ENDS_WITHIN_S:.0f} s after their time") from error
    if done.returncode:
        raise ToolError(f"the watchers failed: {done.stderr.strip()[-1500:]}")
    came: dict[str, Any] = json.loads(done.stdout)
    return came


def figures(
    asked: Observation, came: dict[str, Any], before: Reading, readings: Sequence[Reading]
) -> dict[str, float | None]:
    """By the names that limits have. Memory a connection is the highest there was over what it was without any."""
    samples = series.samples(readings)
    slope = series.memory_slope(samples)
    grown_kib = max((each.memory_KiB for each in samples), default=before.memory_KiB) - before.memory_KiB
    drawn = curves(came)
    return {
        "conns_count": asked.conns,
        "lost_count": asked.conns - came["alive"],
        "failed_count": came["failures"],
        "broken_count": came["broken"],
        "stale_count": came["messages"].get("error", 0),
        "updates_per_s": came["updates_min"] / came["lasted_s"],
        "unequal_count": came["updates_max"] - came["updates_min"],
        "silence_max_s": came["silence_max_s"],
        "trades_per_s": came["trades"] / came["lasted_s"],
        "unanswered_count": came["unanswered"],
        "connect_s": came["connect_s"],
        **{f"{name}_{what}_ms": _at(drawn.get(name, []), share) for name in ("update", "pong") for what, share in AT},
        "cpu_share": sum(each.cpu_share for each in samples) / len(samples) if samples else None,
        "client_cpu_share": came["client_cpu"],
        "client_waited_share": came["client_waited"],
        "memory_per_connection_KiB": grown_kib / asked.conns,
        "memory_slope_KiB_per_h": slope.kib_per_h if slope else None,
        "memory_slope_error_KiB_per_h": slope.error_kib_per_h if slope else None,
        "memory_slope_beyond_noise_KiB_per_h": series.leak_kib_per_h(samples),
        "memory_grown_KiB": series.memory_grown_kib(samples),
    }


AT = (("p50", 0.5), ("p99", 0.99))


def _at(points: Curve, share: float) -> float:
    """Not a number where there is nothing: that meets no limit."""
    return next((ms for had, ms in points if had >= share), float("nan"))


def curves(came: dict[str, Any]) -> dict[str, Curve]:
    """From when the account was read to when a change was told, and from a ping to its pong."""
    return {name: histogram.curve(came[f"{name}s_us"]) for name in ("update", "pong") if came[f"{name}s_us"]}


def notes(came: dict[str, Any]) -> list[str]:
    told = ", ".join(f"{count} {kind}" for kind, count in came["messages"].items())
    return [f"told: {told}; {came['trades']} trades", *(f"a failure: {each}" for each in came["first_failures"])]
