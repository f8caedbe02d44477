"""The workloads at their smallest, against the real gateway: every frame is counted and no number is missing."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadtest.bench import burst, figures, servers, storm, workloads
from loadtest.bench.clients import Figures, Load
from loadtest.bench.servers import Server
from loadtest.bench.tools import PEERS, Tools
from loadtest.bench.workloads import WORKLOADS, Plan, Result, measure
from loadtest.series import Reading
from tests.loadtest.bench import made

OURS_ALONE = Tools(wsload=None, floor=None, peers={}, peers_folder=None, notes=())
CONNS = 20
SMALL = Plan(tools=OURS_ALONE, seconds=1.0, conns_max=CONNS, rounds_max=1)


@pytest.fixture(autouse=True)
def short_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "WORKLOADS", {n: replace(row, warmup_s=0.3) for n, row in WORKLOADS.items()})


def test_rates_are_those_of_the_table() -> None:
    assert {name: row.offered_s for name, row in WORKLOADS.items() if name not in {"F", "G"}} == {
        "A": 100_000, "B": 1_000_000, "C": 100_000, "D": 100_000, "E": 100_000,
    }  # fmt: skip


def test_peers_do_the_same_work_where_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends all that is due before it reads lets nobody in under B's rate; others take minutes to let 10,000 in."""
    ran: list[tuple[str, str, float, Load]] = []
    server = Server("a peer", 1, 80, Path("log"))

    def peer(_tools: Tools, name: str, rate: float) -> contextlib.AbstractContextManager[Server]:
        ran.append((workload.name, name, rate, workloads.foreign(workload, plan)))
        return contextlib.nullcontext(server)

    monkeypatch.setattr(servers, "peer", peer)
    monkeypatch.setattr(workloads, "run", lambda *_: made.FIGURES)
    plan = replace(SMALL, tools=replace(OURS_ALONE, peers=dict.fromkeys(PEERS, ("python",))), conns_max=1_000_000)
    for workload in WORKLOADS.values():
        workloads.beside_peers(Result(workload), plan)
    crowd = {"picows", "socketify", "ws_node"}
    assert {name: {peer for of, peer, *_ in ran if of == name} for name in WORKLOADS} == {
        "A": set(PEERS), "B": set(PEERS) - {"ws_node"}, "C": crowd, "D": crowd, "E": set(), "F": set(), "G": set(),
    }  # fmt: skip
    assert {(name, rate, load.conns, load.messages) for name, _peer, rate, load in ran} == {
        ("A", 100.0, 1_000, ()), ("B", 1_000.0, 1_000, ()), ("C", 10.0, 10_000, ()), ("D", 10.0, 10_000, ()),
    }  # fmt: skip


def test_each_connection_asks_for_its_keys() -> None:
    assert '"S0/USDT"' in WORKLOADS["A"].messages()[0]
    assert WORKLOADS["B"].messages()[0].count("/USDT") == 10
    assert '"S%d/USDT"' in WORKLOADS["C"].messages()[0]


@pytest.mark.timed
@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_fan_out_delivers_every_update_once(name: str) -> None:
    result = measure(name, SMALL)
    per_conn = WORKLOADS[name].per_conn_s
    for seen in (result.gateway, result.checked):
        assert seen is not None
        assert (seen.alive, seen.unannounced, seen.announced, seen.repeated) == (CONNS, 0, 0, 0)
        # A loaded machine may stretch a window's edges, but what is published in it is the same for all.
        assert seen.most_per_conn - seen.least_per_conn <= max(2, 0.1 * per_conn)
        assert seen.least_per_conn == pytest.approx(seen.seconds * per_conn, rel=0.2, abs=2)
        assert seen.msg_s == pytest.approx(CONNS * per_conn, rel=0.2)
    assert result.gateway is not None
    assert result.gateway.messages_per_send is not None
    assert any(each.messages_per_s > 0 for each in result.gateway.samples)
    assert result.notes == [f"cut to {CONNS} connections"]


def test_replies_to_pings_and_orders_are_timed_while_a_crowd_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst, "ORDERS_LONGER", 1)
    result = measure("D", SMALL)
    assert set(burst.FIGURES) <= set(result.extra)
    assert result.extra["replied_share"] > 0.9
    assert result.extra["reply_p99_ms"] > 0
    assert result.extra["p99_beside_orders_ms"] > 0
    assert [result.extra[f"{what}_beside_orders_count"] for what in ("missing", "lost")] == [0, 0]
    named = figures.of_workload(result)
    assert named["orders_failed_count"] == 0
    # Due are as many as that, however slow the machine is.
    assert named["orders_replied_count"] == pytest.approx(burst.ORDERERS * 1000 / burst.ORDER_EVERY_MS, abs=2)
    assert 0 < (named["order_reply_p50_ms"] or 0) <= (named["order_reply_p99_ms"] or 0)
    assert result.gateway is not None
    assert result.gateway.samples


