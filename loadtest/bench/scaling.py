"""How the gateway's cost grows: one axis after the other, each point on a gateway of its own.

Holds the axes and how a point is measured. Must not know tables or files; what is linear is said by `linear`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Final

from loadtest.bench import linear, servers
from loadtest.bench.clients import Load, run
from loadtest.bench.linear import STEP_MAX, Measured, Model, Work
from loadtest.bench.machine import client_cpu, on_cpu
from loadtest.bench.servers import Server
from loadtest.bench.workloads import Plan
from loadtest.swarm import Swarm, raise_open_files

NAME: Final = "scaling"
TICKS_MAX: Final = 1_000  # a second: the made market's clock does not tick more often
TIERS_MS: Final = (0, 50, 100, 250, 500, 1000, 3000, 5000)
REQUEST_SYMBOLS: Final = 100  # what the swarm's message has room for
WARMUP_S: Final = 1.0
IN_FLIGHT: Final = 256
FLOOR_CONNS_MIN: Final = 1_000  # below, the kernel's clock ticks are too coarse for the floor's client
SECONDS: Final = 3.0  # of each point, unless told: whole ticks of every tier that has some
AGAIN: Final = 2  # how often a step that seems too steep is measured anew


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
    def turns_s(self) -> float:
        """Turns of the loop a second in which something is due: the market's ticks, and those of throttled tiers."""
        ticks = min(self.keys * self.rate, TICKS_MAX)
        return ticks + sum(min(self.keys * self.rate_of(tier), TICKS_MAX) for tier in self.tiers_ms if tier)

    @property
    def messages_s(self) -> float:
        return self.conns * self.keys_per_conn * sum(map(self.rate_of, self.tiers_ms)) / len(self.tiers_ms)


@dataclass(frozen=True)
class Axis:
    """Points along which one thing grows, from little work to much."""

    title: str
    points: tuple[Point, ...]


