"""systemd's side played by the test: sockets that are passed, and what is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import TickwireError
from gateway.systemd import Notifier, inherited_socket


def passed(count: int = 1, pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "tickwire", "HOME": "/"}


def test_the_socket_that_was_passed_is_taken_and_no_child_gets_it() -> None:
    environ = passed()
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        os.set_inheritable(theirs.fileno(), True)
        ours = inherited_socket(environ, first=theirs.fileno())
        assert ours is not None
        assert ours.getsockname() == theirs.getsockname()
        assert not os.get_inheritable(ours.fileno())
        assert environ == {"HOME": "/"}
        ours.detach()


@pytest.mark.parametrize("environ", [{}, passed(0), passed(1, pid=1)], ids=["no systemd", "none", "another process's"])
def test_where_nothing_was_passed_to_us_there_is_none(environ: dict[str, str]) -> None:
    assert inherited_socket(environ) is None
    assert "LISTEN_FDS" not in environ


def test_anything_else_than_one_listening_socket_is_said() -> None:
    with pytest.raises(TickwireError, match="passes 2 sockets"):
        inherited_socket(passed(2))
    with (
        socket.socket() as unbound,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        for wrong in (unbound, local, datagrams):
            with pytest.raises(TickwireError, match="no listening TCP socket"):
                inherited_socket(passed(), first=wrong.fileno())


class Systemd:
    """Its end of the notification socket."""

    def __init__(self, folder: Path, address: str) -> None:
        self.address = address or str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address.replace("@", "\0"))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        try:
            while True:
                found.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return found


class Loop:
    """Timers that fire when told to."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, after_s: float, callback: Callable[[], None]) -> Loop:
        self.due.append((after_s, callback))
        return self

    def cancel(self) -> None:
        self.due.clear()


@pytest.fixture(name="systemd", params=["", f"@tickwire-test-{os.getpid()}"], ids=["a file", "a name"])
def _systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path, request.param)
    yield made
    made.socket.close()


def test_how_far_we_are_is_told(systemd: Systemd) -> None:
    loop = Loop()
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address}, loop.call_later)
    notifier.ready()
    assert systemd.heard() == ["READY=1"]
    notifier.reloading()
    (told,) = systemd.heard()
    first, second = told.split("\n")
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert systemd.heard() == ["STOPPING=1"]
    assert loop.due == []


def test_a_watchdog_hears_from_the_loop_twice_as_often_as_it_must(systemd: Systemd) -> None:
    loop = Loop()
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ, loop.call_later)
    notifier.ready()
    for _ in range(3):
        ((after_s, callback),) = loop.due
        assert after_s == 5.0
        loop.due.clear()
        callback()
    assert systemd.heard() == ["READY=1", *["WATCHDOG=1"] * 4]
    notifier.close()
    assert loop.due == []
    other = Notifier({**environ, "WATCHDOG_PID": "1"}, loop.call_later)
    other.ready()
    assert systemd.heard() == ["READY=1"]


def test_without_systemd_nothing_is_told_and_a_deaf_one_ends_nothing(tmp_path: Path) -> None:
    loop = Loop()
    with capture_logs() as logs:
        Notifier({}, loop.call_later).ready()
        assert logs == []
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, loop.call_later).ready()
    assert logs[0]["what"] == "READY"
