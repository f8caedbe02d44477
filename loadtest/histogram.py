"""From the swarm's buckets to a percentile curve, and the places where such curves have their marks.

Pure. The buckets are those of an HDR histogram: narrow where values are small, 3 % of the value everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from loadtest.outcome import Curve

MARKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def curve(buckets: Sequence[tuple[float, int]]) -> Curve:
    """One point for each bucket, `(us, count)`, ascending: this share of all took no longer than these ms."""
    total = sum(count for _us, count in buckets)
    sums = accumulate(count for _us, count in buckets)
    return [(had / total, us / 1e3) for (us, _count), had in zip(buckets, sums, strict=True)]


def nines(share: float, most: float) -> float:
    """Where a share stands on an axis that gives each further nine the same room; all of them are at `most`."""
    return most if share >= 1.0 else min(most, -math.log10(1.0 - share))


def nines_of(points: Curve) -> float:
    """How far the axis must reach: half a nine beyond the last share that is not all."""
    return 0.5 + max((-math.log10(1.0 - share) for share, _ms in points if share < 1.0), default=0.0)


def word(share: float) -> str:
    """A mark as it is read: 99.9 %."""
    return f"{100 * share:.6f}".rstrip("0").rstrip(".") + " %"
