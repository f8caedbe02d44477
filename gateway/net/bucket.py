"""How often a peer may do something: a token bucket.

Holds arithmetic only; the time comes in. Must not know what is being limited nor what happens to who asks too often.
"""

from __future__ import annotations


class TokenBucket:
    """`burst` tokens at the start, `rate_per_s` more each second, never above `burst`."""

    __slots__ = ("_burst", "_rate_per_s", "_seen_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._seen_s = now_s

    def charge(self, tokens: int) -> None:
        """Take as many, whether they are there or not: what is owed is refilled first."""
        self._tokens -= tokens

    def take(self, now_s: float) -> float:
        """Take a token and return 0, or return how many seconds it is until there is one."""
        refilled = self._tokens + max(0.0, now_s - self._seen_s) * self._rate_per_s
        self._seen_s = now_s
        self._tokens = min(refilled, self._burst)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s if self._rate_per_s else float("inf")
