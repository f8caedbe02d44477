"""What is read of this machine is true of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from loadtest.bench import machine


def test_describe_names_what_matters() -> None:
    found = machine.describe(1_234)
    assert found.cores == os.cpu_count()
    assert found.open_files_max == 1_234
    assert found.versions["picows"]
    assert json.dumps(asdict(found))


def test_a_distribution_that_is_not_there_has_no_version() -> None:
    assert machine.version_of("no-such-distribution") == ""


def test_on_cpu_pins_the_command_and_keeps_its_arguments() -> None:
    cpu = machine.server_cpu()
    shown = "import os, sys; print(sorted(os.sched_getaffinity(0)), sys.argv[1:])"
    words = [*machine.on_cpu(cpu), sys.executable, "-c", shown, "a b", "c"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{[cpu]} ['a b', 'c']"


def test_realtime_runs_the_command_whether_it_is_allowed_or_not() -> None:
    words = [*machine.realtime(), sys.executable, "-c", "print(1)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_free_port_can_be_taken_and_is_none_that_the_kernel_gives_away() -> None:
    first, last = map(int, machine.EPHEMERAL.read_text(encoding="ascii").split())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port := machine.free_port()))
    assert not first <= port <= last


def test_where_the_kernel_gives_all_ports_away_any_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EPHEMERAL", tmp_path / "range")
    machine.EPHEMERAL.write_text("1024\t65535\n", encoding="ascii")
    assert machine.free_port() > 1023


def test_a_port_that_somebody_has_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", machine.free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(machine, "PORT_MIN", port)
        monkeypatch.setattr(machine, "PORT_MAX", port)
        with pytest.raises(OSError, match="is free"):
            machine.free_port()


def test_memory_of_a_process() -> None:
    assert machine.rss_kib(os.getpid()) > 5_000


class HandTime:
    """Stands in for the clock's module: time passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sleeps = 0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.sleeps += 1


@pytest.fixture
def hand_time(monkeypatch: pytest.MonkeyPatch) -> HandTime:
    made = HandTime()
    monkeypatch.setattr(machine, "time", made)
    return made


def test_ports_that_wait_are_read_of_the_kernel() -> None:
    assert machine.ports_waiting() >= 0


def test_waiting_for_ports_ends_when_few_enough_are_kept(monkeypatch: pytest.MonkeyPatch, hand_time: HandTime) -> None:
    kept = iter([5, 5, 0])
    monkeypatch.setattr(machine, "ports_waiting", lambda: next(kept))
    assert machine.wait_for_ports(4) == hand_time.now_s - 100.0
    assert hand_time.sleeps == 2


def test_waiting_for_ports_ends_in_time_when_too_many_stay(
    monkeypatch: pytest.MonkeyPatch, hand_time: HandTime
) -> None:
    monkeypatch.setattr(machine, "ports_waiting", lambda: 5)
    assert machine.wait_for_ports(4, timeout_s=3.0) == 3.0
    assert hand_time.sleeps > 0


def test_a_core_is_idle_for_less_than_the_machine_is_up() -> None:
    up_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    assert 0 < machine.core_idle_s(machine.client_cpu()) < up_s + 1
    with pytest.raises(ValueError, match="no core 99999"):
        machine.core_idle_s(99999)
