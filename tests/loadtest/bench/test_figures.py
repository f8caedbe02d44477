"""What limits are about, from made results: each kind of loss counts, and what was not measured is told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.bench import figures
from loadtest.bench.clients import Percentiles
from loadtest.bench.figures import Named
from loadtest.bench.rounds import Turns
from loadtest.bench.workloads import Result
from tests.loadtest.bench.made import FIGURES, ORDERS, SENT, result


def of(name: str = "A", **changes: float) -> Named:
    return figures.of_workload(result(name, replace(FIGURES, **changes)))  # type: ignore[arg-type]  # by name


def test_ratios_to_the_floor() -> None:
    named = of()
    assert named["p99_of_floor_ratio"] == pytest.approx(1.25)
    assert named["cpu_of_floor_ratio"] == pytest.approx(1.1)
    without = figures.of_workload(result("A", floor=None))
    assert (without["p99_of_floor_ratio"], without["cpu_of_floor_ratio"]) == (None, None)


@pytest.mark.parametrize("kind", ["unannounced", "announced", "repeated"])
def test_any_hole_is_missing(kind: str) -> None:
    assert of()["missing_count"] == 0
    worse = replace(FIGURES, **{kind: 1})  # type: ignore[arg-type]  # by name
    assert figures.of_workload(result("A", worse))["missing_count"] == 1
    measured = result("A")
    measured.checked = replace(FIGURES, client="swarm", unannounced=3)
    assert figures.of_workload(measured)["missing_count"] == 3


def test_connections_and_updates_that_are_lost() -> None:
    assert of(alive=999)["lost_count"] == 1
    assert of()["delivered_share"] == 1.0
    assert of(msg_s=98_000.0)["delivered_share"] == pytest.approx(0.98)
    assert of(least_per_conn=390)["delivered_share"] == pytest.approx(391 / 400)
    assert of("B", msg_s=1_000_000.0, least_per_conn=3_899)["delivered_share"] == pytest.approx(3_900 / 4_000)


def test_connections_are_those_that_were_measured() -> None:
    assert [of()["conns_count"], of(conns=820)["conns_count"]] == [1_000, 820]


def test_memory_is_over_the_empty_process() -> None:
    named = of("C", conns=10_000, alive=10_000, empty_rss_kib=50_000, rss_kib=150_100)
    assert named["memory_per_connection_KiB"] == pytest.approx(10.01)


def test_replies_during_the_burst() -> None:
    measured = result("D")
    assert figures.of_workload(measured)["reply_p99_ms"] is None
    measured.extra["reply_p99_ms"] = 9.9
    assert figures.of_workload(measured)["reply_p99_ms"] == 9.9


def test_replies_to_orders_during_the_burst() -> None:
    measured = result("D")
    names = ("order_reply_p50_ms", "order_reply_p99_ms", "orders_replied_count", "orders_failed_count")
    assert [figures.of_workload(measured)[name] for name in names] == [None] * 4
    measured.extra |= {"order_reply_p50_ms": 4.0, "order_reply_p99_ms": 9.0, "orders_replied_count": 30}
    measured.extra["orders_failed_count"] = 1
    assert [figures.of_workload(measured)[name] for name in names] == [4.0, 9.0, 30, 1]


def stalled(**changes: float) -> Result:
    gateway = replace(FIGURES, announced=500, repeated=0, **changes)  # type: ignore[arg-type]  # by name
    measured = result("E", gateway, None)
    measured.checked = gateway
    measured.unstalled = replace(FIGURES, rss_kib=58_000)
    measured.extra["stalled"] = 10
    return measured


def test_with_stalled_readers_what_is_announced_is_no_hole() -> None:
    named = figures.of_workload(stalled(p99_ms=5.5))
    assert (named["announced_count"], named["missing_count"]) == (500, 0)
    assert named["p99_of_unstalled_ratio"] == pytest.approx(1.1)
    assert named["memory_per_stalled_KiB"] == pytest.approx(200.0)
    assert figures.of_workload(stalled(unannounced=1))["missing_count"] == 1


def test_the_others_p99_with_stalled_readers_is_told_with_its_noise() -> None:
    measured = stalled()
    names = [f"p99_of_unstalled_{which}_ratio" for which in ("at_least", "error")]
    assert [figures.of_workload(measured)[name] for name in names] == [None, None]
    measured.p99_of_unstalled = Turns(1.2, 1.05, 0.06)
    named = figures.of_workload(measured)
    assert [named["p99_of_unstalled_ratio"], *(named[name] for name in names)] == [1.2, 1.05, 0.06]


def test_of_who_reads_nothing_may_be_lost_while_others_stall() -> None:
    reading = {"msg_s": 99_000.0, "readers_alive": 990, "alive": 992, "announced_to_readers": 0}
    named = figures.of_workload(stalled(**reading))
    assert (named["delivered_share"], named["lost_count"], named["missing_count"]) == (1.0, 0, 0)
    assert figures.of_workload(stalled(**reading | {"readers_alive": 989}))["lost_count"] == 1
    assert figures.of_workload(stalled(**reading | {"announced_to_readers": 3}))["missing_count"] == 3
    assert figures.of_workload(stalled(**reading | {"msg_s": 97_020.0}))["delivered_share"] == pytest.approx(0.98)


def test_latency_from_other_stamps_is_of_the_run_that_read_them() -> None:
    measured = result("A")
    assert figures.of_workload(measured)["from_t_out_p99_ms"] is None
    measured.checked = replace(FIGURES, client="swarm", from_t_out_ms=Percentiles(1.0, 2.0))
    named = figures.of_workload(measured)
    assert (named["from_t_out_p50_ms"], named["from_t_out_p99_ms"], named["from_exchange_p99_ms"]) == (1.0, 2.0, None)
    ticks = result("G", None, None)
    ticks.channels = {"trades": replace(FIGURES, from_exchange_ms=Percentiles(0.5, 0.75))}
    assert figures.of_workload(ticks)["trades_from_exchange_p99_ms"] == 0.75


def test_own_share_by_channel() -> None:
    measured = result("G", None, None)
    measured.extra = {"trades: own share p50 us": 59.0}
    named = figures.of_workload(measured)
    assert (named["own_share_of_trades_p50_us"], named["own_share_of_quotes_p50_us"]) == (59.0, None)


@pytest.mark.parametrize("kind", ["unannounced", "announced", "repeated"])
def test_tick_to_wire_loses_nothing_of_any_channel(kind: str) -> None:
    measured = result("G", None, None)
    measured.channels = {"trades": FIGURES, "quotes": replace(FIGURES, client_cpu=0.97)}
    named = figures.of_workload(measured)
    assert [named[name] for name in ("missing_count", "lost_count", "client_cpu_share")] == [0, 0, 0.97]
    measured.channels["trades"] = replace(FIGURES, alive=998, **{kind: 3})  # type: ignore[arg-type]  # by name
    named = figures.of_workload(measured)
    assert (named["missing_count"], named["lost_count"]) == (3, 2)


def test_orders_alone_and_in_a_crowd() -> None:
    failed = replace(ORDERS, alone=replace(SENT, failed=2), crowd=replace(ORDERS.crowd, failed=1))
    assert figures.of_orders(failed) == {
        "p50_ms": 4.0, "p99_ms": 9.0, "orders_per_s": 1_200.0, "of_pgbench_ratio": 0.6, "failed_count": 3,
        "client_cpu_share": 0.1, "client_waited_share": 0.01,
    }  # fmt: skip
