"""An order book's price levels: what changed, its checksum, and both as JSON bytes."""

from collections.abc import Sequence
from typing import Self, final

@final
class Changes:
    """The touched prices of both sides, each with its newest size (0: no such level any more); never changes.

    A receiver that has no level at a deleted price ignores the deletion.
    """

    def __len__(self) -> int:
        """How many prices were touched."""
    def merged(self, later: Changes) -> Changes:
        """These and what happened after; the newest size of a price wins.

        A touched price stays, even back at its old size: so the merged changes are right on every state in between.
        """
    def data(self, symbol: str, exchange: str, prev_sequence: int, checksum: int) -> bytes:
        """{"symbol","exchange","bids","asks","prev_sequence","checksum"}; the checksum holds after these changes."""

@final
class Book:
    """The best `depth` levels of each side."""

    def __new__(cls, depth: int) -> Self: ...
    def replace(self, bids: Sequence[Sequence[float]], asks: Sequence[Sequence[float]]) -> Changes | None:
        """The whole state is now this: lists or tuples [price, size, ..], best first, each price once.

        Prices are positive, sizes not negative, all finite floats or ints; what comes after `depth` levels is not
        looked at. A level of size 0 is no level. Anything else is a ValueError, and the book stays as it was.

        Returns what changed, if anything did.
        """
    def snapshot(self, symbol: str, exchange: str) -> bytes:
        """{"symbol","exchange","bids","asks","checksum"}."""
    def checksum(self) -> int:
        """CRC32 over the top 10: asks low to high, then bids high to low; price then size text, digits only."""
