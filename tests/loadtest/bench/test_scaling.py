"""The axes, what is made of a client's figures, when a step is measured again, and a small run on the real gateway."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loadtest.bench import scaling
from loadtest.bench.linear import STEP_MAX, Measured, Model, Work
from loadtest.bench.scaling import AXES, Axis, Point, Scaling, Seen
from loadtest.bench.tools import Tools
from loadtest.bench.workloads import Plan

ALONE = Plan(tools=Tools(None, None, {}, None, ()), seconds=1.0)
FIGURES: dict[str, float] = {
    "msg_s": 990.0, "bytes": 693_000, "server_cpu": 0.05, "client_cpu": 0.1, "p50_ms": 1.0, "p99_ms": 2.0, "alive": 99,
    "announced": 1, "unannounced": 2, "repeated": 3,
}  # fmt: skip
COUNTERS = {"sends": 1_200, "replies": 200, "messages": 2_000}


def test_axes_grow_as_they_say() -> None:
    """Ten times in each step of subscribers and keys; and no axis asks for less work than its point before."""
    subscribers, one_each, all_keys, size, throttled = (axis.points for axis in AXES)
    assert [point.conns for point in subscribers] == [10, 100, 1_000, 10_000]
    assert [point.keys for point in one_each] == [point.keys for point in all_keys] == [1, 10, 100, 1_000]
    assert {point.messages_s for point in one_each} == {10_000}
    assert [point.messages_s for point in all_keys] == [100, 1_000, 10_000, 100_000]
    assert [point.data_bytes for point in size] == [0, 2_000, 20_000]
    assert [round(point.messages_s) for point in throttled] == [1_000, 10_000, 17_192, 55_000, 100_000]


def test_throttled_streams_are_updates_of_their_own() -> None:
    assert Point("x", conns=4, keys=2, rate=100, tiers_ms=(0, 100)).updates_s == 2 * (100 + 10)
    assert Point("x", conns=4, rate=10, tiers_ms=(50,)).updates_s == 10 + 10  # no faster than the market
    assert Point("x", conns=4, keys=20, rate=100, tiers_ms=(0, 100)).turns_s == 1_000 + 20 * 10
    mixed = Point("x", conns=4, rate=100, tiers_ms=(0, 100)).messages()
    assert [json.loads(text).get("throttle_ms") for text in mixed] == [None, 100]


def test_who_has_all_keys_asks_for_them_in_parts() -> None:
    parts = Point("x", conns=1, keys=250, keys_per_conn=250).messages()
    assert [len(json.loads(part)["symbols"]) for part in parts] == [100, 100, 50]
    assert len({symbol for part in parts for symbol in json.loads(part)["symbols"]}) == 250


def test_what_a_client_and_the_gateway_counted_becomes_a_point() -> None:
    seen = scaling.seen_of(Point("x", conns=100), 1.0, FIGURES, COUNTERS)
    assert seen.measured == Measured(Work(turns=10, updates=10, sends=495, messages=990, bytes=693_000), 0.05)
    assert (seen.delivered, seen.missing, seen.lost) == (1.0, 6, 1)
    assert scaling.seen_of(Point("x", conns=100), 1.0, {**FIGURES, "msg_s": 700.0}, COUNTERS).delivered == 0.8


class Runs:
    """Instead of a gateway and a client: what a point costs, each time it is seen."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.disturbed: dict[str, list[float]] = {}

    def see(self, point: Point, _plan: Plan) -> Seen:
        self.labels.append(point.label)
        work = Work(point.turns_s, point.updates_s, point.messages_s, point.messages_s, 350 * point.messages_s)
        cpu = Model(0.002, 50, 40, 4, 0, 0.1).cpu(work)
        times = self.disturbed.get(point.label, [])
        figures = {**FIGURES, "msg_s": point.messages_s, "server_cpu": cpu * (times.pop(0) if times else 1.0)}
        seen = scaling.seen_of(point, 1.0, figures, {"sends": 1, "replies": 0, "messages": 1})
        return replace(seen, measured=Measured(work, figures["server_cpu"]))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(scaling, "see", runs.see)
    return runs


TWO = (
    Axis("subscribers", tuple(Point(f"{n} conns", conns=n) for n in (10, 100, 1_000, 10_000))),
    Axis("keys", tuple(Point(f"{n} keys", conns=1_000, keys=n) for n in (1, 10, 100, 1_000))),
)


def test_what_was_disturbed_once_is_measured_again(runs: Runs) -> None:
    runs.disturbed = {"1000 conns": [3.0]}
    result = scaling.measure(ALONE, TWO)
    assert runs.labels.count("1000 conns") == 2
    assert runs.labels.count("10 conns") == 1
    assert result.steepest < 1.1
    assert set(scaling.figures_of(result)) >= {"steepest_step_ratio", "delivered_share", "missing_count", "lost_count"}


def test_what_stays_steep_is_told(runs: Runs) -> None:
    runs.disturbed = {"10000 conns": [3.0] * 9}
    result = scaling.measure(ALONE, TWO)
    assert runs.labels.count("10000 conns") == 1 + scaling.AGAIN
    assert scaling.figures_of(result)["steepest_step_ratio"] == result.steepest > STEP_MAX


def test_points_beyond_the_connections_that_are_allowed_are_left_out(runs: Runs) -> None:
    result = scaling.measure(replace(ALONE, conns_max=2_000), TWO)
    assert "10000 conns" not in runs.labels
    assert result.notes == ["subscribers: nothing above 2,000 connections"]


@pytest.mark.timed
def test_a_small_run_on_the_real_gateway() -> None:
    """Several keys each, larger quotes, and two tiers: everything due comes, as large as was asked for."""
    seen = scaling.see(Point("x", conns=4, keys=3, keys_per_conn=3, rate=20.0, data_bytes=2_000), ALONE)
    assert (seen.missing, seen.lost) == (0, 0)
    assert seen.measured.work.messages == pytest.approx(240, rel=0.2)
    assert seen.measured.work.bytes / seen.measured.work.messages == pytest.approx(2_200, rel=0.1)
    assert 0 < seen.measured.cpu < 1
    mixed = scaling.see(Point("x", conns=4, rate=50.0, tiers_ms=(0, 100)), ALONE)
    assert mixed.measured.work.messages == pytest.approx(120, rel=0.25)
    assert mixed.missing == 0


def made() -> Scaling:
    """For tests of what is made of a result."""
    runs = Runs()
    idle = runs.see(scaling.IDLE, ALONE)
    axes = [(axis.title, [runs.see(point, ALONE) for point in axis.points]) for axis in TWO]
    return Scaling(idle, axes, Model(0.002, 50, 40, 4, 0, 0.1), ["a note"])
