"""The workloads: how many connections, keys and updates, and how each is run beside the floor and peers.

Knows servers and clients; must not know goals, tables or files.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from loadtest import histogram
from loadtest.bench import burst, servers, storm
from loadtest.bench.clients import Figures, Load, from_swarm, run, swarm_of
from loadtest.bench.rounds import STUDENT_T_95, Turns, in_turns, middle
from loadtest.bench.servers import Server
from loadtest.bench.storm import Storm, Weathered
from loadtest.bench.tools import PEERS, Tools
from loadtest.series import Reading, samples
from loadtest.swarm import ToolError, subscribe
from loadtest.watching import watched

Say = Callable[[str], None]


@dataclass(frozen=True)
class Workload:
    """One row of the table of workloads."""

    name: str
    title: str
    conns: int
    symbols: int  # keys the source publishes
    keys_per_conn: int
    rate: float  # updates a second and key
    warmup_s: float = 1.5
    peers: tuple[str, ...] = ()
    rounds: int = 5  # of which the medians count, gateway and floor in turns; a crowd waits minutes for its ports

    @property
    def per_conn_s(self) -> float:
        return self.keys_per_conn * self.rate

    @property
    def offered_s(self) -> float:
        """Messages a second over all connections when nothing is lost."""
        return self.conns * self.per_conn_s

    def messages(self) -> tuple[str, ...]:
        """What each connection asks for; the source's symbols wrap around, so %d spreads connections over them."""
        if self.symbols == self.keys_per_conn:
            return (subscribe([f"S{n}/USDT" for n in range(self.symbols)]),)
        return (subscribe(["S%d/USDT"]),)


CROWD_PEERS = ("picows", "socketify", "ws_node")  # the others need minutes to accept 10,000 connections meanwhile
FULL_PEERS = tuple(name for name in PEERS if name != "ws_node")  # that one sends all that is due before it reads on

WORKLOADS: dict[str, Workload] = {
    row.name: row
    for row in (
        Workload("A", "1,000 connections, 1 key, 100 updates/s", 1_000, 1, 1, 100.0, peers=tuple(PEERS)),
        Workload("B", "1,000 connections, 10 keys each, 100 updates/s a key", 1_000, 10, 10, 100.0, peers=FULL_PEERS),
        Workload(
            "C", "10,000 connections, 200 keys, 1 key each, 10 updates/s", 10_000, 200, 1, 10.0, 5.0, CROWD_PEERS, 1
        ),
        Workload("D", "10,000 connections on one key, 10 updates/s", 10_000, 1, 1, 10.0, peers=CROWD_PEERS, rounds=1),
        Workload("E", "A with 1 % of the clients not reading", 1_000, 1, 1, 100.0, warmup_s=6.0, rounds=8),
        Workload(
            "F",
            "10,000 connect with tokens while A runs, and come back when all are dropped",
            10_000,
            1,
            1,
            100.0,
            rounds=1,
        ),
        Workload("G", "tick to wire: exchange, ccxt, one subscriber", 1, 1, 1, 300.0, rounds=3),
    )
}
TICK_SYMBOL = "BTC/USDT"
TICK_CHANNELS = {  # the exchange's stream, and the ccxt call that subscribes it
    "trades": ("btcusdt@trade", "watch_trades"),
    "quotes": ("btcusdt@bookTicker", "watch_bids_asks"),
}
ENDED_WITHIN_S = 60.0  # G: a run that nobody ends
AUDIT_S = 2.0  # E: how long stalled readers read again


@dataclass
class Result:
    """What was measured for one workload."""

    workload: Workload
    gateway: Figures | None = None
    floor: Figures | None = None
    peers: list[Figures] = field(default_factory=list)
    checked: Figures | None = None  # the same work seen by our own client, which checks every stream
    unstalled: Figures | None = None  # E: the run without stalled readers, same client
    p99_of_unstalled: Turns | None = None  # E
    channels: dict[str, Figures] = field(default_factory=dict)  # G: by channel
    storm: Weathered | None = None  # F: who came, while those of `gateway` read
    extra: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How long, how large, and with what."""

    tools: Tools
    seconds: float = 4.0
    conns_max: int = 1_000_000
    peers: bool = True
    rounds_max: int = max(STUDENT_T_95)
    say: Say = lambda _text: None

    def sized(self, workload: Workload) -> Workload:
        """The workload, cut down to the connections and rounds that are allowed."""
        rounds = min(workload.rounds, self.rounds_max)
        return replace(workload, conns=min(workload.conns, self.conns_max), rounds=rounds)


def measure(name: str, plan: Plan) -> Result:
    """Run one workload: the gateway first, then the floor doing the same, then peers."""
    workload = plan.sized(WORKLOADS[name])
    result = Result(workload)
    if workload.conns < WORKLOADS[name].conns and name != "F":
        result.notes.append(f"cut to {workload.conns} connections")
    if name == "G":
        tick_to_wire(result, plan)
    elif name == "E":
        stalled_readers(result, plan)
    elif name == "F":
        arrivals(result, plan)
    else:
        (crowd_on_one_key if name == "D" else fan_out)(result, plan)
        check_streams(result, plan)
        beside_peers(result, plan)
    return result


def load_of(workload: Workload, plan: Plan) -> Load:
    """What the clients do for a workload."""
    return Load(
        conns=workload.conns,
        messages=workload.messages(),
        warmup_s=workload.warmup_s,
        seconds=plan.seconds,
        one_stream=workload.keys_per_conn == 1,
    )


def source_options(workload: Workload) -> dict[str, object]:
    """The synthetic source's options for a workload."""
    return {"symbols": workload.symbols, "rate": workload.rate}


