"""Latency in the time without faults, from what the compiled client told second by second.

Pure. Must not know what a fault does: it and a little time after it are left out, whichever it was.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from loadtest import histogram
from loadtest.swarm import Buckets
from loadtest.unrest import Injected

TOLD_EVERY_MS = 1_000
LATE_S = 1.0  # what a fault held up has come by then: the answers that are late are so by half a second


def buckets(lines: Iterable[str], injected: Sequence[Injected]) -> Buckets:
    """How many frames took how long from the exchange's time, in the seconds that no fault touches."""
    summed: Counter[float] = Counter()
    for line in lines:
        told = json.loads(line)
        if "since_ex_us" in told and not _touched(told["from_s"], told["until_s"], injected):
            summed.update(dict(told["since_ex_us"]))
    return sorted(summed.items())


def _touched(from_s: float, until_s: float, injected: Sequence[Injected]) -> bool:
    return any(from_s <= fault.until_s + LATE_S and until_s >= fault.from_s for fault in injected)


def percentile_ms(counted: Buckets, share: float) -> float:
    """Not a number of nothing: that meets no limit."""
    return next((ms for had, ms in histogram.curve(counted) if had >= share), math.nan)
