"""Which tool runs a scenario, and what of its result is kept, with the tools themselves left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest import crowd, mixed, observed, scenarios, targets
from loadtest.bench import burst, orders, scaling, servers, storm, workers, workloads
from loadtest.bench.report import SCENARIOS
from loadtest.bench.servers import GatewayStatus, Server
from loadtest.bench.tools import Tools
from loadtest.bench.workloads import Plan, Result
from loadtest.crowd import Crowd, Crowded
from loadtest.mixed import Mix, Mixed
from loadtest.observed import Observation, Observed
from loadtest.outcome import Sample
from loadtest.series import Reading
from loadtest.targets import Scenario
from tests.loadtest.bench import made
from tests.loadtest.bench.test_scaling import made as made_scaling
from tests.loadtest.bench.test_workers import made as made_workers

BUCKETS = [(1_000.0, 3), (2_000.0, 1)]
SAMPLE = Sample(1.0, 2.0, 0.5, 1_000)
HOW = scenarios.How(Tools(None, None, {}, None, ()), 1.0, 50, lambda _: None)


def scenario(name: str) -> Scenario:
    return Scenario(name, "a title", "bench", True, {}, {}, {})


def test_every_tool_has_a_runner() -> None:
    assert set(scenarios.RUNNERS) == set(targets.TOOLS)


def test_a_workload_has_its_figures_and_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def measure(name: str, plan: Plan) -> Result:
        plans.append(plan)
        return made.result(name)

    monkeypatch.setattr(workloads, "measure", measure)
    outcome = scenarios.run(scenario("A"), HOW)
    assert (plans[0].seconds, plans[0].conns_max, plans[0].peers) == (1.0, 50, False)
    assert outcome.figures["p99_of_floor_ratio"] == 1.25
    assert outcome.curves == {
        "tickwire": [(0.5, 2.5), (0.99, 5.0), (0.999, 6.0), (1.0, 7.0)],
        "C floor": [(0.5, 2.5), (0.99, 4.0), (0.999, 6.0), (1.0, 7.0)],
    }


@contextmanager
def read_twice(server: Server, _seconds: float) -> Iterator[list[Reading]]:
    """What `watched` has seen of a gateway."""
    assert server.name == "tickwire"
    yield [Reading(0.0, 0, 0.0, 1_000), Reading(1.0, 50, 0.5, 1_100)]


@pytest.fixture
def made_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and clients of every tool, left out: each measurement is made, and a gateway's has a histogram."""
    seen = replace(made.FIGURES, client="swarm", buckets=BUCKETS, announced=0, repeated=0)
    server = Server("tickwire", 1, 80, Path("log"))
    monkeypatch.setattr(Server, "status", lambda _self: GatewayStatus(7, 3, {"buckets": []}))
    for name in ("gateway", "exchange", "ticks"):
        monkeypatch.setattr(servers, name, lambda *_args, **_more: nullcontext(server))
    monkeypatch.setattr(servers, "ccxt_alone", lambda *_: {"p50_us": 1.0})
    monkeypatch.setattr(workloads, "watched", read_twice)
    monkeypatch.setattr(workloads, "run", lambda *_: seen)
    replies = dict.fromkeys(burst.FIGURES, 1.0)
    monkeypatch.setattr(burst, "replies", lambda *_: replies)
    readers = replace(made.STORM_READERS, buckets=BUCKETS, samples=[SAMPLE])
    monkeypatch.setattr(storm, "measure", lambda *_: replace(made.STORM, readers=readers))
    alone, crowded = (replace(each, buckets=BUCKETS) for each in (made.ORDERS.alone, made.ORDERS.crowd))
    ordered = replace(made.ORDERS, alone=alone, crowd=crowded, samples=[SAMPLE])
    monkeypatch.setattr(orders, "measure", lambda *_: ordered)
    monkeypatch.setattr(mixed, "measure", lambda *_: Mixed({}, [SAMPLE], [(1.0, 2.0)], []))
    monkeypatch.setattr(crowd, "measure", lambda *_: Crowded({}, [SAMPLE], {"update": [(1.0, 2.0)]}))


@pytest.mark.usefixtures("made_servers")
@pytest.mark.parametrize("name", [name for name, row in SCENARIOS.items() if row.short])
def test_every_short_scenario_has_curves_and_the_server_over_time(name: str) -> None:
    outcome = scenarios.run(SCENARIOS[name], HOW)
    assert outcome.samples
    assert outcome.samples[-1].messages_per_s > 0
    assert outcome.curves
    assert all(points and points[-1][0] == 1.0 for points in outcome.curves.values())


@pytest.mark.usefixtures("made_servers")
def test_orders_have_a_curve_of_one_client_and_one_of_many() -> None:
    curves = scenarios.run(SCENARIOS["H"], HOW).curves
    assert curves == {name: [(0.75, 1.0), (1.0, 2.0)] for name in ("clients: 1", "clients: 32")}


def test_our_own_client_s_histogram_is_its_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    result = made.result("A")
    result.checked = replace(made.FIGURES, client="swarm", buckets=[(1_000.0, 3), (2_000.0, 1)])
    monkeypatch.setattr(workloads, "measure", lambda _name, _plan: result)
    curves = scenarios.run(scenario("A"), HOW).curves
    assert curves["tickwire, every stream checked"] == [(0.75, 1.0), (1.0, 2.0)]
    assert len(curves["tickwire"]) == 4


