"""What the benchmark must know of the machine: cores, limits, versions, what a process holds in memory.

Reads the kernel and the environment; must not know workloads, servers or reports.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import random
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")  # of connections, and of who listens on any port
PORT_MIN, PORT_MAX = 20_000, 65_535  # below are services that a machine may have
PORT_TRIES = 100
VERSIONS_OF = ("tickwire", "uvloop", "picows", "aiofastnet", "ccxt", "orjson", "msgspec", "Cython")


@dataclass(frozen=True)
class Machine:
    """Where and with what a run was made."""

    date: str
    revision: str  # the commit the tree is at, with a mark when it was changed; nothing outside a checkout
    cores: int
    cpu: str
    memory_GiB: float  # noqa: N815 - units last, as they are written
    kernel: str
    python: str
    versions: dict[str, str]
    open_files_max: int
    load_before: float  # the one-minute load average before the run: how quiet the machine was


def describe(open_files_max: int) -> Machine:
    """Read it all once, before the run."""
    return Machine(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        revision=_revision(Path(__file__).parent),
        cores=os.cpu_count() or 1,
        cpu=_cpu_model(),
        memory_GiB=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={name: version for name in VERSIONS_OF if (version := version_of(name))},
        open_files_max=open_files_max,
        load_before=round(os.getloadavg()[0], 2),
    )


def version_of(distribution: str) -> str:
    """An installed distribution's version, or nothing."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def server_cpu() -> int:
    """The core servers run on: the first we may use."""
    return min(os.sched_getaffinity(0))


def client_cpu() -> int:
    """The core clients run on: the last we may use (the same one on a single core)."""
    return max(os.sched_getaffinity(0))


def core_idle_s(cpu: int) -> float:
    """How long a core has had nothing to do since the machine was started, or waited for a disk (proc_stat(5))."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *jiffies = line.split()
        if name == f"cpu{cpu}":
            return (int(jiffies[3]) + int(jiffies[4])) / os.sysconf("SC_CLK_TCK")
    raise ValueError(f"no core {cpu}")


def on_cpu(cpu: int) -> tuple[str, ...]:
    """Words before a command that pin it and everything it starts to one core."""
    pin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execvp(sys.argv[2], sys.argv[2:])"
    return (sys.executable, "-S", "-c", pin, str(cpu))


def realtime() -> tuple[str, ...]:
    """Words before a command that put it ahead of ordinary processes, where that is allowed.

    A prober shares its core with the swarm; without this it would measure the swarm's reading, not the reply.
    """
    boost = (
        "import os, sys\n"
        "try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))\n"
        "except PermissionError: pass\n"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return (sys.executable, "-S", "-c", boost)


def free_port() -> int:
    """A port nobody listens on now, and none that the kernel gives to whoever asks for any: it stays free for the
    seconds that the server which it is meant for needs to start. Raises OSError when there is none."""
    first, last = map(int, EPHEMERAL.read_text(encoding="ascii").split())
    ports = [port for port in range(PORT_MIN, PORT_MAX + 1) if not first <= port <= last] or [0]
    for port in random.SystemRandom().sample(ports, min(len(ports), PORT_TRIES)):
        with closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError(f"none of {PORT_TRIES} ports is free")


def ports_waiting() -> int:
    """Closed connections whose ports are still kept (TIME_WAIT)."""
    text = Path("/proc/net/sockstat").read_text(encoding="ascii")
    return int(text.partition("TCP:")[2].partition(" tw ")[2].split()[0])


def wait_for_ports(waiting_max: int, timeout_s: float = 70.0) -> float:
    """Until few enough ports are kept: with many, connecting takes the kernel many times as long. Seconds waited."""
    began = time.monotonic()
    while ports_waiting() > waiting_max and time.monotonic() - began < timeout_s:
        time.sleep(0.5)
    return time.monotonic() - began


def rss_kib(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _revision(folder: Path) -> str:
    words = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return done.stdout.strip()
