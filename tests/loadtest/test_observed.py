"""The figures of an account under observation, from made results, and once on the real gateway."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from loadtest import load, observed, targets
from loadtest.observed import Observation
from loadtest.series import Reading

ASKED = Observation(conns=10, minutes=0.5)
CAME: dict[str, Any] = {
    "connect_s": 0.5, "alive": 10, "lasted_s": 30.0, "updates_min": 29, "updates_max": 30, "silence_max_s": 1.2,
    "broken": 0, "unanswered": 0, "trades": 27, "messages": {"connected": 10, "account_update": 300},
    "updates_us": [[1000.0, 98], [9000.0, 2]], "pongs_us": [[500.0, 10]], "failures": 0, "first_failures": [],
    "client_cpu": 0.1, "client_waited": 0.02,
}  # fmt: skip
BEFORE = Reading(9.0, 0, 0.0, 50_000)
READINGS = [Reading(10.0 + at_s, 10 * at_s, 0.1 * at_s, 50_000 + 10 * at_s) for at_s in range(21)]


def of(**changed: Any) -> dict[str, float | None]:
    return observed.figures(ASKED, CAME | changed, BEFORE, READINGS)


def test_what_the_watchers_saw() -> None:
    named = of()
    assert (named["lost_count"], named["broken_count"], named["unequal_count"], named["stale_count"]) == (0, 0, 1, 0)
    assert (named["update_p50_ms"], named["update_p99_ms"], named["pong_p99_ms"]) == (1.0, 9.0, 0.5)
    assert (named["updates_per_s"], named["trades_per_s"]) == (29 / 30, 0.9)
    assert named["memory_per_connection_KiB"] == 20.0
    assert round(named["cpu_share"] or 0.0, 6) == 0.1


def test_who_is_gone_or_was_told_of_a_lost_backend_is_counted() -> None:
    named = of(alive=8, messages={"error": 3}, broken=4, failures=5, unanswered=6)
    assert [named[f"{name}_count"] for name in ("lost", "stale", "broken", "failed", "unanswered")] == [2, 3, 4, 5, 6]


GOOD = {"alive": 300, "updates_max": 29, "pongs_us": [[500.0, 590]], "trades": 29}
BAD: dict[str, dict[str, Any]] = {  # a limit -> what of a good run goes wrong
    "updates_per_s": {"updates_min": 10, "updates_max": 10},
    "trades_per_s": {"trades": 5},
    "lost_count": {"alive": 299},
    "failed_count": {"failures": 1},
    "broken_count": {"broken": 1},
    "stale_count": {"messages": {"error": 1}},
    "unequal_count": {"updates_max": 31},
    "unanswered_count": {"unanswered": 1},
    "silence_max_s": {"silence_max_s": 296.0},
    "update_p99_ms": {"updates_us": []},
    "pong_p99_ms": {"pongs_us": [[51_000.0, 1]]},
}


@pytest.mark.parametrize("limit", BAD)
def test_each_limit_of_what_is_told_is_missed_when_that_goes_wrong(limit: str) -> None:
    scenario = targets.parse(load.TARGETS.read_text(encoding="utf-8"))["account"]

    def missed(**changed: Any) -> set[str]:
        named = observed.figures(replace(ASKED, conns=300), CAME | GOOD | changed, BEFORE, READINGS)
        verdicts = targets.judge(scenario, named)
        return {each.goal.split()[0] for each in verdicts if each.met is False}

    assert missed() == set()
    assert limit in missed(**BAD[limit])


def test_without_a_message_no_latency_is_met() -> None:
    assert math.isnan(of(updates_us=[])["update_p99_ms"] or 0.0)


def test_an_account_of_the_real_gateway_is_told_to_all() -> None:
    came = observed.measure(Observation(conns=20, minutes=0.07), lambda _text: None)
    named = came.figures
    assert (named["lost_count"], named["failed_count"], named["broken_count"]) == (0, 0, 0)
    assert (named["updates_per_s"] or 0) > 0
    assert (named["trades_per_s"] or 0) > 0
    assert set(came.curves) == {"update"}  # the first ping is later
    assert len(came.samples) >= 3
