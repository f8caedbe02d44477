"""What the kernel gave a process: CPU time, and how long it could have run and did not.

Reads the kernel's files. Must not know tools.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple


class Given(NamedTuple):
    """To a process so far, seconds; `at_s` is when it was read, by the monotonic clock."""

    at_s: float
    cpu_s: float
    waited_s: float  # other processes had its core, or other machines


class Shares(NamedTuple):
    """Of the time between two readings."""

    cpu: float
    waited: float


def given(pid: int | None = None) -> Given:
    """To the main thread of a process, our own by default; it may have ended, as long as nobody has waited for it.

    The run queue's wait is the second figure of /proc/PID/schedstat (ns); what other machines took is the eighth of a
    core's line in /proc/stat (ticks), of which the mean of all cores that we may use is taken. Both are 0 where the
    kernel does not tell. Raises FileNotFoundError when there is no such process.
    """
    ran_ns, waited_ns, *_slices = _read(Path(f"/proc/{pid or 'self'}/schedstat")).split()
    return Given(time.monotonic(), int(ran_ns) / 1e9, int(waited_ns) / 1e9 + _stolen_s(os.sched_getaffinity(0)))


def newborn() -> Given:
    """To a process that begins now."""
    return Given(time.monotonic(), 0.0, _stolen_s(os.sched_getaffinity(0)))


def shares(before: Given, after: Given) -> Shares:
    """What it got and what it waited from one reading to the next."""
    seconds = max(1e-9, after.at_s - before.at_s)
    return Shares((after.cpu_s - before.cpu_s) / seconds, (after.waited_s - before.waited_s) / seconds)


def _stolen_s(cores: set[int]) -> float:
    lines = (line.split() for line in _read(Path("/proc/stat")).splitlines())
    ticks = [int(fields[8]) for fields in lines if fields[0] in {f"cpu{core}" for core in cores}]
    return sum(ticks) / max(1, len(ticks)) / os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")
