"""Trades of one market, each once: repeats are dropped, holes in numbered ids are noticed.

Pure. Must not know ccxt's classes, keys or the clock.
"""

from __future__ import annotations

from typing import Any, Final

Trade = dict[str, Any]

IDS_MAX: Final = 5_000  # how far back a repeat is known; more than any exchange repeats, or answers to a fetch


class Tape:
    """The memory of one market's trades. `polled`: each list repeats most of the one before."""

    def __init__(self, *, consecutive: bool, polled: bool = False) -> None:
        self._consecutive = consecutive
        self._polled = polled
        self._last: int | None = None
        self._ids: dict[tuple[Any, ...], None] = {}
        self._newest_ms = 0

    def take(self, trades: list[Trade]) -> tuple[list[Trade], bool]:
        """(the trades not seen yet, oldest first; whether some before them are missing)."""
        if len(trades) > 1 and (trades[0].get("timestamp") or 0) > (trades[-1].get("timestamp") or 0):
            trades = trades[::-1]  # some exchanges begin with recent trades, newest first
        if self._consecutive:
            return self._take_numbered(trades)
        known = len(self._ids)
        new = self._take_named(trades)
        # A poll whose oldest trade is new may have missed some before it.
        return new, self._polled and known > 0 and len(new) == len(trades) > 0

    def restart(self) -> None:
        """A new subscription begins: what lies between was announced as lost already."""
        self._last = None

    def _take_numbered(self, trades: list[Trade]) -> tuple[list[Trade], bool]:
        new, hole = [], False
        for trade in trades:
            number = int(trade["id"])
            last = self._last
            if last is not None and number != last + 1:
                if last - IDS_MAX < number <= last:
                    continue
                hole = True  # also a number far back: a new numbering
            self._last = number
            new.append(trade)
        return new, hole

    def _take_named(self, trades: list[Trade]) -> list[Trade]:
        """Repeats come in another list, and whole: ids alone are not enough (htx's are too long for ccxt's numbers)."""
        new, ids, fresh = [], self._ids, []
        newest_ms = self._newest_ms
        for trade in trades:
            name, ts_ms = trade.get("id"), trade.get("timestamp") or 0
            if name is not None:
                identity = (name, ts_ms, trade.get("price"), trade.get("amount"), trade.get("side"))
                if identity in ids:
                    continue
                fresh.append(identity)
            elif self._polled and ts_ms <= newest_ms:  # without ids only the time tells old from new
                continue
            self._newest_ms = max(self._newest_ms, ts_ms)
            new.append(trade)
        for identity in fresh:
            ids[identity] = None
        while len(ids) > IDS_MAX:
            del ids[next(iter(ids))]
        return new