def fan_out(result: Result, plan: Plan) -> None:
    """A, B, C: the gateway, then the floor doing the same, and again."""
    workload = result.workload
    gateways: list[Figures] = []
    floors: list[Figures] = []
    for number in range(workload.rounds):
        with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
            plan.say(f"{workload.name}: gateway, {workload.conns} connections{round_of(number, workload)}")
            gateways.append(counted(server, load_of(workload, plan), plan))
        floors += beside_floor(workload, gateways[-1], plan)
    result.gateway = middle(gateways)
    result.floor = middle(floors) if floors else None
    note_rounds(result, {"gateway": gateways, "floor": floors})


def round_of(number: int, workload: Workload) -> str:
    """Which of several."""
    return f", round {number + 1} of {workload.rounds}" if workload.rounds > 1 else ""


def note_rounds(result: Result, rounds: dict[str, list[Figures]]) -> None:
    """What the medians are of."""
    if result.workload.rounds > 1:
        told = (f"{name} {', '.join(f'{each.p99_ms:.2f}' for each in seen)}" for name, seen in rounds.items() if seen)
        result.notes.append(f"medians of {result.workload.rounds} rounds in turns; p99 ms of {'; of '.join(told)}")


def check_streams(result: Result, plan: Plan) -> None:
    """The same once more by our own client: every stream against its position, and every latency in its histogram."""
    workload = result.workload
    with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
        plan.say(f"{workload.name}: gateway, every stream checked")
        result.checked = run(server, replace(load_of(workload, plan), index_modulus=workload.symbols), None)


def counted(server: Server, load: Load, plan: Plan) -> Figures:
    """A run, what the gateway did meanwhile, and how many messages it put into one system call."""
    with watched(server, load.seconds) as readings:
        figures = run(server, load, plan.tools.wsload)
    return replace(figures, samples=samples(readings), messages_per_send=together(readings, load.seconds))


def together(readings: Sequence[Reading], seconds: float) -> float | None:
    """Messages a system call over the last seconds. The last reading may have seen the clients leave, and counts for
    nothing."""
    from_s = readings[-1].at_s - seconds
    first = max((each for each in readings if each.at_s <= from_s), default=readings[0])
    last = readings[-2] if len(readings) > 1 else first
    sends = last.sends - first.sends
    return (last.messages - first.messages) / sends if sends > 0 else None


def crowd_on_one_key(result: Result, plan: Plan) -> None:
    """D: first the updates; then such a crowd reads on while connections of their own time replies to pings and orders;
    then the floor."""
    workload = result.workload
    with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
        plan.say(f"{workload.name}: gateway, {workload.conns} connections")
        result.gateway = counted(server, load_of(workload, plan), plan)
    result.extra |= burst.replies(load_of(workload, plan), source_options(workload), plan.seconds, plan.say)
    result.floor = next(iter(beside_floor(workload, result.gateway, plan)), None)


