"""Stand-ins for the fan-out's neighbours: a loop turned by hand, a transport that holds bytes back on command.

A real loop and kernel decide themselves when a socket blocks; a property test must decide it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from _speedups.fanout import Fanout
from _speedups.frame import DATA, EPOCH, KIND, SEQUENCE, Form, Template
from _speedups.outbox import Outbox
from tests.frames import whole

Message = dict[str, Any]
STATE, APPEND, CRITICAL = 0, 1, 2
PAD = b'"' + b"x" * 60 + b'"'


class ManualLoop:
    """call_soon and call_later as queues that the test empties."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.later: list[tuple[float, Callable[..., Any]]] = []

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self.soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., Any]) -> Any:
        self.later.append((delay, callback))

    def turn(self) -> None:
        """One turn: what was due when it began."""
        due, self.soon = self.soon, []
        for callback, args in due:
            callback(*args)

    def settle(self) -> None:
        """Turn until nothing is due, timers included."""
        while self.soon or self.later:
            self.soon += [(callback, ()) for _, callback in self.later]
            self.later = []
            self.turn()


class JsonForm(Form):
    """The least a codec can be."""

    def template(self, topic: Any) -> Template:
        return Template([b'{"s":', SEQUENCE, b',"e":"', EPOCH, b'","k":"', KIND, b'","d":', DATA, b"}"])

    def gap(self, topic: Any, epoch: str, first: int, last: int, reason: str, new_epoch: str | None) -> bytes:
        return json.dumps({"gap": [first, last], "e": epoch, "why": reason, "new": new_epoch}).encode()


class Peer:
    """A transport and an owner in one: what was written, parsed; blocks when told to."""

    def __init__(self, fanout: Fanout, fd: int = -1) -> None:
        self.outbox = Outbox(fanout, fd, self, self)
        self.written = bytearray()
        self.slow = False
        self.overflowed = 0

    def write(self, data: bytes) -> None:
        assert not self.outbox.blocked, "nothing is written while the transport holds bytes back"
        self.written += data
        if self.slow:
            self.outbox.pause()

    def on_overflow(self) -> None:
        self.overflowed += 1

    def wake(self) -> None:
        self.slow = False
        self.outbox.resume()

    def read(self) -> list[Message]:
        """The messages written since the last call."""
        messages = [json.loads(frame.payload) for frame in whole(bytes(self.written))]
        self.written.clear()
        return messages


class Listener:
    """What a careful client checks: numbers in order, each at most once, every hole announced beforehand."""

    def __init__(self, epoch: str, sequence: int) -> None:
        self.epoch, self.sequence = epoch, sequence
        self.seen: list[tuple[str, int]] = []
        self.skipped: list[tuple[str, int]] = []
        self.newest: Any = None

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            if "gap" in message:
                first, last = message["gap"]
                assert message["e"] == self.epoch
                assert first == self.sequence + 1 <= last
                self.skipped += [(self.epoch, number) for number in range(first, last + 1)]
                self.sequence = last
                if message["new"] is not None:
                    self.epoch, self.sequence = message["new"], 0
            else:
                assert message["e"] == self.epoch
                if message["k"] == "snapshot" and message["s"] == self.sequence:
                    self.newest = message["d"]
                    continue  # as of a number that is known already
                assert message["s"] == self.sequence + 1, (message, self.sequence)
                self.sequence = message["s"]
                self.seen.append((self.epoch, self.sequence))
                self.newest = message["d"]
