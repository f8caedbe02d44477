"""The workloads: how many connections, keys and updates, and how each is run beside the floor and peers.

Knows servers and clients; must not know goals, tables or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from loadtest.bench import servers, storm
from loadtest.bench.clients import Figures, Load, prober, run, swarm_of
from loadtest.bench.servers import Server
from loadtest.bench.storm import Storm, Weathered
from loadtest.bench.tools import PEERS, Tools
from loadtest.swarm import ToolError, subscribe
from loadtest.watching import repeated

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

WORKLOADS: dict[str, Workload] = {
    row.name: row
    for row in (
        Workload("A", "1,000 connections, 1 key, 100 updates/s", 1_000, 1, 1, 100.0, peers=tuple(PEERS)),
        Workload("B", "1,000 connections, 10 keys each, 100 updates/s a key", 1_000, 10, 10, 100.0),
        Workload("C", "10,000 connections, 200 keys, 1 key each, 10 updates/s", 10_000, 200, 1, 10.0, 5.0, CROWD_PEERS),
        Workload("D", "10,000 connections on one key, 10 updates/s", 10_000, 1, 1, 10.0),
        Workload("E", "A with 1 % of the clients not reading", 1_000, 1, 1, 100.0, warmup_s=6.0),
        Workload(
            "F",
            "10,000 connect with tokens while A runs, and come back when all are dropped",
            10_000,
            1,
            1,
            100.0,
        ),
        Workload("G", "tick to wire: exchange, ccxt, one subscriber", 1, 1, 1, 300.0),
    )
}
SAMPLES_A_RUN = 4  # of the gateway's counters, during a measurement
CROWD_READS_S = 600.0  # D's background crowd is ended by us, long before
TICK_SYMBOL = "BTC/USDT"
TICK_CHANNELS = {  # the exchange's stream, and the ccxt call that subscribes it
    "trades": ("btcusdt@trade", "watch_trades"),
    "quotes": ("btcusdt@bookTicker", "watch_bids_asks"),
}
AUDIT_S = 2.0  # E: how long stalled readers read again
PROBES = 8  # connections that time replies while D's bursts go out
PROBE_EVERY_MS = 17  # each stays under the request limit, and drifts against the bursts


@dataclass
class Result:
    """What was measured for one workload."""

    workload: Workload
    gateway: Figures | None = None
    floor: Figures | None = None
    peers: list[Figures] = field(default_factory=list)
    checked: Figures | None = None  # the same work seen by our own client, which checks every stream
    unstalled: Figures | None = None  # E: the run without stalled readers, same client
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
    say: Say = lambda _text: None

    def sized(self, workload: Workload) -> Workload:
        """The workload, cut down to the connections that are allowed."""
        return replace(workload, conns=min(workload.conns, self.conns_max))


def measure(name: str, plan: Plan) -> Result:
    """Run one workload: the gateway first, then the floor doing the same, then peers."""
    workload = plan.sized(WORKLOADS[name])
    result = Result(workload)
    if workload.conns < WORKLOADS[name].conns:
        result.notes.append(f"cut to {workload.conns} connections")
    if name == "G":
        tick_to_wire(result, plan)
    elif name == "E":
        stalled_readers(result, plan)
    elif name == "F":
        arrivals(result, plan)
    else:
        (crowd_on_one_key if name == "D" else fan_out)(result, plan)
        floor_and_peers(result, plan)
    return result


def load_of(workload: Workload, plan: Plan, *, seconds: float | None = None) -> Load:
    """What the clients do for a workload."""
    return Load(
        conns=workload.conns,
        messages=workload.messages(),
        warmup_s=workload.warmup_s,
        seconds=plan.seconds if seconds is None else seconds,
        one_stream=workload.keys_per_conn == 1,
    )


def source_options(workload: Workload) -> dict[str, object]:
    """The synthetic source's options for a workload."""
    return {"symbols": workload.symbols, "rate": workload.rate}


def fan_out(result: Result, plan: Plan) -> None:
    """A, B, C: load, then look at every stream with our own client for a moment."""
    workload = result.workload
    with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
        plan.say(f"{workload.name}: gateway, {workload.conns} connections")
        result.gateway = counted(server, load_of(workload, plan), plan)
    check_streams(result, plan)


def check_streams(result: Result, plan: Plan) -> None:
    """Our own client for a moment: every stream against its position, and every latency in its histogram."""
    workload = result.workload
    with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
        plan.say(f"{workload.name}: gateway, every stream checked")
        check = replace(load_of(workload, plan, seconds=min(2.0, plan.seconds)), index_modulus=workload.symbols)
        result.checked = run(server, check, None)


