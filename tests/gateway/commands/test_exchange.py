"""The simulated exchange as a child process: ready, refused, and never left behind."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from gateway.commands.exchange import ExchangeProcess, exchange
from gateway.commands.failure import CommandError

ARGUMENTS = ("--synthetic", "--symbols", "2", "--port", "0")


@pytest.fixture
def process() -> Iterator[ExchangeProcess]:
    child = ExchangeProcess(ARGUMENTS)
    yield child
    child.stop()


def test_it_says_where_it_listens_and_stops(process: ExchangeProcess) -> None:
    url = process.wait_ready()
    with urllib.request.urlopen(f"{url}/api/v3/ping", timeout=10) as response:
        assert response.status == 200
    process.stop()
    process.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/api/v3/ping", timeout=10)


def test_its_end_is_told_once_also_to_who_asks_later(process: ExchangeProcess) -> None:
    process.wait_ready()
    told = threading.Event()
    process.on_end(told.set)
    assert not process.has_ended
    process._process.kill()
    assert told.wait(10)
    assert process.has_ended
    again = threading.Event()
    process.on_end(again.set)
    assert again.is_set()


def test_who_stops_it_is_not_told(process: ExchangeProcess) -> None:
    process.wait_ready()
    told = threading.Event()
    process.on_end(told.set)
    process.stop()
    assert not told.is_set()


def test_one_that_cannot_start_is_told_with_its_own_words(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = ExchangeProcess(["--synthetic", "--port", str(taken.getsockname()[1])])
        with pytest.raises(CommandError, match="ended with exit code 1; the lines above say why"):
            process.wait_ready()
    assert "cannot listen" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans only on Linux")
def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    code = (
        "import sys, threading; from gateway.commands.exchange import ExchangeProcess; "
        f"child = ExchangeProcess({ARGUMENTS!r}); child.wait_ready(); print(child._process.pid, flush=True); "
        "threading.Event().wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        # A pidfd is readable once its process has ended.
        assert select.select([child], [], [], 30)[0], "the exchange is still there"
    finally:
        os.close(child)


def test_the_command_becomes_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda path, argv: became.append((path, argv)))
    exchange("--port", "0", "--help")
    assert became == [(sys.executable, [sys.executable, "-m", "loadtest.exchange", "--port", "0", "--help"])]


def test_it_hears_no_interrupt_meant_for_us(process: ExchangeProcess) -> None:
    process.wait_ready()
    assert os.getpgid(process._process.pid) != os.getpgid(0)
