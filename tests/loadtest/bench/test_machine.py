"""What is read of this machine is true of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from loadtest.bench import machine


def test_describe_names_what_matters() -> None:
    found = machine.describe(1_234)
    assert found.cores == os.cpu_count()
    assert found.open_files_max == 1_234
    assert found.versions["picows"]
    assert json.dumps(found.as_dict())


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


def test_a_free_port_can_be_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", machine.free_port()))


def test_memory_of_a_process() -> None:
    assert machine.rss_kib(os.getpid()) > 5_000


def test_waiting_for_ports_ends() -> None:
    assert machine.ports_waiting() >= 0
    assert machine.wait_for_ports(10**9) < 1.0
    assert machine.wait_for_ports(-1, timeout_s=0.0) < 1.0
