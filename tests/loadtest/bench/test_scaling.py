"""The axes, what is made of a client's figures, which points take turns, and a small run on the real gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from loadtest.bench import scaling
from loadtest.bench.linear import Measured
from loadtest.bench.scaling import AXES, Axis, Grown, Point, Row, Scaling, Seen
from loadtest.bench.tools import Tools
from loadtest.bench.workloads import Plan
from tests.docs_parts import text_of

ALONE = Plan(tools=Tools(None, None, {}, None, ()), seconds=0.5)
FIGURES: dict[str, float] = {
    "msgs": 1_980, "msg_s": 990.0, "bytes": 693_000, "server_cpu": 0.05,
    "client_cpu": 0.1, "client_waited": 0.02, "p50_ms": 1.0, "p99_ms": 2.0, "alive": 99,
    "announced": 1, "unannounced": 2, "repeated": 3,
}  # fmt: skip
COUNTERS = {"sends": 1_200, "replies": 200, "messages": 2_000}
CALM = (0.99, 1.0, 1.01)


def test_axes_grow_as_they_say() -> None:
    """Ten times in each step of subscribers and keys, with a point between the last two; and no axis asks for less work
    than its point before."""
    subscribers, one_each, all_keys, size, throttled = (axis.points for axis in AXES)
    assert [point.conns for point in subscribers] == [10, 100, 1_000, 3_000, 10_000]
    assert [point.keys for point in one_each] == [1, 10, 30, 100, 300, 1_000]
    assert [point.keys for point in all_keys] == [1, 10, 100, 300, 1_000]
    assert {point.messages_s for point in one_each} == {10_000}
    assert [point.messages_s for point in all_keys] == [100, 1_000, 10_000, 30_000, 100_000]
    assert [point.data_bytes for point in size] == [0, 2_000, 5_000, 10_000, 20_000]
    assert [round(point.messages_s) for point in throttled] == [1_000, 10_000, 17_192, 55_000, 100_000]
    assert len({axis.name for axis in AXES}) == len(AXES)


def test_throttled_streams_are_updates_of_their_own() -> None:
    assert Point("x", conns=4, keys=2, rate=100, tiers_ms=(0, 100)).updates_s == 2 * (100 + 10)
    assert Point("x", conns=4, rate=10, tiers_ms=(50,)).updates_s == 10 + 10  # no faster than the market
    mixed = Point("x", conns=4, rate=100, tiers_ms=(0, 100)).messages()
    assert [json.loads(text).get("throttle_ms") for text in mixed] == [None, 100]


def test_who_has_all_keys_asks_for_them_in_parts() -> None:
    parts = Point("x", conns=1, keys=250, keys_per_conn=250).messages()
    assert [len(json.loads(part)["symbols"]) for part in parts] == [100, 100, 50]
    assert len({symbol for part in parts for symbol in json.loads(part)["symbols"]}) == 250


def test_what_a_client_and_the_gateway_counted_becomes_what_was_seen() -> None:
    seen = scaling.seen_of(Point("x", conns=100), 2.0, FIGURES, COUNTERS)
    assert (seen.cpu, seen.messages, seen.bytes, seen.messages_per_send) == (0.05, 990.0, 346_500, 2.0)
    assert (seen.delivered, seen.missing, seen.lost) == (1.0, 6, 1)
    assert scaling.seen_of(Point("x", conns=100), 1.0, {**FIGURES, "msg_s": 700.0}, COUNTERS).delivered == 0.8


@pytest.mark.parametrize(("unit", "work"), [("message", 990.0), ("byte", 346_500.0), ("update", 10.0)])
def test_an_axis_has_its_own_unit_of_work(unit: str, work: float) -> None:
    seen = scaling.seen_of(Point("x", conns=100), 2.0, FIGURES, COUNTERS)
    row = Row(Point("x", conns=100), [seen, replace(seen, cpu=0.07), replace(seen, cpu=0.06)])
    assert row.measured(unit) == Measured(work, (0.05, 0.07, 0.06))
    assert row.measured(unit).cpu == 0.06


def cost(point: Point) -> float:
    """As shares of a core: something fixed, and so much for each update, message and byte."""
    data_bytes = max(350, point.data_bytes)
    return 0.003 + point.updates_s * 10e-6 + point.messages_s * (6.93e-6 + data_bytes * 0.2e-9)


def seen_as(point: Point, factor: float = 1.0) -> Seen:
    messages = point.messages_s
    figures = {**FIGURES, "alive": point.conns, "announced": 0, "unannounced": 0, "repeated": 0}
    figures |= {
        "msgs": messages,
        "msg_s": messages,
        "bytes": max(350, point.data_bytes) * messages,
        "server_cpu": cost(point) * factor,
    }
    return scaling.seen_of(point, 1.0, figures, {"sends": 1, "replies": 0, "messages": 1})


def grown(axis: Axis) -> Grown:
    """An axis that was measured three times, straight and calm."""
    rows = [Row(point, [seen_as(point, factor) for factor in CALM]) for point in axis.points]
    return Grown(axis.name, axis.title, axis.unit, rows)


def made() -> Scaling:
    """For tests of what is made of a result."""
    return Scaling([grown(axis) for axis in AXES[:2]], ["a note"])


class Runs:
    """Instead of gateways and a client: what a point costs, each time it is seen."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], int]] = []
        self.steep: dict[str, float] = {}

    def see(self, points: Sequence[Point], _plan: Plan, times: int) -> list[list[Seen]]:
        self.batches.append(([point.label for point in points], times))
        factors = [CALM[at % len(CALM)] for at in range(times)]
        return [[seen_as(point, factor * self.steep.get(point.label, 1.0)) for point in points] for factor in factors]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(scaling, "see", runs.see)
    return runs


