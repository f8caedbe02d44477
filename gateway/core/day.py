"""When a trading day begins: at an hour of a time zone, whatever its clocks do.

Holds arithmetic on time that is passed in. Must not know what is counted from there.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

SECOND_NS: Final = 1_000_000_000
ONE: Final = timedelta(days=1)


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises ValueError; `UTC` is known also where there is no database of zones."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown; no name at all; a folder of the database
        raise ValueError("no such time zone: write an IANA name such as Europe/Berlin") from error


class Boundary(NamedTuple):
    """Days of `zone` that begin at `hour` o'clock."""

    zone: tzinfo
    hour: int

    def start_ns(self, now_ns: int) -> int:
        """When the day of this moment began, ns since the epoch."""
        day = datetime.fromtimestamp(now_ns // SECOND_NS, self.zone).date() + ONE
        while (start_ns := self._begins_ns(day)) > now_ns:
            day -= ONE
        return start_ns

    def next_ns(self, now_ns: int) -> int:
        """When the day after it begins."""
        day = datetime.fromtimestamp(now_ns // SECOND_NS, self.zone).date() - ONE
        while (start_ns := self._begins_ns(day)) <= now_ns:
            day += ONE
        return start_ns

    def _begins_ns(self, day: date) -> int:
        return int(datetime.combine(day, time(self.hour), self.zone).timestamp()) * SECOND_NS
