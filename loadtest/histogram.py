"""From the swarm's buckets to a percentile curve, and the places where such curves have their marks.

Pure. The buckets are those of an HDR histogram: narrow where values are small, 3 % of the value everywhere else. A
bucket goes by its upper edge, so that no percentile is better than the true one.
"""

from __future__ import annotations

import math
from collections import Counter
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


def upper_ms(lower_ms: float, max_ms: float) -> float:
    """Where the compiled clients' bucket ends that begins here, or the highest there was: 1 us buckets up to 64 us,
    then 32 a power of two. Of nothing, which they say with a negative number, it is no number."""
    if lower_ms < 0:
        return math.nan
    us = round(lower_ms * 1e3)
    return min(us + (1 << max(0, us.bit_length() - 6)), max_ms * 1e3) / 1e3


def since(former: Sequence[tuple[int, int]], later: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What was counted between two looks at the same buckets."""
    more = Counter(dict(later))
    more.subtract(dict(former))
    return sorted((bound, count) for bound, count in more.items() if count)


def spread(buckets: Sequence[tuple[int, int]], share: float) -> float:
    """A percentile of the gateway's own buckets, `(upper bound, count)`, 16 a power of two: where it is if what is in a
    bucket is spread evenly. Not a number of nothing."""
    wanted, seen = share * sum(count for _bound, count in buckets), 0
    for bound, count in buckets:
        if count and seen + count >= wanted:
            narrower = max(0, bound.bit_length() - 5)
            begins = bound >> narrower << narrower
            return begins + (bound + 1 - begins) * (wanted - seen) / count
        seen += count
    return math.nan


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
