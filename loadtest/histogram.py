"""From the swarm's buckets to a percentile curve, and the places where such curves have their marks.

Pure. The buckets are those of an HDR histogram: narrow where values are small, 3 % of the value everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from loadtest.outcome import Curve

TOLD = (0.5, 0.99, 0.999, 1.0)  # all that a client without a histogram tells
MARKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def curve(buckets: Sequence[tuple[float, int]]) -> Curve:
    """One point for each bucket, `(us, count)`, ascending: this share of all took no longer than these ms."""
    total = sum(count for _us, count in buckets)
    sums = accumulate(count for _us, count in buckets)
    return [(had / total, us / 1e3) for (us, _count), had in zip(buckets, sums, strict=True)]


def told(p50_ms: float, p99_ms: float, p999_ms: float, max_ms: float) -> Curve:
    """Of a client that tells no more."""
    return list(zip(TOLD, (p50_ms, p99_ms, p999_ms, max_ms), strict=True))


def percentile(points: Curve, share: float) -> float | None:
    """The least ms of a point that this share did not exceed; nothing of what was told without it."""
    exact = dict(points)
    return exact.get(share) if tuple(exact) == TOLD else next((ms for had, ms in points if had >= share), None)


def nines(share: float, most: float) -> float:
    """Where a share stands on an axis that gives each further nine the same room; all of them are at `most`."""
    return most if share >= 1.0 else min(most, -math.log10(1.0 - share))


def nines_of(points: Curve) -> float:
    """How far the axis must reach: half a nine beyond the last share that is not all."""
    return 0.5 + max((-math.log10(1.0 - share) for share, _ms in points if share < 1.0), default=0.0)


def word(share: float) -> str:
    """A mark as it is read: 99.9 %."""
    return f"{100 * share:.6f}".rstrip("0").rstrip(".") + " %"
