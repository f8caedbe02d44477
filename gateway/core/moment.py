"""A time as it is written on the wire.

Pure. Must not know what happened then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECOND_MS: Final = 1_000
MS_NS: Final = 1_000_000


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moment(time_ns: int) -> str:
    """ISO 8601 in UTC, cut to the millisecond, such as `2026-02-07T14:30:00.123Z`; `time_ns` since 1970."""
    seconds, rest_ms = divmod(time_ns // MS_NS, SECOND_MS)
    return f"{_second(seconds)}.{rest_ms:03d}Z"
