"""How the gateway's cost grows: one axis after the other, each point on gateways of its own, several times.

Holds the axes and how a point is measured. Must not know tables or files; what is linear is said by `linear`.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from loadtest import bottleneck
from loadtest.bench import linear, servers
from loadtest.bench.clients import Load, run
from loadtest.bench.linear import Measured, Step
from loadtest.bench.machine import client_cpu, on_cpu
from loadtest.bench.servers import Server
from loadtest.bench.workloads import Plan
from loadtest.swarm import Swarm, raise_open_files

NAME: Final = "scaling"
TIERS_MS: Final = (0, 50, 100, 250, 500, 1000, 3000, 5000)
REQUEST_SYMBOLS: Final = 100  # what the swarm's message has room for
WARMUP_S: Final = 0.5
IN_FLIGHT: Final = 256
FLOOR_CONNS_MIN: Final = 1_000  # below, the kernel's clock ticks are too coarse for the floor's client
SECONDS: Final = 2.0  # of each measurement, unless told: whole ticks of every tier that has some
REPEATS: Final = 12  # of each point, unless told
A_GATEWAY: Final = 4  # of them in a row on one gateway, then a fresh one: no two processes are alike, either
COUNTED: Final = ("sends", "replies", "messages")
REPEATS_MIN: Final = 2  # noise is how far measurements of a point are apart


@dataclass(frozen=True)
class Point:
    """What is asked of the gateway: `rate` updates a second and key, a quote of at least `data_bytes`."""

    label: str
    conns: int
    keys: int = 1
    keys_per_conn: int = 1
    rate: float = 10.0
    data_bytes: int = 0
    tiers_ms: tuple[int, ...] = (0,)  # dealt out to the connections

    def messages(self) -> tuple[str, ...]:
        """Requests of a connection: one for each tier, of which it sends one; or all of its keys."""
        if self.keys_per_conn > 1:
            named = [f"S{n}/USDT" for n in range(self.keys_per_conn)]
            parts = [named[at : at + REQUEST_SYMBOLS] for at in range(0, len(named), REQUEST_SYMBOLS)]
            return tuple(_subscribe(part, 0) for part in parts)
        return tuple(_subscribe(["S%d/USDT"], tier_ms) for tier_ms in self.tiers_ms)

    def rate_of(self, tier_ms: int) -> float:
        """Updates a second of a key at this tier."""
        return min(self.rate, 1000 / tier_ms) if tier_ms else self.rate

    @property
    def updates_s(self) -> float:
        """Numbered updates a second: of every key in every tier that is listened to, the market's own among them."""
        return self.keys * (self.rate + sum(self.rate_of(tier) for tier in self.tiers_ms if tier))

    @property
    def messages_s(self) -> float:
        return self.conns * self.keys_per_conn * sum(map(self.rate_of, self.tiers_ms)) / len(self.tiers_ms)


@dataclass(frozen=True)
class Axis:
    """Points along which one thing grows, from little work to much; `unit` is what is added from point to point."""

    name: str
    title: str
    unit: str  # one of UNITS
    points: tuple[Point, ...]


AXES: Final = (
    Axis(
        "subscribers",
        "Subscribers of one key, 10 updates/s",
        "message",
        tuple(Point(f"{n:,}", conns=n) for n in (10, 100, 1_000, 3_000, 10_000)),
    ),
    Axis(
        "keys",
        "Keys, each of 1,000 subscribers has one, 10 updates/s a key",
        "update",
        tuple(Point(f"{n:,}", conns=1_000, keys=n) for n in (1, 10, 30, 100, 300, 1_000)),
    ),
    Axis(
        "all-keys",
        "Keys, each of 20 subscribers has all, 5 updates/s a key",
        "message",
        tuple(Point(f"{n:,}", conns=20, keys=n, keys_per_conn=n, rate=5.0) for n in (1, 10, 100, 300, 1_000)),
    ),
    Axis(
        "bytes",
        "Bytes of a quote, 1,000 subscribers of one key, 10 updates/s",
        "byte",
        tuple(
            Point(f"{n:,}" if n else "as it is", conns=1_000, data_bytes=n) for n in (0, 2_000, 5_000, 10_000, 20_000)
        ),
    ),
    Axis(
        "throttled",
        "Throttled mixes, 1,000 subscribers of one key, 100 updates/s",
        "message",
        tuple(
            Point(label, conns=1_000, rate=100.0, tiers_ms=tiers)
            for label, tiers in (
                ("all at 1,000 ms", (1000,)),
                ("all at 100 ms", (100,)),
                ("all eight tiers alike", TIERS_MS),
                ("half at 100 ms, half at none", (0, 100)),
                ("none", (0,)),
            )
        ),
    ),
)


