"""What waits for one socket, and the sweep that writes each touched socket once."""

from typing import Protocol

from _speedups.fanout import Fanout, Stream

class Writer(Protocol):
    """The part of an asyncio transport that an outbox uses."""

    def write(self, data: bytes) -> None: ...

class Owner(Protocol):
    """Whoever owns the socket."""

    def on_overflow(self) -> None:
        """Called once from the loop: more than `queue_bytes_max` of replies or critical data would wait. Close it."""

class Outbox:
    """What waits for one socket. Replies leave before data; nothing here ever waits."""

    queued_bytes: int
    blocked: bool
    finished: bool

    def __init__(
        self,
        fanout: Fanout,
        fd: int,
        transport: Writer,
        owner: Owner,
        *,
        room: int = 1,
        counts_messages: bool = True,
        counts_bytes: bool = True,
    ) -> None:
        """`fd` >= 0: plain TCP, written by send(2), the remainder handed to `transport.write`; -1: always `transport`.
        `room`: so many times as much may wait as for a client; what `Fanout.counters` tells is
        how many messages go to clients, and how many bytes, sends and replies from this process.

        The transport's write limits must be `high=0`, so that it calls `pause` as soon as it holds a byte back.
        """

    def reply(self, frame: bytes) -> None:
        """Send a finished frame ahead of all data: at once when the socket takes it, with the data that waits, in one
        call. Ignored after `finish`."""

    def finish(self, frame: bytes, *, drop: bool = False) -> None:
        """Let `frame` (a CLOSE) be the last thing sent, behind what waits (or instead of it); leave every stream."""

    def pause(self) -> None:
        """The transport holds bytes back: send nothing until `resume`."""

    def resume(self) -> None:
        """The transport is empty again: send what waits, then announce and catch up what was skipped."""

    def discard(self) -> None:
        """The socket is gone: drop what waits, leave every stream. Call before the descriptor can be reused."""

    def streams(self) -> list[Stream]: ...
