"""Reading a server's counters while something runs: its messages, its CPU time, its memory.

Knows the kernel's figures of a process and the gateway's status page. Must not know what runs meanwhile.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.bench.machine import rss_kib
from loadtest.bench.servers import Server
from loadtest.series import Reading

READINGS_MAX = 600  # over a run of any length
READ_EVERY_S_MIN = 0.25


@contextmanager
def watched(server: Server, seconds: float) -> Iterator[list[Reading]]:
    """The server is read while the block runs; the list is whole when the block is left."""
    readings = [reading(server)]
    over = threading.Event()
    every_s = max(READ_EVERY_S_MIN, seconds / READINGS_MAX)

    def watch() -> None:
        while not over.wait(every_s):
            readings.append(reading(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield readings
    finally:
        over.set()
        watcher.join()


def reading(server: Server) -> Reading:
    """The server's counters, as it and the kernel tell them."""
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc_pid_stat(5)
    return Reading(time.monotonic(), server.status().messages, cpu_s, rss_kib(server.pid))
