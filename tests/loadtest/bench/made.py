"""Made figures and results: what a run would have measured, for tests of what is done with it."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench.clients import Figures
from loadtest.bench.machine import Machine
from loadtest.bench.orders import OrdersResult, Sent
from loadtest.bench.pgbench import Inserted
from loadtest.bench.storm import Storm, Weathered
from loadtest.bench.workloads import WORKLOADS, Result

FIGURES = Figures(
    server="tickwire",
    client="wsload",
    conns=1_000,
    alive=1_000,
    connect_s=0.4,
    seconds=4.0,
    msg_s=100_000.0,
    payload_bytes=350.0,
    p50_ms=2.5,
    p99_ms=5.0,
    p999_ms=6.0,
    max_ms=7.0,
    us_per_msg=4.4,
    server_cpu=0.44,
    client_cpu=0.3,
    rss_kib=60_000,
    empty_rss_kib=52_000,
    least_per_conn=400,
    most_per_conn=401,
    unannounced=0,
    messages_per_send=1.0,
)
FLOOR = replace(FIGURES, server="C floor, 1 a send", p99_ms=4.0, us_per_msg=4.0, rss_kib=1_500, empty_rss_kib=1_400)

MACHINE = Machine(
    date="2026-02-07 14:30 UTC",
    revision="abc1234",
    cores=2,
    cpu="A Processor",
    memory_GiB=23.5,
    kernel="6.1.0",
    python="CPython 3.11.7",
    versions={"picows": "2.3.1"},
    open_files_max=20_000,
    load_before=0.1,
)


STORM_CAME: dict[str, float] = {
    "stayed": 30, "alive": 30, "connect_s": 0.5, "there_s": 0.75, "again_s": 1.25, "handshake_p50_ms": 4.0,
    "handshake_p99_ms": 5.0, "announced": 0, "unannounced": 0, "repeated": 0, "connecting_cpu": 0.5,
    "server_rss_kB": 9_000,
}  # fmt: skip
STORM_READERS = replace(
    FIGURES, client="swarm", conns=10, alive=10, msg_s=250.0, p99_ms=2.0, client_cpu=0.25, empty_rss_kib=8_800,
    announced=0, repeated=0,
)  # fmt: skip
STORM = Weathered(Storm(readers=10, comers=30, rate=25.0), STORM_READERS, STORM_CAME)


def result(name: str, gateway: Figures | None = FIGURES, floor: Figures | None = FLOOR) -> Result:
    return Result(WORKLOADS[name], gateway=gateway, floor=floor, storm=STORM if name == "F" else None)


def every_workload() -> list[Result]:
    """Of each one, with what E has more."""
    results = [result(name) for name in WORKLOADS]
    for each in results:
        each.unstalled = FIGURES
        each.extra["stalled"] = 10
    return results


SENT = Sent(
    conns=1,
    seconds=4.0,
    orders=1_000,
    per_s=250.0,
    p50_ms=4.0,
    p99_ms=9.0,
    failed=0,
    first_failure="",
    client_cpu=0.1,
    client_waited=0.01,
)
ORDERS = OrdersResult(
    alone=SENT,
    crowd=replace(SENT, conns=32, per_s=1_200.0, p50_ms=26.0),
    inserted_alone=Inserted(1, 500.0, 2.0),
    inserted=Inserted(32, 2_000.0, 16.0),
    inserted_in_two=Inserted(32, 1_500.0, 21.3),
    rows=4,
)