def test_who_comes_with_a_token_is_let_in_and_back_while_others_read() -> None:
    result = measure("F", replace(SMALL, conns_max=66))
    assert result.storm is not None
    assert (result.storm.storm.readers, result.storm.storm.comers) == (6, 60)
    named = figures.of_workload(result)
    assert [named[name] for name in ("refused_count", "lost_count", "missing_count")] == [0, 0, 0]
    assert result.gateway is not None
    assert result.gateway.least_per_conn > 0
    assert any(each.messages_per_s > 0 for each in result.gateway.samples)
    came = result.storm.came
    assert 0 < came["connect_s"] <= came["there_s"]
    assert 0 < came["again_connect_s"] <= came["again_s"]


@pytest.mark.parametrize(
    ("conns_max", "notes"),
    [
        (11_000, []),
        (10_999, ["cut to 10999 connections, 999 of them readers"]),
        (66, ["cut to 66 connections, 6 of them readers"]),
    ],
)
def test_that_fewer_come_is_said(conns_max: int, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "measure", lambda _storm, _say: made.STORM)
    assert measure("F", replace(SMALL, conns_max=conns_max)).notes == notes


def test_a_token_that_is_not_good_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "made_tokens", lambda _secret, _key_id, _count: ["e30.e30.e30"])
    result = measure("F", SMALL)
    assert figures.of_workload(result)["refused_count"] == 2 * (CONNS - 1)


def test_stalled_readers_are_held_to_account() -> None:
    result = measure("E", SMALL)
    assert result.extra["stalled"] == 1
    assert result.gateway is not None
    assert result.unstalled is not None
    assert result.gateway.samples
    assert (result.gateway.unannounced, result.gateway.repeated) == (0, 0)


def test_tick_to_wire_through_ccxt() -> None:
    result = measure("G", SMALL)
    for channel in workloads.TICK_CHANNELS:
        assert result.channels[channel].unannounced == 0
        assert result.channels[channel].samples
        assert result.extra[f"{channel}: t_in to kernel p50 us"] > 0
        assert result.extra[f"{channel}: ccxt alone p50 us"] > 0


def test_tick_to_wire_leaves_out_what_came_while_it_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = [(2**20 - 1, 50)]
    looks = iter([warm, [(65_535, 10), *warm]])
    status = SimpleNamespace(status=lambda: servers.GatewayStatus(7, 3, {"buckets": next(looks)}))
    ended: contextlib.nullcontext[Any] = contextlib.nullcontext(lambda: ({}, []))
    monkeypatch.setattr(workloads, "swarm_of", lambda _server, load: SimpleNamespace(measuring=lambda: ended))
    monkeypatch.setattr(workloads, "watched", lambda _server, _seconds: contextlib.nullcontext([Reading(0, 0, 0, 0)]))
    monkeypatch.setattr(workloads, "from_swarm", lambda *_args: made.FIGURES)
    _figures, kernel_us = workloads.to_kernel(cast("Server", status), Load(conns=1, seconds=0.0))
    assert kernel_us == pytest.approx(64.5, rel=0.02)


def test_messages_a_send_are_of_the_measurement_alone() -> None:
    # A hundred before it began, and what the last reading saw, are left out.
    counts = [(0.0, 0, 0), (1.0, 100, 100), (2.0, 160, 120), (3.0, 220, 140), (4.0, 900, 900)]
    readings = [Reading(at_s, messages, 0.0, 1_000, sends) for at_s, messages, sends in counts]
    assert workloads.together(readings, 3.0) == 3.0
    assert workloads.together(readings, 9.0) == pytest.approx(220 / 140)
    assert workloads.together(readings[:1], 3.0) is None
    assert workloads.together([each._replace(sends=0) for each in readings], 3.0) is None


def test_gateway_and_floor_take_turns_and_their_medians_are_held_against_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[str] = []
    p99s_ms = {"gateway": iter((9.0, 50.0, 10.0)), "floor": iter((8.0, 9.0, 40.0))}

    def seen(name: str) -> Figures:
        turns.append(name)
        return replace(made.FIGURES, p99_ms=next(p99s_ms[name]))

    monkeypatch.setattr(servers, "gateway", lambda *_args, **_more: contextlib.nullcontext())
    monkeypatch.setattr(workloads, "counted", lambda *_: seen("gateway"))
    monkeypatch.setattr(workloads, "beside_floor", lambda *_: [seen("floor")])
    monkeypatch.setattr(workloads, "check_streams", lambda *_: None)
    result = measure("A", replace(SMALL, rounds_max=3))
    assert turns == ["gateway", "floor"] * 3
    assert figures.of_workload(result)["p99_of_floor_ratio"] == pytest.approx(10 / 9)
    assert "medians of 3 rounds in turns; p99 ms of gateway 9.00, 50.00, 10.00; of floor 8.00, 9.00, 40.00" in (
        result.notes
    )