IDLE = Point("idle", conns=1_000, rate=0.05)
AXES: Final = (
    Axis("Subscribers of one key, 10 updates/s", tuple(Point(f"{n:,}", conns=n) for n in (10, 100, 1_000, 10_000))),
    Axis(
        "Keys, each of 1,000 subscribers has one, 10 updates/s a key",
        tuple(Point(f"{n:,}", conns=1_000, keys=n) for n in (1, 10, 100, 1_000)),
    ),
    Axis(
        "Keys, each of 20 subscribers has all, 5 updates/s a key",
        tuple(Point(f"{n:,}", conns=20, keys=n, keys_per_conn=n, rate=5.0) for n in (1, 10, 100, 1_000)),
    ),
    Axis(
        "Bytes of a quote, 1,000 subscribers of one key, 10 updates/s",
        (
            Point("as it is", conns=1_000),
            Point("2,000", conns=1_000, data_bytes=2_000),
            Point("20,000", conns=1_000, data_bytes=20_000),
        ),
    ),
    Axis(
        "Throttled mixes, 1,000 subscribers of one key, 100 updates/s",
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
    """A point, and what was measured of it."""

    point: Point
    measured: Measured
    p50_ms: float
    p99_ms: float
    delivered: float  # share of what was due; the window's edges may cut off a tick of all
    missing: int  # numbers that never came, announced or not, or came again
    lost: int  # connections
    client_cpu: float
    floor_us: float | None = None  # CPU a message of the C program that only sends


@dataclass
class Scaling:
    """All of it: the axes with what was seen, and the model of all points together."""

    idle: Seen
    axes: list[tuple[str, list[Seen]]]
    model: Model
    notes: list[str] = field(default_factory=list)

    def steps(self, seen: list[Seen]) -> list[float]:
        return linear.steps(self.model, [each.measured for each in seen])

    @property
    def steepest(self) -> float:
        """The largest step of all axes."""
        return max(step for _title, seen in self.axes for step in self.steps(seen))

    @property
    def everything(self) -> list[Seen]:
        return [seen for _title, axis in self.axes for seen in axis]


def measure(plan: Plan, axes: tuple[Axis, ...] = AXES) -> Scaling:
    """All points; a step that seems too steep is measured anew, and the lesser counts: what disturbs only adds."""
    raise_open_files()
    notes = []
    kept: list[tuple[str, list[Seen]]] = []
    idle = see(IDLE, plan)
    for axis in axes:
        possible = [point for point in axis.points if point.conns <= plan.conns_max]
        if len(possible) < len(axis.points):
            notes.append(f"{axis.title}: nothing above {plan.conns_max:,} connections")
        kept.append((axis.title, [see(point, plan) for point in possible]))
    result = _modelled(idle, kept, notes)
    for _ in range(AGAIN):
        if result.steepest > STEP_MAX:
            result = _modelled(idle, [(title, _again(result, seen, plan)) for title, seen in result.axes], notes)
    _floors(result, plan)
    return result


def _modelled(idle: Seen, axes: list[tuple[str, list[Seen]]], notes: list[str]) -> Scaling:
    points = [idle.measured, *(seen.measured for _title, axis in axes for seen in axis)]
    return Scaling(idle, axes, linear.fit(points), notes)


def _again(result: Scaling, seen: list[Seen], plan: Plan) -> list[Seen]:
    """Both ends of each step that is too steep, once more."""
    steps = result.steps(seen)
    ends = {at + side for at, step in enumerate(steps) if step > STEP_MAX for side in (0, 1)}
    fresh = [see(each.point, plan) if at in ends else each for at, each in enumerate(seen)]
    return [min(pair, key=lambda each: each.measured.cpu) for pair in zip(seen, fresh, strict=True)]


def see(point: Point, plan: Plan) -> Seen:
    """One point, on a gateway that has served nobody else."""
    plan.say(f"{NAME}: {point.conns} connections, {point.keys} keys, {point.messages_s:,.0f} messages/s due")
    options = {"symbols": point.keys, "rate": point.rate, "data_bytes": point.data_bytes}
    with servers.gateway(servers.SYNTHETIC, options, klass="synthetic") as server:
        figures = swarm(server, point, plan.seconds).run()
        _status, text = server.get("/api/ws/status")
    return seen_of(point, plan.seconds, figures, json.loads(text)["counters"])


def swarm(server: Server, point: Point, seconds: float) -> Swarm:
    """The client of a point, on the client's core."""
    return Swarm(
        port=server.port,
        path=server.path,
        conns=point.conns,
        messages=point.messages(),
        deal=len(point.tiers_ms) > 1,
        index_modulus=point.keys,
        in_flight=IN_FLIGHT,
        warmup_s=WARMUP_S,
        seconds=seconds,
        server_pid=server.pid,
        prefix=on_cpu(client_cpu()),
    )


def seen_of(point: Point, seconds: float, figures: dict[str, float], counters: dict[str, int]) -> Seen:
    """The client counts messages and the server's CPU while it measures; how many went out in one system call is the
    gateway's count over its whole life, without replies."""
    sends = max(1, counters["sends"] - counters["replies"]) / max(1, counters["messages"])
    work = Work(
        turns=point.turns_s,
        updates=point.updates_s,
        sends=figures["msg_s"] * min(1.0, sends),
        messages=figures["msg_s"],
        bytes=figures["bytes"] / seconds,
    )
    return Seen(
        point=point,
        measured=Measured(work, figures["server_cpu"]),
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        delivered=min(1.0, (figures["msg_s"] + point.conns * point.keys_per_conn / seconds) / point.messages_s),
        missing=int(sum(figures[name] for name in ("announced", "unannounced", "repeated"))),
        lost=int(point.conns - figures["alive"]),
        client_cpu=figures["client_cpu"],
    )


def _floors(result: Scaling, plan: Plan) -> None:
    """Beside the first axis, what the kernel alone costs as sockets become more."""
    if plan.tools.floor is None or plan.tools.wsload is None or not result.axes:
        return
    _title, seen = result.axes[0]
    for at, each in enumerate(seen):
        point, work = each.point, each.measured.work
        if point.conns < FLOOR_CONNS_MIN:
            continue
        plan.say(f"{NAME}: C floor, {point.conns} connections")
        payload_bytes = round(work.bytes / max(1.0, work.messages))
        with servers.floor(
            plan.tools, point.conns, point.rate, payload_bytes=payload_bytes, messages_per_send=1
        ) as server:
            load = Load(conns=point.conns, warmup_s=WARMUP_S, seconds=plan.seconds)
            seen[at] = replace(each, floor_us=run(server, load, plan.tools.wsload).us_per_msg)


def figures_of(result: Scaling) -> dict[str, float | None]:
    """By the names that limits have."""
    everything = result.everything
    return {
        "steepest_step_ratio": result.steepest,
        "delivered_share": min(each.delivered for each in everything),
        "missing_count": sum(each.missing for each in everything),
        "lost_count": sum(each.lost for each in everything),
        "p99_ms": max(each.p99_ms for each in everything),
        "cpu_per_turn_us": result.model.turn_us,
        "cpu_per_update_us": result.model.update_us,
        "cpu_per_message_us": result.model.send_us + result.model.message_us,
        "cpu_per_byte_ns": result.model.byte_ns,
    }


def _subscribe(symbols: list[str], tier_ms: int) -> str:
    asked = {"action": "subscribe", "id": "1", "channel": "quotes", "symbols": symbols}
    return json.dumps({**asked, "throttle_ms": tier_ms} if tier_ms else asked)
