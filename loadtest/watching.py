"""Reading a server's counters while something runs: its messages, its CPU time, its memory.

Knows the kernel's figures of a process and the gateway's status page. Must not know what runs meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.bench.machine import rss_kib
from loadtest.bench.servers import Server
from loadtest.series import Reading
from loadtest.swarm import ToolError

READINGS_MAX = 600  # over a run of any length
READ_EVERY_S_MIN = 0.25


@contextmanager
def watched(server: Server, seconds: float) -> Iterator[list[Reading]]:
    """The server is read while the block runs; the list is whole when the block is left, which raises ToolError when
    the server could not be read."""
    readings = [reading(server)]
    every_s = max(READ_EVERY_S_MIN, seconds / READINGS_MAX)
    with repeated(lambda: readings.append(reading(server)), every_s):
        yield readings


@contextmanager
def repeated(action: Callable[[], object], every_s: float) -> Iterator[None]:
    """The action again and again in a thread while the block runs; ToolError when it failed, since then a part of
    what was to be seen was not. What the block raises itself goes before that."""
    over = threading.Event()
    failures: list[Exception] = []

    def repeat() -> None:
        try:
            while not over.wait(every_s):
                action()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise ToolError(f"the server could not be read during the run: {failures[0]!r}") from failures[0]


def reading(server: Server) -> Reading:
    """The server's counters, as it and the kernel tell them."""
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc_pid_stat(5)
    status = server.status()
    return Reading(time.monotonic(), status.messages, cpu_s, rss_kib(server.pid), status.sends)
