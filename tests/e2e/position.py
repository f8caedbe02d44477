"""What a careful client holds every message of one stream against, and the order book it rebuilds from the wire text.

Pure: messages in, AssertionError out. Written from the protocol alone; imports nothing of ours.
"""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any, NamedTuple

Message = dict[str, Any]
REASONS = {"slow_consumer", "upstream", "resync", "rate"}


class Gap(NamedTuple):
    """A hole that was announced; `new_epoch` when numbers begin anew."""

    epoch: str
    first: int
    last: int
    reason: str
    new_epoch: str | None


class Level(NamedTuple):
    """Price and size as they stand in the JSON."""

    price: str
    size: str


class BookCopy:
    """Both sides of a book, kept as text: what the checksum is made of."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.valid = False  # from a snapshot until the next gap
        self.checksums = 0  # verified
        self.keep = True
        self.history: list[tuple[list[Level], list[Level]]] = []  # both sides after each message
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}

    def bids(self) -> list[Level]:
        """Best first."""
        return [Level(price, self._bids[price]) for price in sorted(self._bids, key=float, reverse=True)]

    def asks(self) -> list[Level]:
        return [Level(price, self._asks[price]) for price in sorted(self._asks, key=float)]

    def sides(self) -> tuple[list[Level], list[Level]]:
        return self.bids(), self.asks()

    def apply(self, kind: str, data: Message, sequence: int) -> None:
        """One message's data, numbers as text."""
        if kind == "snapshot":
            self._bids, self._asks = {}, {}
            self.valid = True
        else:
            assert self.valid, "an update without a snapshot before it"
            assert int(data["prev_sequence"]) == sequence - 1
        for side, levels in ((self._bids, data["bids"]), (self._asks, data["asks"])):
            for price, size in levels:
                if size == "0":
                    side.pop(price, None)
                else:
                    side[price] = size
        bids, asks = self.bids(), self.asks()
        assert len(bids) <= self.depth
        assert len(asks) <= self.depth
        assert not bids or not asks or float(bids[0].price) < float(asks[0].price), "a crossed book was served"
        assert int(data["checksum"]) == checksum(bids, asks), "the rebuilt book is not the server's"
        self.checksums += 1
        if self.keep:
            self.history.append((bids, asks))


def checksum(bids: list[Level], asks: list[Level]) -> int:
    """CRC-32 over the ten best asks, low to high, then the ten best bids, high to low: digits of price, then size."""
    texts = (text for level in [*asks[:10], *bids[:10]] for text in level)
    return zlib.crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def as_text(value: Any) -> Any:
    """A decoded value with every number as its wire text: what msgpack does not carry."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, float):
        text = f"{Decimal(repr(value)):f}"
        return text.removesuffix(".0")
    return str(value) if isinstance(value, int) else value


def text_of(raw: str | bytes) -> Message:
    """JSON with every number as the characters that stand there."""
    return dict(json.loads(raw, parse_float=str, parse_int=str))


class Stream:
    """One stream: where it stands, what was missed, and what came, each number at most once and in order."""

    def __init__(self, channel: str, symbol: str, epoch: str, sequence: int, *, depth: int = 0) -> None:
        self.channel = channel
        self.symbol = symbol
        self.epoch = epoch
        self.sequence = sequence
        self.gaps: list[Gap] = []
        self.messages: list[Message] = []  # in order of arrival, resent ones not among them
        self.count = 0  # of messages, also when they are not kept
        self._keep = True
        self.missing: set[int] = set()  # of this epoch, announced and not resent
        self.resent: dict[int, Message] = {}
        self.book = BookCopy(depth) if channel == "book" else None
        self._served = True  # the state as of `sequence` is known; False: a snapshot may still tell it
        self._asked: set[int] = set()  # resends under way

    def forgetful(self) -> None:
        """From now on only verify and count: a flood is not kept."""
        self._keep = False
        if self.book is not None:
            self.book.keep = False

    def joined(self) -> None:
        """Freshly subscribed: a snapshot as of the ack's number may follow."""
        self._served = False

    def ask(self, first: int, last: int) -> None:
        """These numbers are about to be sent again, those that the server still has."""
        self._asked.update(range(first, last + 1))

    def gap(self, message: Message) -> Gap:
        """An announced hole: it begins exactly behind the newest number."""
        gap = Gap(message["epoch"], message["from"], message["to"], message["reason"], message.get("new_epoch"))
        assert gap.epoch == self.epoch
        assert self.sequence + 1 == gap.first <= gap.last, (gap, self.sequence)
        assert gap.reason in REASONS
        self.gaps.append(gap)
        self.sequence = gap.last
        self.missing.update(range(gap.first, gap.last + 1))
        self._served = False
        if self.book is not None:
            self.book.valid = False
        if gap.new_epoch is not None:
            assert gap.new_epoch != self.epoch
            self.epoch, self.sequence = gap.new_epoch, 0
            self.missing.clear()
            self._asked.clear()
        return gap

    def take(self, message: Message, text: Message | None) -> None:
        """An update or a snapshot; `text` is the same with numbers as text, where there is a book."""
        sequence, kind = message["sequence"], message["kind"]
        assert kind in {"snapshot", "update"}
        assert message["t_in"] <= message["t_out"]
        if sequence <= self.sequence and sequence in self._asked:
            return self._take_resent(sequence, message)
        if kind == "snapshot" and sequence == self.sequence and not self._served:
            pass  # the state as of a number that is accounted for
        else:
            assert sequence == self.sequence + 1, f"{self.channel} {self.symbol}: {sequence} after {self.sequence}"
            self.sequence = sequence
        self._served = True
        if self.book is not None:
            assert text is not None
            items = text["data"] if text["type"] == "batch" else [text["data"]]
            assert len(items) == 1, "the changes of an interval are merged"
            self.book.apply(kind, items[0], sequence)
        self.count += 1
        if self._keep:
            self.messages.append(message)
        return None

    def _take_resent(self, sequence: int, message: Message) -> None:
        self._asked.discard(sequence)
        self.missing.discard(sequence)
        self.resent[sequence] = message

    @property
    def data(self) -> list[Message]:
        """The data of what came, batches opened."""
        return [
            item
            for message in self.messages
            for item in (message["data"] if message["type"] == "batch" else [message["data"]])
        ]
