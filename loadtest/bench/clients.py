"""Loading a server: `wsload` where it is there, the project's swarm otherwise, and what a run of either measured.

Knows both clients' options and results. Must not know workloads or goals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loadtest import histogram
from loadtest.bench.machine import client_cpu, on_cpu, realtime, wait_for_ports
from loadtest.bench.servers import Server
from loadtest.outcome import Sample
from loadtest.swarm import CONNECT_TIMEOUT_S, Buckets, Swarm, last_json_line, raise_open_files

CROWD_CONNS = 5_000  # from here on ports are short: `wsload` leaves each of its connections' in TIME_WAIT
PORTS_WAITING_MAX = 3_000


class Percentiles(NamedTuple):
    """Of a latency that is not judged."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Figures:
    """What one run measured, whoever measured it. None: this client cannot tell."""

    server: str
    client: str
    conns: int
    alive: int
    connect_s: float
    seconds: float
    msg_s: float
    payload_bytes: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    us_per_msg: float
    server_cpu: float
    client_cpu: float
    rss_kib: int
    empty_rss_kib: int
    least_per_conn: int
    most_per_conn: int
    unannounced: int | None = None  # numbers missing without a gap frame
    announced: int | None = None
    repeated: int | None = None
    readers_alive: int | None = None  # of those who read, where others have stalled
    announced_to_readers: int | None = None
    messages_per_send: float | None = None
    buckets: Buckets | None = None  # how many frames took how long
    samples: list[Sample] = field(default_factory=list)  # of the server, from before the first connection
    from_t_out_ms: Percentiles | None = None
    from_exchange_ms: Percentiles | None = None
    client_waited: float | None = None  # of the time, though it could have run; of `wsload` with its handshakes

    @property
    def kib_per_conn(self) -> float:
        """Memory the connections took, over the empty process."""
        return (self.rss_kib - self.empty_rss_kib) / max(1, self.conns)


@dataclass(frozen=True)
class Load:
    """What the clients do."""

    conns: int
    messages: tuple[str, ...] = ()
    warmup_s: float = 1.0
    seconds: float = 4.0
    one_stream: bool = True  # a connection has one sequence, so that `wsload` can check it
    stalled: int = 0
    audit_s: float = 0.0
    index_modulus: int = 0


def run(server: Server, load: Load, wsload: Path | None) -> Figures:
    """Load a server with the outside client if it can do what is asked, else with our own."""
    raise_open_files()
    speaks_stream = server.stamp_key == "t_in"
    needs_swarm = load.audit_s > 0 or load.index_modulus > 0
    if wsload is not None and not (speaks_stream and needs_swarm):
        if load.conns >= CROWD_CONNS:
            wait_for_ports(PORTS_WAITING_MAX)
        return from_wsload(server, load, last_json_line(wsload_command(wsload, server, load), timeout_s=_limit_s(load)))
    return from_swarm(server, load, *swarm_of(server, load).run_to_buckets())


def _limit_s(load: Load) -> float:
    return CONNECT_TIMEOUT_S + load.warmup_s + load.seconds + 10


def wsload_command(program: Path, server: Server, load: Load) -> list[str]:
    """The command line of `wsload`, on the client's core."""
    words = [*on_cpu(client_cpu()), str(program), "-p", str(server.port), "-u", server.path, "-n", str(load.conns)]
    words += ["-d", str(load.seconds), "-w", str(load.warmup_s), "-k", server.stamp_key, "-c", server.stamp_clock]
    words += ["-P", str(server.pid), "-S", str(load.stalled)]
    if load.one_stream:
        words += ["-s", "sequence"]
    if server.stamp_key == "t_in":
        for message in load.messages:
            words += ["-m", message]
    return words


