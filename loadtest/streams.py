"""What a client of the stream dialect holds each stream against: the position it is at, and what was announced.

Pure: messages come in as they were read, requests go out to be sent. Must not know sockets, nor which program uses it.
The rules are those of docs/protocol.md, "What a client does".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Position = tuple[str, int]  # epoch, the last number taken
Stream = tuple[str, str]  # channel, symbol; of a private channel the account's number
PRIVATE = ("orders", "deals", "positions")
BOOK = "book"  # whose updates name the number that they are applied to


class RefusedError(Exception):
    """The gateway answered with an error, or would not serve a symbol."""


@dataclass
class Count:
    """What came, over all streams."""

    updates: int = 0
    announced: int = 0  # numbers that a gap named
    resynced: int = 0  # at least so many of what a client missed that was away while the epoch ended
    unannounced: int = 0  # numbers that never came and that no gap named
    repeated: int = 0
    misfit: int = 0  # updates of a book that are to be applied to another number than it stands at
    epochs: int = 0  # times a stream began anew, announced
    resumed: int = 0
    replayed: int = 0
    too_late: int = 0  # resumes in an epoch that had ended meanwhile
    not_recovered: int = 0  # resumes in the present epoch that the gateway could not serve


class Streams:
    """The streams of one client; positions outlive its connections."""

    def __init__(self) -> None:
        self.count = Count()
        self.positions: dict[Stream, Position] = {}
        self._replayed_to: dict[Stream, Position] = {}

    def subscribe(self, channel: str, symbols: list[str], **options: Any) -> dict[str, Any]:
        """The request, going on from where the client is in those of the streams that it was in; `symbols` are the
        numbers of accounts in a private channel."""
        at = {name: self.positions[channel, name] for name in symbols if (channel, name) in self.positions}
        resume = {name: {"epoch": epoch, "sequence": sequence} for name, (epoch, sequence) in at.items()}
        more = {"resume": resume} if resume else {}
        about = {"account_ids": list(map(int, symbols))} if channel in PRIVATE else {"symbols": symbols}
        return {"action": "subscribe", "id": 1, "channel": channel, **about, **options, **more}

    def unsubscribe(self, channel: str, symbols: list[str]) -> dict[str, Any]:
        """The request; what still comes before its answer is held against the position as before."""
        return {"action": "unsubscribe", "id": 1, "channel": channel, "symbols": symbols}

    def forget(self) -> None:
        """Begin anew with the next subscription, as a program does that keeps nothing."""
        self.positions.clear()

    def take(self, message: dict[str, Any]) -> bool:
        """Whether it was an update that was not had before. Raises RefusedError."""
        match message["type"]:
            case "subscribed":
                self._subscribed(message["channel"], message["data"])
            case "unsubscribed":
                for name in message["data"]["symbols"]:
                    self.positions.pop((message["channel"], name), None)
            case "gap":
                self._gap(_stream(message["channel"], message), message)
            case "error":
                raise RefusedError(f"{message['code']}: {message['message']}")
            case _ if "sequence" in message:
                return self._update(_stream(message["channel"], message["data"]), message)
        return False

    def is_replay(self, message: dict[str, Any]) -> bool:
        """Whether an update is one that was kept for this client, who was away when it happened."""
        epoch, sequence = self._replayed_to.get(_stream(message["channel"], message["data"]), ("", 0))
        return bool(message["epoch"] == epoch and message["sequence"] <= sequence)

    def _subscribed(self, channel: str, data: dict[str, Any]) -> None:
        if data["errors"]:
            raise RefusedError(f"{channel}: {data['errors']}")
        for name, stream in data["streams"].items():
            if stream["recovered"]:
                self.count.resumed += 1
                self.count.replayed += stream["replayed"]
                self._replayed_to[channel, name] = stream["epoch"], stream["sequence"] + stream["replayed"]
                continue  # the numbers go on from the position that was given
            if stream["recovered"] is False:  # and a gap follows, which is counted there
                at = self.positions.get((channel, name))
                is_ended = at is not None and at[0] != stream["epoch"]
                self.count.too_late += is_ended
                self.count.not_recovered += not is_ended
            self.positions[channel, name] = stream["epoch"], stream["sequence"]

    def _gap(self, stream: Stream, gap: dict[str, Any]) -> None:
        epoch, sequence = self.positions.get(stream, (gap["epoch"], gap["from"] - 1))
        if epoch == gap["epoch"]:
            self.count.unannounced += max(0, gap["from"] - sequence - 1)
            self.positions[stream] = epoch, max(sequence, gap["to"])
        if "new_epoch" in gap:
            self.count.epochs += 1
            self.positions[stream] = gap["new_epoch"], 0
        if gap["reason"] == "resync":  # the gateway had them
            self.count.resynced += gap["to"] - gap["from"] + 1
        elif "new_epoch" not in gap:
            self.count.announced += gap["to"] - gap["from"] + 1

    def _update(self, stream: Stream, message: dict[str, Any]) -> bool:
        epoch, sequence = message["epoch"], message["sequence"]
        at = self.positions.get(stream)
        if message["kind"] == "snapshot" and at == (epoch, sequence):
            return False  # the state, for who has just joined
        self.positions[stream] = epoch, sequence
        if at is not None and at[0] != epoch:
            self.count.unannounced += 1  # nobody said that the epoch ended
        elif at is not None and sequence <= at[1]:
            self.count.repeated += 1
            self.positions[stream] = at
            return False
        elif at is not None:
            self.count.unannounced += sequence - at[1] - 1
            if stream[0] == BOOK and message["kind"] == "update":  # one that names no number can be applied to nothing
                self.count.misfit += message["data"].get("prev_sequence") != at[1]
        self.count.updates += 1
        return True


def _stream(channel: str, named: dict[str, Any]) -> Stream:
    return channel, str(named["account_id"]) if channel in PRIVATE else named["symbol"]