@dataclass(frozen=True)
class Seen:
    """What one measurement of a point showed; rates are a second."""

    cpu: float  # share of the server's core
    messages: float
    bytes: float
    messages_per_send: float
    p50_ms: float
    p99_ms: float
    delivered: float  # share of what was due; the window's edges may cut off a tick of all
    missing: int  # numbers that never came, announced or not, or came again
    lost: int  # connections
    client_cpu: float
    client_waited: float = 0.0


@dataclass(frozen=True)
class Row:
    """A point, and every measurement of it."""

    point: Point
    seen: list[Seen]
    floor_us: float | None = None  # CPU a message of the C program that only sends

    def median(self, figure: Callable[[Seen], float]) -> float:
        return statistics.median(map(figure, self.seen))

    @property
    def client(self) -> str:
        """Its medians of CPU and waiting, as a table has them."""
        return bottleneck.cell(*self._client())

    def client_notes(self, name: str) -> list[str]:
        """That it was the bottleneck, if it mostly was."""
        return bottleneck.of_client(name, *self._client())

    def _client(self) -> tuple[float, float]:
        return self.median(lambda seen: seen.client_cpu), self.median(lambda seen: seen.client_waited)

    def measured(self, unit: str) -> Measured:
        return Measured(UNITS[unit](self), tuple(seen.cpu for seen in self.seen))


UNITS: Final[dict[str, Callable[[Row], float]]] = {  # work a second
    "message": lambda row: row.median(lambda seen: seen.messages),
    "byte": lambda row: row.median(lambda seen: seen.bytes),
    "update": lambda row: row.point.updates_s,
}


@dataclass(frozen=True)
class Grown:
    """An axis, and what was seen of it."""

    name: str
    title: str
    unit: str
    rows: list[Row]

    @property
    def measured(self) -> list[Measured]:
        return [row.measured(self.unit) for row in self.rows]

    @property
    def noise(self) -> float:
        """Standard deviation of one measurement, as a share of its CPU."""
        return linear.noise(self.measured)

    def steps(self) -> list[Step]:
        return linear.steps(self.measured)


@dataclass
class Scaling:
    """All of it."""

    axes: list[Grown]
    notes: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [step for grown in self.axes for step in grown.steps()]

    @property
    def everything(self) -> list[Seen]:
        return [seen for grown in self.axes for row in grown.rows for seen in row.seen]

    @property
    def above(self) -> int:
        """How many steps are above linear."""
        return sum(step.above for step in self.steps)

    @property
    def undecided(self) -> int:
        """Of how many steps noise could hide too much."""
        return sum(step.undecided for step in self.steps)


def measure(plan: Plan, axes: Sequence[Axis] = AXES, repeats: int = REPEATS) -> Scaling:
    """All points of the axes, `repeats` times each, and none again for what it showed."""
    raise_open_files()
    result = Scaling([])
    for axis in axes:
        possible = [point for point in axis.points if point.conns <= plan.conns_max]
        if len(possible) < len(axis.points):
            result.notes.append(f"{axis.title}: nothing above {plan.conns_max:,} connections")
        rounds: list[list[Seen]] = []
        while (left := repeats - len(rounds)) > 0:
            rounds += see(possible, plan, min(A_GATEWAY, left))
        rows = [Row(point, list(seen)) for point, seen in zip(possible, zip(*rounds, strict=True), strict=True)]
        if axis is AXES[0]:
            rows = [_with_floor(row, plan) for row in rows]
        result.axes.append(Grown(axis.name, axis.title, axis.unit, rows))
    return result


def see(points: Sequence[Point], plan: Plan, times: int = 1) -> list[list[Seen]]:
    """Each point on a gateway that serves it alone, all of them there at once and used in turn, so that what slows the
    machine for a while slows all of an axis."""
    with contextlib.ExitStack() as stack:
        gateways = []
        for point in points:
            options = {"symbols": point.keys, "rate": point.rate, "data_bytes": point.data_bytes}
            # One that nobody reads any more is still while others are measured on its core.
            alone = servers.gateway(servers.SYNTHETIC, options, klass="synthetic", limits={"linger_s": 0.05})
            gateways.append(stack.enter_context(alone))
        pairs = list(zip(points, gateways, strict=True))
        return [[_see(point, server, plan) for point, server in pairs] for _ in range(times)]