def counted(server: Server, load: Load, plan: Plan) -> Figures:
    """A run, and from the gateway's own counters how many messages it put into one system call meanwhile."""
    samples: list[servers.GatewayStatus] = []
    with repeated(lambda: samples.append(server.status()), load.seconds / SAMPLES_A_RUN):
        figures = run(server, load, plan.tools.wsload)
    # The last sample may have seen the clients leave; those before it lie in the measurement.
    steady = samples[-SAMPLES_A_RUN:-1]
    sends = steady[-1].sends - steady[0].sends if steady else 0
    return replace(figures, messages_per_send=(steady[-1].messages - steady[0].messages) / sends if sends else None)


def crowd_on_one_key(result: Result, plan: Plan) -> None:
    """D: first the updates; then the same crowd reads on while connections of their own time replies; then, as in
    all others, every stream is checked."""
    workload = result.workload
    with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
        plan.say(f"{workload.name}: gateway, {workload.conns} connections")
        result.gateway = counted(server, load_of(workload, plan), plan)
        plan.say(f"{workload.name}: gateway, {PROBES} connections time replies during the bursts")
        crowd = swarm_of(server, replace(load_of(workload, plan), seconds=CROWD_READS_S))
        with crowd.in_background():
            replies = prober(server, conns=PROBES, every_ms=PROBE_EVERY_MS, warmup_s=1.0, seconds=plan.seconds).run()
        result.extra |= {name: replies[name] for name in ("reply_p50_ms", "reply_p99_ms", "replies")}
    check_streams(result, plan)


def stalled_readers(result: Result, plan: Plan) -> None:
    """E: the same client with and without stalled readers; these read again at the end, to hear what they missed."""
    workload = result.workload
    stalled = max(1, workload.conns // 100)
    for count in (0, stalled):
        with servers.gateway(servers.SYNTHETIC, source_options(workload), klass="synthetic") as server:
            plan.say(f"{workload.name}: gateway, {count} of {workload.conns} connections do not read")
            load = replace(load_of(workload, plan), stalled=count, audit_s=AUDIT_S if count else 0.0)
            figures = run(server, replace(load, index_modulus=1), plan.tools.wsload)
        if count:
            result.gateway = result.checked = figures
        else:
            result.unstalled = figures
    result.extra["stalled"] = stalled


def arrivals(result: Result, plan: Plan) -> None:
    """F: A's readers, and ten who come for each of them."""
    coming, reading = result.workload, WORKLOADS["A"]
    readers = min(reading.conns, max(1, plan.conns_max // 11))
    comers = max(1, min(coming.conns, plan.conns_max - readers))
    result.storm = storm.measure(Storm(readers, comers, reading.rate), plan.say)
    result.gateway = result.storm.readers


def tick_to_wire(result: Result, plan: Plan) -> None:
    """G: one message at a time, one subscriber; the time from `t_in` to the kernel, and what ccxt takes of it."""
    workload = result.workload
    with servers.exchange() as exchange:
        options = servers.binance_at(exchange)
        for channel, (stream, method) in TICK_CHANNELS.items():
            with servers.ticks(exchange, stream, 1000 / workload.rate):
                plan.say(f"{workload.name}: gateway with ccxt, {channel}")
                with servers.gateway(servers.SIMULATED, options, klass="binance") as server:
                    message = subscribe([TICK_SYMBOL], channel)
                    load = Load(conns=1, messages=(message,), warmup_s=workload.warmup_s, seconds=plan.seconds)
                    result.channels[channel] = run(server, replace(load, index_modulus=1), None)
                    kernel_ns = server.status().latency_ns["p50"] or 0
                plan.say(f"{workload.name}: ccxt alone, {method}")
                parse = servers.ccxt_alone(options, method, TICK_SYMBOL, plan.seconds)
            result.extra |= {
                f"{channel}: t_in to kernel p50 us": kernel_ns / 1e3,
                f"{channel}: ccxt alone p50 us": parse["p50_us"],
                f"{channel}: own share p50 us": kernel_ns / 1e3 - parse["p50_us"],
            }


def floor_and_peers(result: Result, plan: Plan) -> None:
    """The same number of connections and messages; the floor also with the gateway's frame size and gathering."""
    workload, gateway = result.workload, result.gateway
    assert gateway is not None
    load = replace(load_of(workload, plan), messages=(), one_stream=True)
    if plan.tools.floor is not None and plan.tools.wsload is not None:
        together = max(1, round(gateway.messages_per_send or 1))
        plan.say(f"{workload.name}: C floor, {together} messages a send")
        with servers.floor(
            plan.tools,
            workload.conns,
            workload.per_conn_s,
            payload_bytes=round(gateway.payload_bytes),
            messages_per_send=together,
        ) as server:
            result.floor = replace(run(server, load, plan.tools.wsload), messages_per_send=together)
    for name in workload.peers if plan.peers else ():
        if name in plan.tools.peers:
            plan.say(f"{workload.name}: {name}")
            try:
                with servers.peer(plan.tools, name, workload.per_conn_s) as server:
                    result.peers.append(run(server, load, plan.tools.wsload))
            except ToolError as error:
                result.notes.append(f"{name}: {str(error).splitlines()[0]}")
