"""When a load tool is itself the bottleneck: its core was full, it did not get the core it wanted, or it was late.

Pure. Knows the figures that tell this by their names, which all tools share. Must not know tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

CPU_BUSY: Final = 0.95  # of a core
WAITED_MAX: Final = 0.05  # of the time: a twentieth of all frames may have waited for the client, far more than a p99
LAG_MAX_MS: Final = 50.0  # p99: of a loop that is late by more no limit of latency says much of a server
LATE_MAX_MS: Final = 5.0  # p99 of orders, which are timed from when they were due: half of what an answer is to take
WITH_MISSED: Final = "its client was the bottleneck"  # what is said with a limit that was missed then


class Sign(NamedTuple):
    """What a figure must be called, how much of it is too much, and what that means."""

    begins: str
    ends: str
    most: float
    means: str


SIGNS: Final = (
    Sign("client_cpu_", "_share", CPU_BUSY, "of a core, so latency and rates are the clients' too"),
    Sign("client_waited_", "_share", WAITED_MAX, "of the time a client could not run, so latency is the machine's too"),
    Sign(
        "client_lag_", "_ms", LAG_MAX_MS, "ms late a client did what it had to, so its latencies are as much too long"
    ),
    Sign("orders_sent_late_", "_ms", LATE_MAX_MS, "ms late orders were sent, so their latencies are as much too long"),
)


def told(figures: Mapping[str, float | None]) -> list[str]:
    """A sentence for each figure that tells it."""
    return [
        f"the suite was the bottleneck: {name} is {value:.2f}: {sign.means}"
        for name, value in figures.items()
        for sign in SIGNS
        if value is not None and name.startswith(sign.begins) and name.endswith(sign.ends) and value > sign.most
    ]


def short(cpu: float, waited: float | None) -> bool:
    """Whether one client was, from its share of a core and the share of the time in which it waited for one."""
    return cpu > CPU_BUSY or (waited or 0.0) > WAITED_MAX


def of_client(name: str, cpu: float, waited: float | None) -> list[str]:
    """A sentence, when the client of what is called so was."""
    return [f"the client was the bottleneck: {name}: {cell(cpu, waited)}"] if short(cpu, waited) else []


def cell(cpu: float, waited: float | None) -> str:
    """A client in a table: its CPU, and what it waited when that is too much."""
    return f"{100 * cpu:.0f} %" + (f", waited {100 * waited:.0f} %" if waited and waited > WAITED_MAX else "")
