"""Whether locust's users are themselves the bottleneck: how late a greenlet wakes, and what CPU the process got.

Holds the measurement in one process of locust, and how those of several become one. Must not import locust: who does
patches every socket of the process.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

from loadtest import cpu

KIND = "client"
EVERY_S = 0.1
SHARE = 0.99
Figures = dict[str, float | None]


class Pulse:
    """One process: a greenlet that asks to be woken every tenth of a second, and is when all others let it."""

    def __init__(
        self,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        late: Callable[[float], object],  # is told how late it was, ms
        given: Callable[[], cpu.Given] = cpu.given,
    ) -> None:
        self._sleep = sleep
        self._late = late
        self._clock = clock
        self._given = given
        self._began = given()
        self._late_ms: Counter[int] = Counter()

    def run(self, beats: int | None = None) -> None:
        """Until it is killed, or so often."""
        while beats is None or sum(self._late_ms.values()) < beats:
            due_s = self._clock() + EVERY_S
            self._sleep(EVERY_S)
            late_ms = max(0.0, 1e3 * (self._clock() - due_s))
            self._late_ms[math.ceil(late_ms)] += 1
            self._late(late_ms)

    def figures(self) -> Figures:
        """By the names that tell a bottleneck; the lag to a whole ms, upwards, and None before the first beat."""
        shares = cpu.shares(self._began, self._given())
        return {
            "client_cpu_share": shares.cpu,
            "client_waited_share": shares.waited,
            "client_lag_p99_ms": self._lag_ms(),
        }

    def _lag_ms(self) -> float | None:
        left = SHARE * sum(self._late_ms.values())
        for late_ms, count in sorted(self._late_ms.items()):
            left -= count
            if left <= 0:
                return float(late_ms)
        return None


def worst(of_each: Iterable[Figures]) -> Figures:
    """Of several processes: each figure as it is where it is largest, since one that is full holds its users up."""
    found: Figures = {}
    for figures in of_each:
        for name, value in figures.items():
            if value is not None and value >= (found.get(name) or 0.0):
                found[name] = value
            else:
                found.setdefault(name, None)
    return found
