"""What several processes cost and bring: CPU of each of them, what the link takes, and what more cores would give.

Holds the points, how one is measured, and the model fitted to them. Must not know tables or files.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from loadtest import bottleneck
from loadtest.bench import elsewhere, servers
from loadtest.bench.elsewhere import Elsewhere
from loadtest.bench.scaling import Point, swarm
from loadtest.bench.servers import Server
from loadtest.bench.workloads import Plan
from loadtest.swarm import raise_open_files

NAME: Final = "workers"
SECONDS: Final = 5.0  # of each point, unless told: the kernel counts CPU in hundredths
WARMUP_S: Final = 1.0  # workers report once a second
UPDATES: Final = Point("updates: 20 connections, 1 of 10 keys each, 200 updates/s", conns=20, keys=10, rate=200.0)
POINTS: Final = (
    Point("A: 1,000 connections, 1 key, 100 updates/s", conns=1_000, rate=100.0),
    Point("B: 1,000 connections, 10 keys each, 10 updates/s", conns=1_000, keys=10, keys_per_conn=10, rate=10.0),
    UPDATES,
)
PROCESSES: Final = (1, 2)


@dataclass(frozen=True)
class Process:
    """One of a gateway's: shares of a core, and messages a second to its own clients."""

    cpu: float
    messages_s: float


@dataclass(frozen=True)
class Seen:
    """A point on a gateway of so many processes, the first one first."""

    point: Point
    processes: list[Process]
    p50_ms: float
    p99_ms: float
    missing: int  # numbers that never came, announced or not
    client_cpu: float
    client_waited: float = 0.0
    repeated: int = 0
    lost: int = 0  # connections

    @property
    def messages_s(self) -> float:
        return sum(each.messages_s for each in self.processes)

    @property
    def label(self) -> str:
        return f"{self.point.label}, processes {len(self.processes)}"

    def client_notes(self) -> list[str]:
        """That its client was the bottleneck, if it was."""
        return bottleneck.of_client(self.label, self.client_cpu, self.client_waited)

    @property
    def message_us(self) -> float:
        """CPU a message, of all processes."""
        return sum(each.cpu for each in self.processes) / max(1.0, self.messages_s) * 1e6


@dataclass(frozen=True)
class Model:
    """CPU in us: of an update in the first process, on its link to each worker, in each worker; and of a message."""

    update_us: float
    link_us: float
    copy_us: float
    message_us: float

    def first_us(self, processes: int, subscribers: float) -> float:
        """CPU of the first process for one update that so many read, spread evenly."""
        return self.update_us + (processes - 1) * self.link_us + self.message_us * subscribers / processes

    def messages_s(self, processes: int, subscribers: float) -> float:
        """At most, when the busiest process has a core to itself and that is full."""
        worker_us = self.copy_us + self.message_us * subscribers / processes if processes > 1 else 0.0
        return subscribers * 1e6 / max(self.first_us(processes, subscribers), worker_us)


@dataclass(frozen=True)
class Workers:
    """All of it."""

    seen: list[Seen]
    model: Model
    elsewhere: Elsewhere


def measure(plan: Plan) -> Workers:
    """Every point on a gateway of its own for each number of processes; then who resumes on another process."""
    raise_open_files()
    seen = [see(point, count, plan) for point in POINTS for count in PROCESSES]
    plan.say(f"{NAME}: resumed on another process")
    return Workers(seen, fit(seen), elsewhere.measure(PROCESSES[-1]))


def figures_of(result: Workers) -> dict[str, float | None]:
    """By the names that limits have. A ratio is of CPU at the most processes to that at one, of the worst point: of a
    message where nearly all of it is the messages', of an update where nearly all of it is the updates'."""
    seen, back = result.seen, result.elsewhere
    return {
        "cpu_per_message_ratio": max(_ratio(seen, point) for point in POINTS if point is not UPDATES),
        "cpu_per_update_ratio": _ratio(seen, UPDATES),
        "delivered_share": min(min(1.0, each.messages_s / each.point.messages_s) for each in seen),
        "missing_count": sum(each.missing for each in seen) + back.missing,
        "repeated_count": sum(each.repeated for each in seen) + back.repeated,
        "lost_count": sum(each.lost for each in seen),
        "resumed_elsewhere_count": back.resumed,
        "not_resumed_count": back.not_resumed,
        "watches_of_a_key_count": back.watches_of_a_key,
        "p99_ms": max(each.p99_ms for each in seen),
        "client_cpu_share": max(each.client_cpu for each in seen),
        "client_waited_share": max(each.client_waited for each in seen),
    }