def test_all_points_of_an_axis_are_measured_as_often_on_several_gateways(runs: Runs) -> None:
    result = scaling.measure(ALONE, AXES[:2], repeats=scaling.A_GATEWAY + 2)
    labels = [[point.label for point in axis.points] for axis in AXES[:2]]
    assert runs.batches == [(each, times) for each in labels for times in (scaling.A_GATEWAY, 2)]
    assert {len(row.seen) for axis in result.axes for row in axis.rows} == {scaling.A_GATEWAY + 2}
    assert [axis.name for axis in result.axes] == [axis.name for axis in AXES[:2]]


def test_straight_axes_have_no_step_above_linear(runs: Runs) -> None:
    result = scaling.measure(ALONE)
    assert (result.above, result.undecided) == (0, 0)
    figures = scaling.figures_of(result)
    assert (figures["above_linear_count"], figures["undecided_count"], figures["lost_count"]) == (0, 0, 0)
    assert figures["steepest_step_ratio"] == pytest.approx(1.0, abs=0.05)
    assert figures["noise_share"] == pytest.approx(0.01, abs=0.005)
    assert len(runs.batches) == len(AXES) * -(-scaling.REPEATS // scaling.A_GATEWAY)


@pytest.mark.parametrize("axis", AXES, ids=[axis.name for axis in AXES])
def test_a_last_point_that_costs_half_more_is_above_linear_on_every_axis(runs: Runs, axis: Axis) -> None:
    runs.steep = {axis.points[-1].label: 1.5}
    result = scaling.measure(ALONE, [axis], repeats=6)
    assert [step.above for step in result.steps] == [False] * (len(axis.points) - 2) + [True]
    assert len(runs.batches) == 2  # nothing was measured again for it


def test_a_point_whose_client_was_the_bottleneck_is_named(runs: Runs) -> None:
    result = scaling.measure(ALONE, AXES[:2], repeats=3)
    assert scaling.notes_of(result) == []
    rows = result.axes[1].rows
    rows[1] = replace(rows[1], seen=[replace(seen, client_cpu=0.97) for seen in rows[1].seen])
    rows[2] = replace(rows[2], seen=[replace(seen, client_waited=0.25) for seen in rows[2].seen])
    name = AXES[1].name
    assert scaling.notes_of(result) == [
        f"the client was the bottleneck: {name}, {rows[1].point.label}: 97 %",
        f"the client was the bottleneck: {name}, {rows[2].point.label}: 10 %, waited 25 %",
    ]
    named = scaling.figures_of(result)
    assert (named["client_cpu_share"], named["client_waited_share"]) == (0.97, 0.25)


def test_points_beyond_the_connections_that_are_allowed_are_left_out(runs: Runs) -> None:
    result = scaling.measure(replace(ALONE, conns_max=4_000), AXES[:1], repeats=2)
    assert [labels for labels, _times in runs.batches] == [["10", "100", "1,000", "3,000"]]
    assert result.notes == ["Subscribers of one key, 10 updates/s: nothing above 4,000 connections"]
    assert scaling.figures_of(result)["points_count"] == 4


def test_how_often_a_point_is_measured_is_told(runs: Runs) -> None:
    scaling.measure(ALONE, AXES[:1])
    assert [times for _labels, times in runs.batches] == [4, 4, 4]
    told = "`scaling` measures a point twelve times, four on each of three gateways"
    assert told in " ".join(text_of("docs/load.md").split())


@pytest.mark.timed
def test_a_small_run_on_the_real_gateway() -> None:
    """Several keys each, larger quotes, and two tiers, each gateway used twice: what comes is as large as was asked
    for, and without a gap."""
    large = Point("x", conns=4, keys=3, keys_per_conn=3, rate=20.0, data_bytes=2_000)
    first, second = scaling.see([large, Point("x", conns=4, rate=50.0, tiers_ms=(0, 100))], ALONE, 2)
    for seen, mixed in (first, second):
        assert (seen.missing, seen.lost, mixed.missing, mixed.lost) == (0, 0, 0, 0)
        assert seen.bytes / seen.messages == pytest.approx(2_200, rel=0.1)
        assert mixed.messages > 0
        assert min(seen.cpu, mixed.cpu) > 0
        assert min(seen.messages_per_send, mixed.messages_per_send) >= 1
