"""One private stream of one connection: where it starts, and the task that tells it what is committed, in order.

What was missed is sent in slices, as the socket takes it; a reader that had caught up and falls far behind is closed,
and resumes. Holds one position. Must not know requests, permissions, or where events are kept.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import structlog

from gateway.core.private import Page, Snapshot, View, refusing
from gateway.errors import TickwireError
from gateway.wire import private
from gateway.wire.stream import Position, StreamState

if TYPE_CHECKING:
    from gateway.limits import Limits
    from gateway.net.connection import Connection

log = structlog.get_logger(__name__)

SLICE_EVENTS: Final = 128  # of about 1 kB: what is read, framed and queued in one piece

T = TypeVar("T")


class Start(NamedTuple):
    """Where a stream begins: what the answer says of it, and what is sent before the first event."""

    state: StreamState
    gaps: tuple[tuple[str, int, int, str | None], ...] = ()  # epoch, first, last, new epoch
    snapshot: Snapshot | None = None  # told when the stream has come to its number


async def told(asked: Awaitable[T]) -> T:
    """What the room of accounts answers; its refusals as ours."""
    with refusing():
        return await asked


async def find_start(view: View, position: Position | None, confirmed: int | None, *, wants_state: bool) -> Start:
    """Where the client said it stopped; else behind what its key has confirmed; else now. Raises TickwireError."""
    newest = view.newest
    if position is not None:
        if position.epoch == view.epoch and position.sequence <= newest:
            return Start(StreamState(view.epoch, position.sequence, True, newest - position.sequence))
        snapshot = await told(view.snapshot())
        at = snapshot.sequence
        gaps: list[tuple[str, int, int, str | None]] = []
        if position.epoch != view.epoch:  # what its numbers named is gone, and how much there was is not known
            gaps.append((position.epoch, position.sequence + 1, position.sequence + 1, view.epoch))
        else:  # it has seen what is not there any more, as after a backup: those numbers are given again
            gaps.append((view.epoch, newest + 1, position.sequence, view.epoch))
        if at:
            gaps.append((view.epoch, 1, at, None))
        return Start(StreamState(view.epoch, at, False, 0), tuple(gaps), snapshot)
    found = await told(view.snapshot()) if wants_state else None
    newest = newest if found is None else found.sequence
    if confirmed is not None and confirmed <= newest:
        return Start(StreamState(view.epoch, confirmed, None, newest - confirmed), snapshot=found)
    return Start(StreamState(view.epoch, newest, None, 0), snapshot=found)


class Follower(ABC):
    """What is committed behind a number, told in order for as long as the connection is there. Begun and ended once."""

    def __init__(
        self,
        conn: Connection,
        view: View,
        at: int,
        limits: Limits,
        on_failed: Callable[[TickwireError], None],
        name: str,
    ) -> None:
        """`at`: the first number that is told is behind this; `on_failed` is told why there is no more to come."""
        self.view = view
        self._conn = conn
        self._limits = limits
        self._on_failed = on_failed
        self._name = name
        self._at = at  # looked at up to here
        self._sent = at  # the last number the client has, or was told of
        self._is_live = False  # it had caught up
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def opening(self) -> list[bytes]:
        """The frames of what comes before the first event."""

    @abstractmethod
    def frames(self, page: Page) -> list[bytes]:
        """The frames of what a page tells; moves the position."""

    def begin(self) -> None:
        self.view.listen(self._on_more)
        self._task = asyncio.create_task(self._run(), name=f"private stream {self._conn.id}")

    def end(self) -> None:
        """Nothing more is sent."""
        self.view.unlisten(self._on_more)
        task, self._task = self._task, None  # it keeps where it was cancelled, and so us: freed without the collector
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def wake(self) -> None:
        """There may be more, or room for it."""
        self._more.set()

    def _on_more(self) -> None:
        self._more.set()
        behind = self.view.newest - self._at
        if self._is_live and behind > self._limits.private_behind_events_max and not self._has_room():
            self._conn.on_overflow()  # a trader who does not read is better told than left in the past

    def _has_room(self) -> bool:
        """Market data leaves this much; what is above it is ours, and waits for the socket."""
        outbox = self._conn.outbox
        return not outbox.blocked or outbox.queued_bytes <= self._limits.queue_append_bytes

    async def _run(self) -> None:
        try:
            self._send(self.opening())
            while self._conn.is_open:
                self._more.clear()
                if self._has_room():
                    page = await told(self.view.read(self._at, SLICE_EVENTS))
                    if page.upto > self._at:
                        self._send(self.frames(page))
                        await asyncio.sleep(0)  # a long replay leaves the loop to others
                        continue
                    self._is_live = True
                await self._more.wait()
        except TickwireError as error:
            self._on_failed(error)
        except Exception:
            log.exception("private stream failed", connection_id=self._conn.id, channel=self._name)
            self._on_failed(TickwireError("internal_error", "the server failed on this stream: resume it"))

    def _send(self, frames: list[bytes]) -> None:
        if frames:
            self._conn.outbox.reply(b"".join(frames))


class PrivateStream(Follower):
    """Of the stream dialect: with what a resume cannot bring back, and the state in its place."""

    def __init__(
        self,
        conn: Connection,
        view: View,
        framer: private.Framer,
        listed: private.Listed,
        start: Start,
        limits: Limits,
        on_failed: Callable[[TickwireError], None],
    ) -> None:
        super().__init__(conn, view, start.state.sequence, limits, on_failed, listed.channel)
        self.listed = listed
        self.start = start
        self._framer = framer
        self._snapshot = start.snapshot

    def opening(self) -> list[bytes]:
        return [*(self._framer.gap(*gap) for gap in self.start.gaps), *self._state()]

    def frames(self, page: Page) -> list[bytes]:
        """With the snapshot in its place."""
        t_out = time.time_ns()
        frames: list[bytes] = []
        for event in page.events:
            frames += self._state(event.channel_sequence - 1)
            before = self._sent if self.view.is_partial else None
            frames.append(self._framer.update(self.start.state.epoch, event, before, t_out))
            self._sent = event.channel_sequence
        self._at = page.upto
        return frames + self._state()

    def _state(self, at: int | None = None) -> list[bytes]:
        """The snapshot, when the stream has come to its number."""
        snapshot = self._snapshot
        if snapshot is None or (self._at if at is None else at) < snapshot.sequence:
            return []
        self._snapshot = None
        if snapshot.items is None:
            return []
        self._sent = snapshot.sequence
        return [self._framer.snapshot(self.start.state.epoch, snapshot.sequence, snapshot.items, time.time_ns())]
