"""Offer one update to many sockets and write each touched socket once (ARCHITECTURE.md, flows 1 and 3)."""

from collections.abc import Callable
from typing import Any

from _speedups.frame import Form, Update
from _speedups.outbox import Outbox

class Fanout:
    """Owns the dirty streams and dirty outboxes of one event loop, and the flush that writes them."""

    def __init__(
        self,
        call_soon: Callable[..., Any],
        call_later: Callable[..., Any],
        *,
        flush_max_us: int = 8000,
        slice_sends: int = 256,
        urgent_slice_sends: int = 8,
        urgent_max_us: int = 250_000,
        send_ns: int = 6_000,
        queue_state_bytes: int = 65536,
        queue_append_bytes: int = 262144,
        queue_bytes_max: int = 1048576,
        settle_us: int = 1000,
    ) -> None: ...
    def urge(self, more: int) -> None:
        """So many more wait for an answer that takes many turns of the loop; so many less, once they have it.

        While there are any, and for `urgent_max_us` from when the last of them came, a slice is `urgent_slice_sends`,
        or as many sends (of `send_ns` each) as fit into what the loop did since the last one."""

    def settle(self) -> None:
        """Flush what is due already, unless flushes follow each other: then it waits for the loop's next turn."""

    def flush_now(self) -> None:
        """Distribute and write everything that is due in one piece (tests, shutdown)."""

    def counters(self) -> dict[str, int]:
        """Counts since the start, by name."""

    def latency_buckets(self) -> list[tuple[int, int]]:
        """(upper bound in ns, count) of t_in to handed-to-kernel; only buckets that have a count."""

class Stream:
    """One sequence with its epoch, ring and subscribers, grouped by form."""

    topic: Any
    epoch: str
    sequence: int
    subscribers: int
    snapshot: Callable[[], tuple[bytes, int | None, int] | None] | None

    def __init__(
        self,
        fanout: Fanout,
        topic: Any,
        epoch: str,
        *,
        delivery: int,
        deltas: bool = False,
        snapshot: Callable[[], tuple[bytes, int | None, int] | None] | None = None,
        on_idle: Callable[[], None] | None = None,
        timed: bool = True,
        ring_depth_updates: int = 1024,
        ring_bytes_max: int = 1048576,
        sequence: int = 0,
    ) -> None:
        """`delivery` is a `Delivery`; `deltas`: an update means nothing without its predecessor (a book).

        `on_idle()` is called when the last subscriber has gone. `timed`: count it in `latency_buckets`.
        `sequence`: the number before the first, of a stream that goes on here.
        `snapshot()` gives the state as of the newest number: (data, t_ex, t_in), or None when there is none.
        """

    def publish(self, data: bytes, t_ex: int | None, t_in: int) -> int:
        """Number `data`, keep it in the ring, and have it sent at the next flush. Returns its sequence.

        Number 1 of a state stream is a snapshot: its data must be the whole state.
        """

    def publish_whole(self, data: bytes, t_ex: int | None, t_in: int) -> int:
        """The same for data that is the whole state, whatever its number: it is sent as a snapshot."""

    def skip(self, last: int, reason: str) -> None:
        """The numbers up to `last` will not come: announce them, forget the ring, and go on behind them.

        Raises ValueError when they have been given.
        """

    @property
    def oldest(self) -> int:
        """The first number that the ring holds; the next one to come when it holds none."""

    def attach(
        self,
        outbox: Outbox,
        form: Form,
        *,
        epoch: str | None = None,
        sequence: int = 0,
        snapshot: bool = True,
        replay: bool = True,
    ) -> tuple[bool | None, int]:
        """Subscribe. With `epoch` and `sequence` (a position to resume from): replays, or announces the gap.

        Without `replay` it announces in any case, as to who has been slow; the newest state follows.
        Returns (recovered, replayed): (None, 0) without a position. Raises ValueError if already attached in this form.
        """

    def detach(self, outbox: Outbox, form: Form | None = None) -> bool:
        """End the subscription in this form; without one, any. Returns whether there was one."""

    def resend(self, outbox: Outbox, first: int, last: int) -> int:
        """Send what the ring still has of first..last again, as far as may wait for the socket; returns how many."""

    def reset(self, epoch: str, reason: str) -> None:
        """Continuity is lost: announce it, forget the ring, start again at 0 in `epoch`."""

    def ring(self, after: int) -> list[Update] | None:
        """Updates after a number, or None when some are no longer there."""
