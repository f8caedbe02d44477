"""How often streams had an update, and the longest that one of them had none: what stops for everybody is seen here.

Pure: updates are handed in with when they came. Must not know sockets, nor which faults there were.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from loadtest.streams import Stream


class Flowed(NamedTuple):
    """Of the streams of one channel."""

    per_s: float  # updates of one of them, on average
    silence_s: float  # of whichever had none for longest, from the beginning and to the end


class Flow:
    """All streams of a client; counts from when it is told to begin."""

    def __init__(self, streams: Collection[Stream]) -> None:
        self._updates = dict.fromkeys(streams, 0)
        self._silence_s = dict.fromkeys(streams, 0.0)
        self._updated_s: dict[Stream, float] = {}
        self._began_s = 0.0

    def begin(self, now_s: float) -> None:
        """What came before does not count."""
        self._began_s = now_s
        self._updates = dict.fromkeys(self._updates, 0)
        self._updated_s = dict.fromkeys(self._updates, now_s)

    def took(self, stream: Stream, now_s: float) -> None:
        """One had an update."""
        if stream in self._updated_s:
            self._updates[stream] += 1
            self._silence_s[stream] = max(self._silence_s[stream], now_s - self._updated_s[stream])
            self._updated_s[stream] = now_s

    def of(self, channel: str, now_s: float) -> Flowed:
        """Up to now; nothing at all before it began."""
        streams = [stream for stream in self._updated_s if stream[0] == channel]
        if not streams or now_s <= self._began_s:
            return Flowed(0.0, 0.0)
        updates = sum(self._updates[stream] for stream in streams)
        quiet_s = (max(self._silence_s[stream], now_s - self._updated_s[stream]) for stream in streams)
        return Flowed(updates / len(streams) / (now_s - self._began_s), max(quiet_s))