def test_scaling_names_the_points_whose_client_was_the_bottleneck(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = made_scaling()
    rows = grown.axes[0].rows
    rows[0] = replace(rows[0], seen=[replace(seen, client_waited=0.5) for seen in rows[0].seen])
    monkeypatch.setattr(scaling, "measure", lambda _plan: grown)
    notes = scenarios.run(Scenario("scaling", "a title", "scaling", False, {}, {}, {}), HOW).notes
    assert [note.partition(":")[0] for note in notes] == [
        "a note", "the client was the bottleneck", "the suite was the bottleneck",
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "notes"), [(0.95, 0), (0.96, 1)])
def test_that_the_clients_were_the_bottleneck_is_said(
    share: float, notes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = made.result("A", replace(made.FIGURES, client_cpu=share))
    monkeypatch.setattr(workloads, "measure", lambda _name, _plan: result)
    said = [note for note in scenarios.run(scenario("A"), HOW).notes if "client_cpu_share" in note]
    assert len(said) == notes


def test_orders_are_measured_by_their_own_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "measure", lambda _seconds, _say: made.ORDERS)
    assert scenarios.run(scenario("H"), HOW).figures["of_pgbench_ratio"] == 0.6


def test_a_mix_is_cut_to_the_connections_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    mixes: list[Mix] = []
    sample = Sample(1.0, 2.0, 0.5, 1_000)

    def measure(mix: Mix, _say: object) -> Mixed:
        mixes.append(mix)
        return Mixed({"p99_ms": 3.0}, [sample], [(0.5, 1.0)], ["a note"])

    monkeypatch.setattr(mixed, "measure", measure)
    options: dict[str, Any] = {
        "conns": 80,
        "slow": 1,
        "stalled": 2,
        "programs": 3,
        "owners": 1,
        "symbols": 4,
        "rate": 5,
        "minutes": 0.5,
    }
    options |= {"reconnecting": 6, "resuming": 7, "resubscribing": 8, "faults_every_s": 12}
    outcome = scenarios.run(Scenario("soak", "a title", "mixed", False, options, {}, {}), HOW)
    assert mixes == [Mix(**{**options, "conns": 50})]
    assert (outcome.figures, outcome.curves) == ({"p99_ms": 3.0}, {"readers": [(0.5, 1.0)]})
    assert (outcome.samples, outcome.notes) == ([sample], ["cut to 50 connections", "a note"])


def test_watchers_are_cut_to_the_connections_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Observation] = []

    def measure(observation: Observation, _say: object) -> Observed:
        asked.append(observation)
        return Observed({"lost_count": 0}, [], {"pong": [(1.0, 2.0)]}, ["a note"])

    monkeypatch.setattr(observed, "measure", measure)
    outcome = scenarios.run(Scenario("account", "a title", "account", False, {"conns": 300, "minutes": 5}, {}, {}), HOW)
    assert asked == [Observation(conns=50, minutes=5)]
    assert (outcome.figures, outcome.curves) == ({"lost_count": 0}, {"pong": [(1.0, 2.0)]})
    assert outcome.notes == ["cut to 50 connections", "a note"]
    whole = Scenario("account", "a title", "account", False, {"conns": 50, "minutes": 5}, {}, {})
    assert scenarios.run(whole, HOW).notes == ["a note"]


def test_scaling_has_points_of_its_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def measure(plan: Plan) -> scaling.Scaling:
        plans.append(plan)
        return made_scaling()

    monkeypatch.setattr(scaling, "measure", measure)
    outcome = scenarios.run(Scenario("scaling", "a title", "scaling", False, {}, {}, {}), HOW)
    assert (plans[0].seconds, plans[0].conns_max) == (scaling.SECONDS, 50)
    assert (outcome.curves, outcome.samples) == ({}, [])
    assert outcome.figures["above_linear_count"] == 0
    assert outcome.notes == ["a note"]


def test_two_processes_are_judged_by_what_the_bench_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    several = made_workers()
    monkeypatch.setattr(workers, "measure", lambda plan: several if plan.seconds == workers.SECONDS else None)
    outcome = scenarios.run(Scenario("workers", "a title", "workers", False, {}, {}, {}), HOW)
    assert outcome.figures == workers.figures_of(several)
    assert (outcome.curves, outcome.samples) == ({}, [])
    assert outcome.notes == []


def test_locust_s_users_are_the_crowd_of_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    crowds: list[Crowd] = []

    def measure(asked: Crowd, _say: object) -> Crowded:
        crowds.append(asked)
        return Crowded({"failed_count": 0}, [], {"update": [(1.0, 2.0)]})

    monkeypatch.setattr(crowd, "measure", measure)
    options = {"users": 9, "spawn_per_s": 3, "shape": "storm", "minutes": 0.5}
    outcome = scenarios.run(Scenario("flow", "a title", "users", False, options, {}, {}), HOW)
    assert crowds == [Crowd(users=9, spawn_per_s=3, shape="storm", minutes=0.5)]
    assert (outcome.figures, outcome.curves) == ({"failed_count": 0}, {"update": [(1.0, 2.0)]})
