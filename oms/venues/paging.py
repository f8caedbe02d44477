"""All trades since a time, page by page, none missed.

Takes a function that fetches a page, in ccxt's words. Must not know an exchange.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from oms.venues.convert import UnclearError

FULL_ROWS: Final = 50  # the shortest full page that an exchange is known to have

Trade = Mapping[str, Any]
# since (ms; None: not asked for) and more params
Fetch = Callable[[int | None, dict[str, Any]], Awaitable[list[dict[str, Any]]]]


async def by_id(fetch: Fetch, since_ms: int, now_ms: int, *, window_ms: int, page_rows: int) -> list[Trade]:
    """Where trades are numbered: by time up to the first one, from there on by number.

    One window at a time: the exchange may list less when none is named. The last one has no end, as clocks differ.
    """
    found: list[Trade] = []
    start_ms = since_ms
    while not found:
        is_last = start_ms + window_ms > now_ms
        until = {} if is_last else {"until": start_ms + window_ms - 1}
        rows = await fetch(start_ms, until)
        found += rows
        if is_last and len(rows) < page_rows:
            return found
        start_ms += window_ms
    while rows := await fetch(None, {"fromId": max(int(row["id"]) for row in found) + 1}):
        found += rows
    return found


async def by_time(fetch: Fetch, since_ms: int, *, full_rows: int = FULL_ROWS) -> list[Trade]:
    """Where they are not: each page begins at the time of the last one's newest, and overlaps with it.

    A page of `full_rows` or more at one time, the longest so far, may hide others. Raises UnclearError then.
    """
    found: dict[tuple[object, int], Trade] = {}
    longest = 0
    while True:
        rows = await fetch(since_ms, {})
        known = len(found)
        alike: Counter[object] = Counter()  # in this page, which has all of the time that it begins with
        for row in rows:
            identity = _identity(row)
            found[identity, alike[identity]] = row
            alike[identity] += not row.get("id")
        longest = max(longest, len(rows))
        newest_ms = max((int(row["timestamp"]) for row in rows), default=since_ms)
        if len(found) == known:
            if full_rows <= len(rows) == longest and all(row["timestamp"] == since_ms for row in rows):
                raise UnclearError(f"{len(rows)} trades at once fill a page: there may be more")
            return list(found.values())
        since_ms = max(since_ms, newest_ms)


def _identity(row: Trade) -> object:
    """Ids alone are not enough: there are exchanges without, and some whose ids ccxt reads as floats."""
    return tuple(row.get(name) for name in ("id", "timestamp", "order", "side", "price", "amount"))
