"""What the hub asks of a source, and what a source asks of the hub.

Holds the two protocols, and what follows from a status. Must not know any exchange, nor how the hub fans out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from _speedups.book import Book, Changes
from gateway.core.key import Key

# Why continuity was lost: the exchange or the way to it, or we threw a state away because it contradicted itself.
Reason = Literal["upstream", "resync"]


class Sink(Protocol):
    """Where updates go. Synchronous: what is passed is encoded already and may be kept."""

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        """One update; `final`: it must not be replaced by a newer one (a closed bar)."""

    def publish_book(self, key: Key, changes: Changes, book: Book, *, t_ex: int | None, t_in: int) -> None:
        """A book's changes since the last call, and the book itself for snapshots."""

    def settle(self) -> None:
        """All that came together has been published: it may leave. Without this it leaves in the loop's next turn."""

    def lost(self, key: Key, reason: Reason) -> None:
        """Updates may have been missed since the last one; the next is the start of a new epoch."""


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one key is doing."""

    key: Key
    state: str  # starting, live, stale, backoff
    since_ns: int  # when that state began
    last_update_ns: int | None
    updates: int
    errors: int
    restarts: int


def is_able(watches: Sequence[WatchStatus], *, started: bool) -> bool:
    """Whether a source can serve: what it watches proves it, and before that that its start succeeded."""
    states = {watch.state for watch in watches}
    return "live" in states or (started and states != {"backoff"})


class Source(Protocol):
    """Where the updates of one configured exchange come from."""

    name: str

    async def start(self) -> None:
        """Comes back once updates can be served, however long the exchange takes; keys may be resolved meanwhile."""

    async def close(self) -> None:
        """Release everything; no update comes after it."""

    async def resolve(self, channel: str, symbol: str, variant: str) -> Key:
        """The key a client means, in one of `CHANNELS`.

        Whoever asks is kept waiting for a few seconds at most. Raises TickwireError: unknown_symbol,
        unsupported_channel, validation_error, .., and exchange_unavailable when the exchange takes longer.
        """

    @property
    def answers_at_once(self) -> bool:
        """`resolve` has nothing to wait for; then `known` does the same without a task."""

    def known(self, channel: str, symbol: str, variant: str) -> Key:
        """`resolve` of a source that answers at once."""

    def acquire(self, key: Key) -> None:
        """Start the one watch of a key that `resolve` gave."""

    def release(self, key: Key) -> None:
        """Stop it."""

    def status(self) -> list[WatchStatus]:
        """One entry per acquired key."""
