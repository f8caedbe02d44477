"""Connections that have just ended, and what they were subscribed to: for who comes back and goes on.

Holds them for a while, bounded in bytes; the time is passed in. Must not know what a subscription is: that is bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Past(NamedTuple):
    """What a connection left behind. `owner`: the API key it spoke for; None: nobody's."""

    owner: int | None
    body: bytes
    until_s: float


class Remembering:
    """By connection id, the oldest first: all are remembered for as long."""

    def __init__(self, within_s: float, bytes_max: int) -> None:
        self._within_s = within_s
        self._bytes_max = bytes_max
        self._past: OrderedDict[str, Past] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._past)

    def keep(self, connection_id: str, owner: int | None, body: bytes, now_s: float) -> None:
        """It has ended. The oldest are forgotten when there is too much."""
        self._forget(connection_id)
        self._past[connection_id] = Past(owner, body, now_s + self._within_s)
        self.bytes += len(body)
        while self._past and (self.bytes > self._bytes_max or next(iter(self._past.values())).until_s <= now_s):
            self._forget(next(iter(self._past)))

    def find(self, connection_id: str, owner: int | None, now_s: float) -> bytes | None:
        """What it left behind, while that is remembered, for whose it was: found again, should an answer be lost."""
        past = self._past.get(connection_id)
        return past.body if past is not None and past.owner == owner and now_s < past.until_s else None

    def _forget(self, connection_id: str) -> None:
        past = self._past.pop(connection_id, None)
        self.bytes -= len(past.body) if past is not None else 0
