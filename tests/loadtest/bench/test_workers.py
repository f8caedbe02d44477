"""What is made of two looks at a gateway's processes, the model, and a small run on the real gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadtest import targets
from loadtest.bench import report, workers
from loadtest.bench.elsewhere import Elsewhere
from loadtest.bench.scaling import Point
from loadtest.bench.tools import Tools
from loadtest.bench.workers import POINTS, Look, Model, Process, Seen, Workers
from loadtest.bench.workloads import Plan

ELSEWHERE = Elsewhere(resumed=24, not_resumed=0, missing=0, repeated=0, watches_of_a_key=1)
MODEL = Model(update_us=50, link_us=10, copy_us=20, message_us=4)


def made() -> Workers:
    """As the model has it, with half of all messages sent by each of two."""
    seen = []
    for point in POINTS:
        u, m = point.updates_s, point.messages_s
        alone = [Process((50 * u + 4 * m) / 1e6, m)]
        two = [Process((60 * u + 2 * m) / 1e6, m / 2), Process((20 * u + 2 * m) / 1e6, m / 2)]
        seen += [Seen(point, each, 1.0, 2.0, 0, 0.5) for each in (alone, two)]
    return Workers(seen, workers.fit(seen), ELSEWHERE)


def test_the_model_is_found_again_in_what_it_made() -> None:
    assert made().model == pytest.approx(MODEL)


def test_more_processes_give_more_until_the_serial_part_is_all_there_is() -> None:
    assert MODEL.messages_s(1, 1_000) == pytest.approx(1_000 * 1e6 / (50 + 4_000))
    assert MODEL.messages_s(4, 1_000) == pytest.approx(1_000 * 1e6 / (50 + 30 + 1_000))
    assert MODEL.messages_s(64, 10) < MODEL.messages_s(2, 10)


def test_what_was_done_between_two_looks_is_told_of_each_process() -> None:
    figures = {
        "p50_ms": 1.0, "p99_ms": 2.0, "announced": 1, "unannounced": 2, "behind": 4, "repeated": 3, "alive": 9,
    }  # fmt: skip
    seen = workers.seen_of(
        Point("x", conns=10),
        Look(1.0, [1.0, 2.0], [0, 100]),
        Look(3.0, [2.0, 2.5], [200, 300]),
        {**figures, "client_cpu": 0.1, "client_waited": 0.2},
    )
    assert seen.processes == [Process(0.5, 100.0), Process(0.25, 100.0)]
    assert (seen.messages_s, seen.message_us) == (200.0, 3750.0)
    assert (seen.missing, seen.repeated, seen.lost) == (7, 3, 1)


def judged(result: Workers) -> dict[str, str]:
    verdicts = targets.judge(report.SCENARIOS["workers"], workers.figures_of(result))
    return {verdict.goal.split()[0]: verdict.word for verdict in verdicts if verdict.word != "met"}


def test_two_processes_are_held_against_one() -> None:
    named = workers.figures_of(made())
    a, b = ((60 + 20 + 4 * n) / (50 + 4 * n) for n in (1_000, 1_000))  # CPU of two and of one, by update
    assert named["cpu_per_message_ratio"] == pytest.approx(max(a, b))
    assert named["cpu_per_update_ratio"] == pytest.approx((80 + 4 * 2) / (50 + 4 * 2))
    assert (named["delivered_share"], named["resumed_elsewhere_count"], named["watches_of_a_key_count"]) == (1.0, 24, 1)
    assert judged(made()) == {}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"missing": 1}, "missing_count"),
        ({"repeated": 1}, "repeated_count"),
        ({"lost": 1}, "lost_count"),
        ({"processes": [Process(0.5, 50_000.0), Process(0.5, 50_000.0)]}, "cpu_per_message_ratio"),
        ({"processes": [Process(0.1, 40_000.0), Process(0.1, 40_000.0)]}, "delivered_share"),
    ],
)
def test_what_two_processes_lose_or_cost_misses_a_limit(change: dict[str, Any], missed: str) -> None:
    result = made()
    result.seen[1] = replace(result.seen[1], **change)
    assert judged(result) == {missed: "MISSED"}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"resumed": 23, "not_resumed": 1}, {"resumed_elsewhere_count", "not_resumed_count"}),
        ({"missing": 1}, {"missing_count"}),
        ({"repeated": 1}, {"repeated_count"}),
        ({"watches_of_a_key": 2}, {"watches_of_a_key_count"}),
        ({"watches_of_a_key": 0}, {"watches_of_a_key_count"}),
    ],
)
def test_what_is_lost_on_the_way_to_another_process_misses_a_limit(change: dict[str, int], missed: set[str]) -> None:
    result = replace(made(), elsewhere=replace(ELSEWHERE, **change))
    assert set(judged(result)) == missed


def test_a_gateway_of_two_processes_is_measured() -> None:
    plan = Plan(tools=Tools(None, None, {}, None, ()), seconds=2.0)  # workers report once a second
    seen = workers.see(replace(POINTS[0], conns=30, rate=20.0), 2, plan)
    assert len(seen.processes) == 2
    assert seen.missing == 0
    assert all(each.messages_s > 0 for each in seen.processes)
