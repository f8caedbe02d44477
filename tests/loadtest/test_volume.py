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
    num_failures: int = 0
    total_response_time: float = 0.0
    min_response_time: float | None = None
    max_response_time: float = 0.0
    response_times: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    num_reqs_per_sec: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    num_fail_per_sec: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    last_request_timestamp: float | None = None


@dataclass
class Failure:
    method: str
    name: str
    error: str
    occurrences: int = 0


class Statistics:
    def __init__(self) -> None:
        self.total = Entry()
        self.entries: dict[str, Entry] = defaultdict(Entry)
        self.errors: dict[str, Failure] = {}
        self.calls = 0

    def get(self, name: str, method: str) -> Entry:
        assert method == "swarm"
        return self.entries[name]

    def log_error(self, method: str, name: str, error: str) -> None:
        """As locust does, once."""
        self.calls += 1
        for entry in (self.entries[name], self.total):
            entry.num_failures += 1
        self.errors.setdefault(f"{method} {name} {error}", Failure(method, name, error)).occurrences += 1

    def failed(self) -> dict[str, int]:
        return {f"{each.name} {each.error}": each.occurrences for each in self.errors.values()}


TOLD: dict[str, Any] = {
    "conns": 3,
    "lost": 0,
    "given_up": 0,
    "unannounced": 0,
    "repeated": 0,
    "since_us": [[400.0, 2], [123456.0, 1]],
}
SWARM = Swarm(port=1, conns=3, messages=())


def test_what_was_measured_is_added_in_bulk() -> None:
    statistics = Statistics()
    one = Volume(SWARM, statistics)
    one.take({"up": 3}, 7.5)
    one.take(TOLD, 7.5)
    one.take({**TOLD, "since_us": [[400.0, 1]]}, 8.5)
    for entry in (statistics.entries["quotes"], statistics.total):
        assert entry.num_requests == 4
        assert entry.response_times == {0: 3, 120: 1}
        assert entry.num_reqs_per_sec == {7: 3, 8: 1}
        assert (entry.min_response_time, entry.max_response_time) == (0.4, 123.456)
        assert entry.total_response_time == pytest.approx(124.656)
        assert entry.last_request_timestamp == 8.5
    assert not statistics.errors


def test_what_was_missed_is_a_failure_once() -> None:
    statistics = Statistics()
    one = Volume(SWARM, statistics)
    for told in (TOLD, *[{**TOLD, "unannounced": 2, "lost": 1, "given_up": 1}] * 2):
        one.take(told, 7.5)
    assert statistics.failed() == {"quotes unannounced": 2, "quotes lost": 1, "quotes given_up": 1}


def test_however_many_numbers_are_missing_telling_costs_the_same() -> None:
    statistics = Statistics()
    one = Volume(SWARM, statistics)
    one.take({**TOLD, "unannounced": 10**12}, 7.5)
    one.take({**TOLD, "unannounced": 10**12 + 5}, 8.5)
    assert statistics.calls == 2
    assert statistics.failed() == {"quotes unannounced": 10**12 + 5}
    for entry in (statistics.entries["quotes"], statistics.total):
        assert entry.num_failures == 10**12 + 5
        assert entry.num_fail_per_sec == {7: 10**12 - 1, 8: 4}  # and what locust counts by itself


def test_its_share_of_a_core_and_its_waiting_are_means_of_its_lines() -> None:
    one = Volume(SWARM, Statistics())
    one.take(TOLD, 7.5)
    assert set(one.figures().values()) == {None}
    for cpu, waited in ((0.5, 0.0), (1.0, 0.5)):
        one.take({**TOLD, "client_cpu": cpu, "client_waited": waited}, 8.5)
    assert one.figures() == {"client_cpu_of_swarm_share": 0.75, "client_waited_of_swarm_share": 0.25}


class Ending(Swarm):
    """A program that tells once, and ends or stays."""

    def command(self) -> list[str]:
        stays = "import sys, time; print('{\"up\":3}', flush=True); time.sleep(float(sys.argv[1]))"
        return [sys.executable, "-S", "-c", stays, str(self.seconds)]


def test_a_swarm_that_ends_by_itself_is_a_failure() -> None:
    statistics = Statistics()
    Volume(Ending(port=1, conns=3, messages=(), seconds=0.0), statistics).run()
    assert statistics.failed() == {"run the swarm ended with 0": 1}


def test_one_that_is_stopped_is_none() -> None:
    up = threading.Event()

    class Watched(Volume):
        def take(self, told: dict[str, Any], now_s: float) -> None:
            up.set()

    statistics = Statistics()
    one = Watched(replace(Ending(port=1, conns=3, messages=()), seconds=600.0), statistics)
    thread = threading.Thread(target=one.run)
    thread.start()
    assert up.wait(30.0)
    one.stop()
    thread.join(30.0)
    assert not thread.is_alive()
    assert not statistics.errors


def test_it_reads_the_gateway_of_the_users() -> None:
    asked = volume.swarm_of("http://127.0.0.1:8000", 500, ["BTC/USDT"])
    assert (asked.port, asked.conns) == (8000, 500)
    assert asked.tell_every_ms > 0
    mixed = volume.swarm_of("http://127.0.0.1:8000", 500, ["BTC/USDT", "ETH/USDT"], {"resuming": 5, "slow": 2})
    assert (mixed.resuming, mixed.slow, mixed.stalled, len(mixed.messages)) == (5, 2, 0, 2)
    with pytest.raises(ValueError, match="a gateway of this machine"):
        volume.swarm_of("https://example.org", 1, ["BTC/USDT"])
