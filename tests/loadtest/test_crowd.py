"""Locust's statistics as figures and curves, from made rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loadtest import crowd, users
from loadtest.bench.servers import Server
from loadtest.crowd import Crowd
from loadtest.series import Reading
from loadtest.swarm import ToolError
from loadtest.users import Demo

FLOW = Crowd(users=10, spawn_per_s=5.0, shape="steady", minutes=0.5)


def row(method: str, times: dict[str, int], failed: int = 0) -> dict[str, Any]:
    asked = {"num_requests": sum(times.values()), "num_failures": failed}
    return {"method": method, "name": "a name", "response_times": times, **asked}


ROWS = [
    row("command", {"10": 98, "900": 1}),
    row("command", {"20": 1}, failed=1),
    row("GET", {"5": 1}),
    row("POST", {"7": 1}),
    row("trade", {"1": 1}, failed=1),
]


def test_kinds_are_summed_over_their_names() -> None:
    found = crowd.figures(ROWS, 10.0)
    assert (found["command_p50_ms"], found["command_p99_ms"]) == (10.0, 20.0)
    assert (found["rest_p50_ms"], found["rest_p99_ms"]) == (5.0, 7.0)
    assert (found["requests_per_s"], found["failed_count"]) == (10.3, 2)
    assert found["failed_share"] == pytest.approx(2 / 103)
    assert crowd.figures([*ROWS, row("client", {"40": 1_000})], 10.0) == found  # how late they were is no request


def test_a_kind_of_which_nothing_was_asked_is_no_number() -> None:
    assert math.isnan(crowd.figures(ROWS, 10.0)["ack_p99_ms"] or 0.0)
    assert math.isnan(crowd.figures([], 10.0)["failed_share"] or 0.0)


def test_curves_are_by_kind() -> None:
    assert crowd.curves(ROWS) == {
        "command": [(0.98, 10.0), (0.99, 20.0), (1.0, 900.0)],
        "rest": [(0.5, 5.0), (1.0, 7.0)],
    }


class Locust:
    """Instead of a demo and locust."""

    def __init__(self, code: int, *, writes: bool = True) -> None:
        self.code, self.writes, self.asked = code, writes, ""

    @contextmanager
    def demo(self) -> Iterator[Demo]:
        yield Demo("http://127.0.0.1:8765", "a key", 42)

    @contextmanager
    def watched(self, server: Server, _seconds: float) -> Iterator[list[Reading]]:
        assert (server.port, server.pid) == (8765, 42)
        yield [Reading(0.0, 0, 0.0, 1_000), Reading(1.0, 50, 0.5, 1_100)]

    def locust(self, arguments: list[str], key: str, _output: int) -> int:
        self.asked = " ".join(arguments)
        Path(arguments[arguments.index("--client-json") + 1]).write_text('{"client_lag_p99_ms":60.0}')
        assert key == "a key"
        if self.writes:
            Path(f"{arguments[-1]}.json").write_text(json.dumps(ROWS))
        return self.code

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(users, "demo", self.demo)
        monkeypatch.setattr(users, "locust", self.locust)
        monkeypatch.setattr(crowd, "watched", self.watched)


def test_locust_is_asked_for_the_crowd_and_a_failed_request_is_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Locust(1)
    fake.put(monkeypatch)
    came = crowd.measure(FLOW, lambda _: None)
    assert "--users 10 --spawn-rate 5.0 --run-time 30s --shape steady --client-json " in fake.asked
    assert came.figures["client_lag_p99_ms"] == 60.0
    assert came.figures["failed_count"] == 2
    assert came.samples[0].messages_per_s == 50.0


@pytest.mark.parametrize("fake", [Locust(2), Locust(0, writes=False)], ids=["code", "nothing written"])
def test_a_locust_that_did_not_run_is_an_error(fake: Locust, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.put(monkeypatch)
    with pytest.raises(ToolError, match="locust ended with"):
        crowd.measure(FLOW, lambda _: None)
