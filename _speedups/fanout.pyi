"""Offer one update to many sockets and write each touched socket once (design: flow 1 and flow 3)."""

from collections.abc import Callable
from typing import Any

from _speedups.frame import Form, Update

class Fanout:
    """Owns the dirty streams and dirty outboxes of one event loop, and the flush that writes them."""

    def __init__(
        self,
        call_soon: Callable[..., Any],
        call_later: Callable[..., Any],
        *,
        flush_max_us: int = 8000,
        slice_sends: int = 256,
        queue_state_bytes: int = 65536,
        queue_append_bytes: int = 262144,
        queue_bytes_max: int = 1048576,
    ) -> None: ...
    def flush_now(self) -> None:
        """Write everything that is due, without slices (tests, shutdown)."""
    def counters(self) -> dict[str, int]:
        """updates, frames, bytes, sends, partial_sends, send_errors, conflated, skipped, gaps, overflows, ..."""
    def latency_ns(self) -> list[tuple[int, int]]:
        """(upper bound in ns, count) of t_in to handed-to-kernel, cumulative buckets excluded."""

class Outbox:
    """What waits for one socket. Replies leave before data; nothing here ever waits."""

    tag: Any  # the connection; the fan-out never looks inside
    queued_bytes: int
    sent_bytes: int
    sent_frames: int
    blocked: bool

    def __init__(
        self,
        fanout: Fanout,
        fd: int,
        write: Callable[[bytes], Any],
        on_overflow: Callable[["Outbox"], Any],
        tag: Any = None,
    ) -> None:
        """`fd` >= 0: plain TCP, written by send(2) from C, the remainder handed to `write`; -1: always by `write` (TLS).

        `on_overflow(outbox)` is called (from the loop, once) when more than `queue_bytes_max` would wait.
        """
    def reply(self, frame: bytes) -> None:
        """Queue a finished frame ahead of all data; written at once when the socket takes it."""
    def pause(self) -> None:
        """The transport buffers: send nothing until `resume`."""
    def resume(self) -> None: ...
    def discard(self) -> None:
        """The socket is gone: drop what waits, leave every stream. Must be called before the descriptor is closed."""

class Subscription:
    """One outbox on one stream in one form."""

    outbox: Outbox
    stream: "Stream"
    sequence: int  # the last number offered or announced to this subscriber

class Stream:
    """One sequence: (topic, tier, batch) with its epoch, ring and subscribers."""

    epoch: str
    sequence: int
    subscribers: int