def swarm_of(server: Server, load: Load) -> Swarm:
    """The same run by our own client."""
    return Swarm(
        port=server.port,
        path=server.path,
        conns=load.conns,
        messages=load.messages,
        warmup_s=load.warmup_s,
        seconds=load.seconds,
        index_modulus=load.index_modulus,
        server_pid=server.pid,
        stalled=load.stalled,
        audit_s=load.audit_s,
        prefix=on_cpu(client_cpu()),
    )


def prober(server: Server, *, conns: int, every_ms: int, warmup_s: float, seconds: float) -> Swarm:
    """Connections that only send requests, ahead of the swarm on the same core, to time replies during bursts."""
    return Swarm(
        port=server.port,
        path=server.path,
        conns=conns,
        messages=(),
        warmup_s=warmup_s,
        seconds=seconds,
        ping_every_ms=every_ms,
        prefix=(*realtime(), *on_cpu(client_cpu())),
    )


def from_wsload(server: Server, load: Load, result: dict[str, float]) -> Figures:
    """`wsload` counts a hole in a sequence once, and cannot tell an announced one. It tells where the bucket begins
    that has a percentile; what is reported is where that ends, as of our own client."""
    msg_s = result["msg_s"]
    max_ms = result["max_ms"]
    result = result | {name: histogram.upper_ms(result[name], max_ms) for name in ("p50_ms", "p99_ms", "p999_ms")}
    return Figures(
        **_common(server, load, result),
        client="wsload",
        payload_bytes=result["MB_s"] * 1e6 / msg_s if msg_s else 0.0,
        unannounced=int(result["gaps"]) if load.one_stream else None,
    )


def from_swarm(server: Server, load: Load, result: dict[str, float], buckets: Buckets | None = None) -> Figures:
    """Our own client checks every stream and what was announced, and knows every latency."""
    return Figures(
        **_common(server, load, result),
        client="swarm",
        payload_bytes=result["bytes"] / result["msgs"] if result["msgs"] else 0.0,
        unannounced=int(result["unannounced"] + result.get("behind", 0)),  # nobody said that they would not come
        announced=int(result["announced"] + result.get("epochs", 0)),  # nothing of a workload breaks a stream
        repeated=int(result["repeated"]),
        readers_alive=int(result.get("readers_alive", result["alive"])),
        announced_to_readers=int(result.get("announced_to_readers", 0)),
        buckets=buckets,
        from_t_out_ms=_percentiles(result, "out"),
        from_exchange_ms=_percentiles(result, "ex"),
    )


def _percentiles(result: dict[str, float], name: str) -> Percentiles | None:
    """Nothing where no frame had such a stamp."""
    both = Percentiles(*(result.get(f"{name}_{at}_ms", math.nan) for at in Percentiles._fields))
    return None if math.isnan(both.p50) else both


def _common(server: Server, load: Load, result: dict[str, float]) -> dict[str, Any]:
    return {
        "server": server.name,
        "conns": load.conns,
        "alive": int(result["alive"]),
        "connect_s": result["connect_s"],
        "seconds": load.seconds,
        "msg_s": result["msg_s"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "p999_ms": result["p999_ms"],
        "max_ms": result["max_ms"],
        "us_per_msg": result["server_us_per_msg"],
        "server_cpu": result["server_cpu"],
        "client_cpu": result["client_cpu"],
        "client_waited": result.get("client_waited"),
        "rss_kib": int(result["server_rss_kB"]),
        "empty_rss_kib": server.empty_rss_kib,
        "least_per_conn": int(result["min_per_conn"]),
        "most_per_conn": int(result["max_per_conn"]),
    }


def by_stamp(seen: Figures) -> dict[str, float | None]:
    """Latency from the stamps that are not judged, by the names of figures; our own client alone reads them."""
    stamps = {"t_out": seen.from_t_out_ms, "exchange": seen.from_exchange_ms}
    return {
        f"from_{stamp}_{at}_ms": getattr(told, at) if told else None
        for stamp, told in stamps.items()
        for at in Percentiles._fields
    }
