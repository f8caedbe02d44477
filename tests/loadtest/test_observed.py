"""The figures of an account under observation, from made results, and once on the real gateway."""

from __future__ import annotations

import math
from typing import Any

from loadtest import observed
from loadtest.observed import Observation
from loadtest.series import Reading

ASKED = Observation(conns=10, minutes=0.5)
CAME: dict[str, Any] = {
    "connect_s": 0.5, "alive": 10, "updates_min": 29, "updates_max": 30, "silence_max_s": 1.2, "broken": 0,
    "trades": 28, "messages": {"connected": 10, "account_update": 300}, "updates_us": [[1000.0, 98], [9000.0, 2]],
    "pongs_us": [[500.0, 10]], "failures": 0, "first_failures": [], "client_cpu": 0.1, "client_waited": 0.02,
}  # fmt: skip
BEFORE = Reading(9.0, 0, 0.0, 50_000)
READINGS = [Reading(10.0 + at_s, 10 * at_s, 0.1 * at_s, 50_000 + 10 * at_s) for at_s in range(21)]


def of(**changed: Any) -> dict[str, float | None]:
    return observed.figures(ASKED, CAME | changed, BEFORE, READINGS)


def test_what_the_watchers_saw() -> None:
    named = of()
    assert (named["lost_count"], named["broken_count"], named["unequal_count"], named["stale_count"]) == (0, 0, 1, 0)
    assert (named["update_p50_ms"], named["update_p99_ms"], named["pong_p99_ms"]) == (1.0, 9.0, 0.5)
    assert named["memory_per_connection_KiB"] == 20.0
    assert round(named["cpu_share"] or 0.0, 6) == 0.1


def test_who_is_gone_or_was_told_of_a_lost_backend_is_counted() -> None:
    named = of(alive=8, messages={"error": 3}, broken=4, failures=5)
    assert [named[f"{name}_count"] for name in ("lost", "stale", "broken", "failed")] == [2, 3, 4, 5]


def test_without_a_message_no_latency_is_met() -> None:
    assert math.isnan(of(updates_us=[])["update_p99_ms"] or 0.0)


def test_an_account_of_the_real_gateway_is_told_to_all() -> None:
    came = observed.measure(Observation(conns=20, minutes=0.07), lambda _text: None)
    named = came.figures
    assert (named["lost_count"], named["failed_count"], named["broken_count"]) == (0, 0, 0)
    assert (named["updates_count"] or 0) >= 2
    assert (named["trades_count"] or 0) >= 1
    assert set(came.curves) == {"update"}  # the first ping is later
    assert len(came.samples) >= 3