def _see(point: Point, server: Server, plan: Plan) -> Seen:
    plan.say(f"{NAME}: {point.conns} connections, {point.keys} keys, {point.messages_s:,.0f} messages/s due")
    before = _counters(server)
    figures = swarm(server, point, plan.seconds).run()
    after = _counters(server)
    return seen_of(point, plan.seconds, figures, {name: after[name] - before[name] for name in COUNTED})


def _counters(server: Server) -> dict[str, int]:
    _status, text = server.get("/api/ws/status")
    counters: dict[str, int] = json.loads(text)["counters"]
    return counters


def swarm(server: Server, point: Point, seconds: float) -> Swarm:
    """The client of a point, on the client's core."""
    return Swarm(
        port=server.port,
        path=server.path,
        conns=point.conns,
        messages=point.messages(),
        deal=int(len(point.tiers_ms) > 1),
        index_modulus=point.keys,
        in_flight=IN_FLIGHT,
        warmup_s=WARMUP_S,
        seconds=seconds,
        server_pid=server.pid,
        prefix=on_cpu(client_cpu()),
    )


def seen_of(point: Point, seconds: float, figures: dict[str, float], counters: dict[str, int]) -> Seen:
    """The client counts messages and the server's CPU while it measures; how many went out in one system call is the
    gateway's count over the client's whole life, without replies."""
    return Seen(
        cpu=figures["server_cpu"],
        messages=figures["msg_s"],
        bytes=figures["bytes"] / max(1.0, figures["msgs"]) * figures["msg_s"],
        messages_per_send=max(1.0, counters["messages"] / max(1, counters["sends"] - counters["replies"])),
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        delivered=min(1.0, (figures["msg_s"] + point.conns * point.keys_per_conn / seconds) / point.messages_s),
        missing=int(sum(figures[name] for name in ("announced", "unannounced", "repeated"))),
        lost=int(point.conns - figures["alive"]),
        client_cpu=figures["client_cpu"],
        client_waited=figures["client_waited"],
    )


def _with_floor(row: Row, plan: Plan) -> Row:
    """Beside the first axis, what the kernel alone costs as sockets become more."""
    point = row.point
    if plan.tools.floor is None or plan.tools.wsload is None or point.conns < FLOOR_CONNS_MIN:
        return row
    plan.say(f"{NAME}: C floor, {point.conns} connections")
    payload_bytes = round(row.median(lambda seen: seen.bytes) / max(1.0, row.median(lambda seen: seen.messages)))
    with servers.floor(plan.tools, point.conns, point.rate, payload_bytes=payload_bytes, messages_per_send=1) as server:
        load = Load(conns=point.conns, warmup_s=WARMUP_S, seconds=plan.seconds)
        return replace(row, floor_us=run(server, load, plan.tools.wsload).us_per_msg)


def notes_of(result: Scaling) -> list[str]:
    """What was left out, and of each axis where its client was the bottleneck."""
    return [*result.notes, *(note for axis in result.axes for note in notes_of_axis(axis))]


def notes_of_axis(grown: Grown) -> list[str]:
    """Each point whose client was mostly the bottleneck: the steps to it and from it are the client's, too."""
    return [note for row in grown.rows for note in row.client_notes(f"{grown.name}, {row.point.label}")]


def figures_of(result: Scaling) -> dict[str, float | None]:
    """By the names that limits have."""
    everything = result.everything
    return {
        "points_count": sum(len(grown.rows) for grown in result.axes),
        "above_linear_count": result.above,
        "undecided_count": result.undecided,
        "steepest_step_ratio": max(step.ratio for step in result.steps),
        "noise_share": max(grown.noise for grown in result.axes),
        "delivered_share": min(each.delivered for each in everything),
        "missing_count": sum(each.missing for each in everything),
        "lost_count": sum(each.lost for each in everything),
        "p99_ms": max(each.p99_ms for each in everything),
        "client_cpu_share": max(each.client_cpu for each in everything),
        "client_waited_share": max(each.client_waited for each in everything),
    }


def _subscribe(symbols: list[str], tier_ms: int) -> str:
    asked = {"action": "subscribe", "id": "1", "channel": "quotes", "symbols": symbols}
    return json.dumps({**asked, "throttle_ms": tier_ms} if tier_ms else asked)
