"""A swarm's lines in statistics like locust's, which is not imported here: it patches every socket of a process."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from loadtest import volume
from loadtest.swarm import Swarm
from loadtest.volume import Volume


@dataclass
class Entry:
    num_requests: int = 0
    total_response_time: float = 0.0
    min_response_time: float | None = None
    max_response_time: float = 0.0
    response_times: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    num_reqs_per_sec: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    last_request_timestamp: float | None = None


class Statistics:
    def __init__(self) -> None:
        self.total = Entry()
        self.entry = Entry()

    def get(self, name: str, method: str) -> Entry:
        assert (name, method) == ("quotes", "swarm")
        return self.entry


TOLD: dict[str, Any] = {
    "conns": 3,
    "alive": 3,
    "unannounced": 0,
    "repeated": 0,
    "since_us": [[400.0, 2], [123456.0, 1]],
}
SWARM = Swarm(port=1, conns=3, messages=())


def test_what_was_measured_is_added_in_bulk() -> None:
    statistics = Statistics()
    one = Volume(SWARM, statistics, lambda *_failed: pytest.fail("nothing failed"))
    one.take({"up": 3}, 7.5)
    one.take(TOLD, 7.5)
    one.take({**TOLD, "since_us": [[400.0, 1]]}, 8.5)
    for entry in (statistics.entry, statistics.total):
        assert entry.num_requests == 4
        assert entry.response_times == {0: 3, 120: 1}
        assert entry.num_reqs_per_sec == {7: 3, 8: 1}
        assert (entry.min_response_time, entry.max_response_time) == (0.4, 123.456)
        assert entry.total_response_time == pytest.approx(124.656)
        assert entry.last_request_timestamp == 8.5


def test_what_was_missed_is_a_failure_once() -> None:
    failed: list[tuple[str, str]] = []
    one = Volume(SWARM, Statistics(), lambda name, what: failed.append((name, what)))
    for told in (TOLD, {**TOLD, "unannounced": 2, "alive": 2}, {**TOLD, "unannounced": 2, "alive": 2}):
        one.take(told, 7.5)
    assert sorted(failed) == [("quotes", "lost"), ("quotes", "unannounced"), ("quotes", "unannounced")]


class Ending(Swarm):
    """A program that tells once, and ends or stays."""

    def command(self) -> list[str]:
        stays = "import sys, time; print('{\"up\":3}', flush=True); time.sleep(float(sys.argv[1]))"
        return [sys.executable, "-S", "-c", stays, str(self.seconds)]


def test_a_swarm_that_ends_by_itself_is_a_failure() -> None:
    failed: list[tuple[str, str]] = []
    ending = Ending(port=1, conns=3, messages=(), seconds=0.0)
    Volume(ending, Statistics(), lambda name, what: failed.append((name, what))).run()
    assert failed == [("run", "the swarm ended with 0")]


def test_one_that_is_stopped_is_none() -> None:
    up = threading.Event()

    class Watched(Volume):
        def take(self, told: dict[str, Any], now_s: float) -> None:
            up.set()

    one = Watched(
        replace(Ending(port=1, conns=3, messages=()), seconds=600.0), Statistics(), lambda *_: pytest.fail("no failure")
    )
    thread = threading.Thread(target=one.run)
    thread.start()
    assert up.wait(30.0)
    one.stop()
    thread.join(30.0)
    assert not thread.is_alive()


def test_it_reads_the_gateway_of_the_users() -> None:
    asked = volume.swarm_of("http://127.0.0.1:8000", 500, ["BTC/USDT"])
    assert (asked.port, asked.conns) == (8000, 500)
    assert asked.tell_every_ms > 0
    with pytest.raises(ValueError, match="a gateway of this machine"):
        volume.swarm_of("https://example.org", 1, ["BTC/USDT"])