def _ratio(seen: list[Seen], point: Point) -> float:
    by_count = {len(each.processes): each.message_us for each in seen if each.point == point}
    return by_count[PROCESSES[-1]] / by_count[PROCESSES[0]]


def notes_of(result: Workers) -> list[str]:
    """Of which gateways the client was the bottleneck."""
    return [note for each in result.seen for note in each.client_notes()]


def see(point: Point, count: int, plan: Plan) -> Seen:
    """One point on a gateway of so many processes."""
    plan.say(f"{NAME}: {point.label}, {count} processes")
    options = {"symbols": point.keys, "rate": point.rate, "data_bytes": point.data_bytes}
    with servers.gateway(servers.SYNTHETIC, options, klass="synthetic", workers=count) as server:
        elsewhere.until_all_listen(server)
        with replace(swarm(server, point, plan.seconds), warmup_s=WARMUP_S).measuring() as ended:
            before = _look(server)
            time.sleep(plan.seconds)
            after = _look(server)
            figures, _ = ended()
    return seen_of(point, before, after, figures)


@dataclass(frozen=True)
class Look:
    """Of each process so far."""

    at_s: float
    cpu_s: list[float]
    messages: list[int]


def seen_of(point: Point, before: Look, after: Look, figures: dict[str, float]) -> Seen:
    """What was done between two looks."""
    seconds = after.at_s - before.at_s
    each = zip(before.cpu_s, after.cpu_s, before.messages, after.messages, strict=True)
    return Seen(
        point,
        [Process((cpu - cpu_0) / seconds, (sent - sent_0) / seconds) for cpu_0, cpu, sent_0, sent in each],
        figures["p50_ms"],
        figures["p99_ms"],
        int(sum(figures[name] for name in ("announced", "unannounced", "behind"))),
        figures["client_cpu"],
        figures["client_waited"],
        int(figures["repeated"]),
        int(point.conns - figures["alive"]),
    )


def fit(seen: list[Seen]) -> Model:
    """Update and message by least squares over gateways of one process; then what is left of those of two."""
    alone = [(each.point.updates_s, each.messages_s, each.processes[0].cpu) for each in seen if not each.processes[1:]]
    uu, um, mm = (sum(products) for products in zip(*((u * u, u * m, m * m) for u, m, _ in alone), strict=True))
    uc, mc = sum(u * cpu for u, _, cpu in alone), sum(m * cpu for _, m, cpu in alone)
    whole = uu * mm - um * um
    update, message = max(0.0, (uc * mm - mc * um) / whole), max(0.0, (mc * uu - uc * um) / whole)
    both = [(each.point.updates_s, each.processes[0], each.processes[1]) for each in seen if each.processes[1:]]
    squares = sum(u * u for u, _, _ in both)
    link = sum(u * (first.cpu - update * u - message * first.messages_s) for u, first, _ in both) / squares
    copy = sum(u * (worker.cpu - message * worker.messages_s) for u, _, worker in both) / squares
    return Model(update * 1e6, max(0.0, link) * 1e6, max(0.0, copy) * 1e6, message * 1e6)


def _look(server: Server) -> Look:
    status = elsewhere.status(server)
    others = status.get("workers", [])
    of_others = [each["messages"] for each in others]
    cpu_s = [_cpu_s(pid) for pid in (server.pid, *(each["pid"] for each in others))]
    return Look(time.monotonic(), cpu_s, [status["counters"]["messages"] - sum(of_others), *of_others])


def _cpu_s(pid: int) -> float:
    """Of a process so far (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
