"""One stream: what makes it different from others, where it stands, and who is told what it brings.

Types only. Must not know messages of the protocol beyond that they are objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

Message = dict[str, Any]

PRIVATE: Final = frozenset({"orders", "deals", "positions"})


class Key(NamedTuple):
    """What makes two streams of a connection different; `name` is a symbol as the server is asked for it, or an id."""

    channel: str
    name: str
    timeframe: str = ""


class Gap(NamedTuple):
    """Numbers that did not come. With `new_epoch` nobody knows how many, and what was known is void."""

    channel: str
    name: str
    reason: str
    epoch: str
    first: int
    last: int
    new_epoch: str | None


class Sink(Protocol):
    """Who is told what a stream brings."""

    symbol: str  # "" of a private stream

    def update(self, message: Message) -> None:
        """The next one, or a snapshot."""

    def gap(self, gap: Gap) -> None:
        """Something is lost for good."""

    def live(self, is_live: bool) -> None:
        """Whether what is known is being kept up to date."""

    def failed(self, code: str, message: str) -> None:
        """The server does not serve it."""

    def fail(self, error: BaseException) -> None:
        """Raise this in who waits for it."""

    def begun(self, stream: Stream) -> None:
        """It is the sink of this stream."""

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        """Give it what comes; of a private stream, only what is about these symbols (of strategies), if any."""

    def unwatch(self, watcher: Any) -> None:
        """No more."""


class Stream:
    """One stream and its position."""

    __slots__ = (
        *("asked", "depth", "epoch", "epochs", "expected", "is_live", "is_waiting", "is_whole", "key", "missing"),
        *("reason", "replay_until", "resends", "sequence", "sink", "users"),
    )

    def __init__(self, key: Key, sink: Sink) -> None:
        self.key = key
        self.sink = sink
        self.users = 0
        self.depth = 0  # of a book
        self.epoch = ""  # none yet
        self.epochs: list[str] = []  # by which messages find it; an epoch that ended is named by its gap once more
        self.sequence = 0
        self.is_live = False  # acknowledged on this connection
        self.is_whole = False  # its state was told, or goes on from what is known: what follows are changes of that
        self.asked: str | None = None  # by which request, not answered yet
        self.is_waiting = False  # to be asked for again, a little later
        self.missing: set[int] = set()  # of trades: asked for once more
        self.reason = ""  # why they are
        self.resends = 0  # of these requests are not answered yet
        self.expected = 0  # so many of the missing will come
        self.replay_until = 0  # of a private stream: up to here it happened before the program came