def stalled_readers(result: Result, plan: Plan) -> None:
    """E: the same client with and without stalled readers; these read again at the end, to hear what they missed."""
    workload = result.workload
    stalled = max(1, workload.conns // 100)
    seen: dict[int, list[Figures]] = {0: [], stalled: []}
    for number in range(workload.rounds):
        for count, figures in seen.items():
            with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
                plan.say(
                    f"{workload.name}: gateway, {count} of {workload.conns} do not read{round_of(number, workload)}"
                )
                load = replace(load_of(workload, plan), stalled=count, audit_s=AUDIT_S if count else 0.0)
                figures.append(counted(server, replace(load, index_modulus=1), plan))
    result.unstalled = middle(seen[0])
    result.gateway = result.checked = middle(seen[stalled], some_stalled=True)
    result.p99_of_unstalled = in_turns([each.p99_ms for each in seen[stalled]], [each.p99_ms for each in seen[0]])
    result.extra["stalled"] = stalled
    note_rounds(result, {"all reading": seen[0], "some stalled": seen[stalled]})


def arrivals(result: Result, plan: Plan) -> None:
    """F: A's readers, and ten who come for each of them."""
    coming, reading = result.workload, WORKLOADS["A"]
    readers = min(reading.conns, max(1, plan.conns_max // 11))
    comers = max(1, min(coming.conns, plan.conns_max - readers))
    if readers + comers < reading.conns + WORKLOADS[coming.name].conns:
        result.notes.append(f"cut to {readers + comers} connections, {readers} of them readers")
    result.storm = storm.measure(Storm(readers, comers, reading.rate), plan.say)
    result.gateway = result.storm.readers


def tick_to_wire(result: Result, plan: Plan) -> None:
    """G: one message at a time, one subscriber; the time from `t_in` to the kernel, and what ccxt takes of it."""
    seen: dict[str, list[Ticks]] = {channel: [] for channel in TICK_CHANNELS}
    with servers.exchange() as exchange:
        for number in range(result.workload.rounds):
            for channel, rounds in seen.items():
                plan.say(f"{result.workload.name}: {channel}{round_of(number, result.workload)}")
                rounds.append(ticks_of(exchange, channel, result.workload, plan))
    for channel, rounds in seen.items():
        result.channels[channel] = middle([each.figures for each in rounds])
        result.extra |= {
            f"{channel}: t_in to kernel p50 us": statistics.median(each.kernel_us for each in rounds),
            f"{channel}: ccxt alone p50 us": statistics.median(each.ccxt_us for each in rounds),
            f"{channel}: own share p50 us": statistics.median(each.own_us for each in rounds),
        }
        shares = ", ".join(f"{each.own_us:.0f}" for each in rounds)
        result.notes.append(f"{channel}: medians of {len(rounds)} rounds; own share us {shares}")


class Ticks(NamedTuple):
    """A round of G on one channel; medians of its messages."""

    figures: Figures
    kernel_us: float  # from `t_in`
    ccxt_us: float

    @property
    def own_us(self) -> float:
        return self.kernel_us - self.ccxt_us


def ticks_of(exchange: Server, channel: str, workload: Workload, plan: Plan) -> Ticks:
    """The gateway with ccxt, then ccxt alone."""
    options = servers.binance_at(exchange)
    stream, method = TICK_CHANNELS[channel]
    load = Load(
        conns=1,
        messages=(subscribe([TICK_SYMBOL], channel),),
        warmup_s=workload.warmup_s,
        seconds=plan.seconds,
        index_modulus=1,
    )
    with servers.ticks(exchange, stream, 1000 / workload.rate):
        with servers.gateway(servers.SIMULATED, options, klass="binance") as server:
            figures, kernel_us = to_kernel(server, load)
        parse = servers.ccxt_alone(options, method, TICK_SYMBOL, plan.seconds)
    return Ticks(figures, kernel_us, parse["p50_us"])


def to_kernel(server: Server, load: Load) -> tuple[Figures, float]:
    """A run, and the p50 in us from `t_in` to the kernel having the frame, both of what came after the warm-up."""
    ended_by_us = replace(load, seconds=load.seconds + ENDED_WITHIN_S)
    with watched(server, load.seconds) as readings, swarm_of(server, ended_by_us).measuring() as ended:
        before = server.status().latency_ns["buckets"]
        time.sleep(load.seconds)
        after = server.status().latency_ns["buckets"]
        figures = from_swarm(server, load, *ended())
    figures = replace(figures, samples=samples(readings), messages_per_send=together(readings, load.seconds))
    return figures, histogram.spread(histogram.since(before, after), 0.5) / 1e3


def beside_floor(workload: Workload, gateway: Figures, plan: Plan) -> list[Figures]:
    """The same number of connections and messages, with the gateway's frame size and gathering; nothing without it."""
    if plan.tools.floor is None or plan.tools.wsload is None:
        return []
    gathered = max(1, round(gateway.messages_per_send or 1))
    plan.say(f"{workload.name}: C floor, {gathered} messages a send")
    with servers.floor(
        plan.tools,
        workload.conns,
        workload.per_conn_s,
        payload_bytes=round(gateway.payload_bytes),
        messages_per_send=gathered,
    ) as server:
        return [replace(run(server, foreign(workload, plan), plan.tools.wsload), messages_per_send=gathered)]


def foreign(workload: Workload, plan: Plan) -> Load:
    """What the clients do where nobody has to be asked for anything."""
    return replace(load_of(workload, plan), messages=(), one_stream=True)


def beside_peers(result: Result, plan: Plan) -> None:
    """The same number of connections and messages, by other servers."""
    workload = result.workload
    for name in workload.peers if plan.peers else ():
        if name in plan.tools.peers:
            plan.say(f"{workload.name}: {name}")
            try:
                with servers.peer(plan.tools, name, workload.per_conn_s) as server:
                    result.peers.append(run(server, foreign(workload, plan), plan.tools.wsload))
            except ToolError as error:
                result.notes.append(f"{name}: {str(error).splitlines()[0]}")
