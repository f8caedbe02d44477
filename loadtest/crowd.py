"""Locust's users as a scenario: a demo gateway, locust for some minutes, and its statistics as figures and curves.

Must not know limits, nor what users do: their requests have kinds, and each kind its figures.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest import histogram, pulse, series, users
from loadtest.bench.servers import Server
from loadtest.outcome import Curve, Sample
from loadtest.swarm import ToolError
from loadtest.watching import watched

KINDS = {  # the types of locust's statistics -> what their figures begin with
    "update": "update", "connect": "connect", "subscribe": "subscribe", "resume": "resume", "command": "command",
    "ack": "ack", "pong": "pong", "GET": "rest", "POST": "rest",
}  # fmt: skip
SHARES = {"p50": 0.5, "p99": 0.99}
Row = dict[str, Any]


@dataclass(frozen=True)
class Crowd:
    """Who is there, and when."""

    users: int
    spawn_per_s: float
    shape: str  # of shapes.SHAPES
    minutes: float


@dataclass(frozen=True)
class Crowded:
    """What came of it."""

    figures: dict[str, float | None]
    samples: list[Sample]
    curves: dict[str, Curve]


def measure(crowd: Crowd, say: Callable[[str], None]) -> Crowded:
    """One demo with an order database, and all of them on it; raises ToolError when locust does not run to its end."""
    seconds = max(1, round(60 * crowd.minutes))
    say(f"{crowd.users} users, {crowd.shape}, {crowd.minutes:g} minutes")
    with tempfile.TemporaryDirectory(prefix="tickwire-crowd-") as folder, users.demo() as demo:
        kept = Path(folder) / "stats"
        port = urlsplit(demo.url).port
        assert port is not None
        with watched(Server("tickwire", demo.pid, port, kept), seconds) as readings:
            words = ["--host", demo.url, "--users", str(crowd.users), "--spawn-rate", str(crowd.spawn_per_s)]
            words += ["--run-time", f"{seconds}s", "--shape", crowd.shape]
            words += ["--client-json", str(Path(folder) / "client.json"), "--json-file", str(kept)]
            code = users.locust(words, demo.key, subprocess.DEVNULL)
        if code not in {0, 1} or not kept.with_suffix(".json").exists():  # 1: a request failed, which is a figure
            raise ToolError(f"locust ended with {code}")
        rows: list[Row] = json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))
        client = json.loads((Path(folder) / "client.json").read_text(encoding="utf-8"))
    return Crowded({**figures(rows, seconds), **client}, series.samples(readings), curves(rows))


def figures(rows: Sequence[Row], seconds: float) -> dict[str, float | None]:
    """By the names that limits have. A kind of which nothing was asked is no number: it meets no limit."""
    of_users = [row for row in rows if row["method"] != pulse.KIND]
    asked, failed = (sum(row[name] for row in of_users) for name in ("num_requests", "num_failures"))
    found: dict[str, float | None] = {
        "requests_per_s": asked / seconds,
        "failed_count": failed,
        "failed_share": failed / asked if asked else math.nan,
    }
    drawn = curves(rows)
    for kind in dict.fromkeys(KINDS.values()):
        points = drawn.get(kind, [])
        for name, share in SHARES.items():
            found[f"{kind}_{name}_ms"] = next((ms for had, ms in points if had >= share), math.nan)
    return found


def curves(rows: Sequence[Row]) -> dict[str, Curve]:
    """By kind, over all names; locust rounds to ms, and beyond 100 ms to two figures."""
    counts: dict[str, Counter[float]] = {}
    for row in rows:
        if kind := KINDS.get(row["method"]):
            counted = counts.setdefault(kind, Counter())
            counted.update({1e3 * float(ms): count for ms, count in row["response_times"].items()})
    return {kind: histogram.curve(sorted(counted.items())) for kind, counted in counts.items() if counted}
