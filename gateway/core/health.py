"""Whether something that goes on by itself does so: when it last did, how often it failed, and what follows from that.

Pure: the time is passed in, in ns since 1970. Must not know what goes on, nor who asks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ERRORS_MAX: Final = 10  # in a row: so many mean that it does not recover by itself
SILENCE_NS: Final = 300_000_000_000


class Health(NamedTuple):
    """How it is doing; times are None where there was none."""

    last_update_ns: int | None
    error_count: int
    recovery_attempts: int
    is_healthy: bool
    started_at_ns: int | None


class StreamHealth:
    """Of one stream. While it is not wanted nothing is expected of it: only then its silence is no fault."""

    def __init__(self) -> None:
        self._started_ns: int | None = None
        self._updated_ns: int | None = None
        self._errors = 0
        self._recoveries = 0

    def start(self, now_ns: int) -> None:
        """Somebody wants it from now on."""
        self._started_ns = now_ns

    def stop(self) -> None:
        """Nobody does any more; what went wrong is no matter for the next start."""
        self._started_ns = None
        self._errors = 0

    def updated(self, now_ns: int) -> None:
        """It did what it is there for."""
        self._updated_ns = now_ns
        self._errors = 0

    def failed(self) -> None:
        self._errors += 1

    def recovering(self) -> None:
        """It is tried again."""
        self._recoveries += 1

    def at(self, now_ns: int) -> Health:
        """What is to be said of it."""
        is_silent = False
        if self._started_ns is not None:
            heard_ns = max(self._started_ns, self._updated_ns or 0)
            is_silent = now_ns - heard_ns >= SILENCE_NS
        is_healthy = self._errors < ERRORS_MAX and not is_silent
        return Health(self._updated_ns, self._errors, self._recoveries, is_healthy, self._started_ns)
