"""The one reader of a watched account: polls it, and tells everybody who watches what has changed, in the same bytes.

Holds when it reads, what becomes of a failure, and the state that was read last. Must not know how an account is read,
who may watch it, or a socket.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from _speedups.frame import OP_TEXT, encode
from gateway.core import account_state
from gateway.core.account_state import Updated
from gateway.core.private import refused
from gateway.wire import account

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.private import Look, Standing

log = structlog.get_logger(__name__)

PERIOD_S: Final = 1.0  # told to clients as `monitoring_interval`
RETRY_S_MAX: Final = 32  # 1, 2, 4, .. after a loss
Marks = dict[str, bool]
SNAPSHOT: Final[Marks] = {"snapshot": True}
STALE: Final[Marks] = {"stale": True}
FRESH: Final[Marks] = {"stale": False}
FAULT: Final = "the account cannot be read: the server failed"


class Watcher(Protocol):
    """One connection."""

    def deliver(self, frames: bytes) -> None:
        """Send finished frames."""


class Clocks(Protocol):
    """Time as it passes, and as it is told; tests have their own."""

    def now_s(self) -> float: ...
    def time_ns(self) -> int: ...
    def sleep(self, seconds: float) -> Awaitable[None]: ...


class RealClocks:
    def now_s(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> Awaitable[None]:
        return asyncio.sleep(seconds)


class Monitor:
    """Of one account, from its first watcher to its last."""

    def __init__(self, account_id: int, make_look: Callable[[], Look], *, clocks: Clocks, timeout_s: float) -> None:
        self.account_id = account_id
        self.watchers: set[Watcher] = set()
        self._make_look = make_look
        self._clocks = clocks
        self._timeout_s = timeout_s
        self._standing: Standing | None = None
        self._read_ns = 0
        self._lost = ""  # why it cannot be read; empty when it can
        self._retry_at_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def add(self, watcher: Watcher) -> asyncio.Task[None] | None:
        """Tell it what is known, and what happens from now on. The task of the reading, when this has begun it."""
        self.watchers.add(watcher)
        if known := self._known():
            watcher.deliver(framed(known))
        if self._task is not None:
            return None
        self._task = asyncio.create_task(self._run(), name=f"monitor account={self.account_id}")
        return self._task

    def remove(self, watcher: Watcher) -> bool:
        """It is gone; whether it was the last, and reading has ended."""
        self.watchers.discard(watcher)
        if self.watchers:
            return False
        if self._task is not None:
            self._task.cancel()
        return True

    def _known(self) -> list[bytes]:
        """What a new watcher is told: the state that was read last, and whether it can be read."""
        said = [] if self._standing is None else self._snapshot(self._standing)
        if self._lost:
            retry_in_s = max(1, math.ceil(self._retry_at_s - self._clocks.now_s()))
            said.append(account.connection_lost(self._lost, retry_in_s))
        return said

    def _snapshot(self, standing: Standing) -> list[bytes]:
        marks = SNAPSHOT | (STALE if self._lost else {})
        return [account.change(each, self._read_ns, marks) for each in account_state.describe(standing)]

    async def _run(self) -> None:
        look = self._make_look()
        failures = 0
        try:
            while True:
                begun_s = self._clocks.now_s()
                reason = await self._poll(look)
                if reason is None:
                    failures = 0
                    await self._clocks.sleep(max(0.0, begun_s + PERIOD_S - self._clocks.now_s()))
                else:
                    retry_s = min(2**failures, RETRY_S_MAX)
                    failures += 1
                    self._fail(reason, retry_s)
                    await self._clocks.sleep(retry_s)
        finally:
            await look.close()

    async def _poll(self, look: Look) -> str | None:
        """Read once, and tell; why that was not possible, or None."""
        try:
            async with asyncio.timeout(self._timeout_s):
                standing = await look.read()
                former = self._standing
                gone = [] if former is None else account_state.gone(former, standing)
                closings = await look.closings(gone) if gone else {}
        except TimeoutError:
            return f"the account gave no answer within {self._timeout_s:g} s"
        except Exception as error:
            if (refusal := refused(error)) is not None:
                return refusal.message
            log.exception("account cannot be read", account_id=self.account_id)
            return FAULT
        self._standing, self._read_ns = standing, self._clocks.time_ns()
        was_lost, self._lost = bool(self._lost), ""
        if former is None:
            self._tell(self._snapshot(standing))
            return None
        changes = account_state.compare(former, standing, closings)
        if was_lost:
            log.info("account is read again", account_id=self.account_id)
            if not changes or not isinstance(changes[-1], Updated):
                changes.append(Updated({}))  # that it is not stale any more is worth a word of its own
        marks = FRESH if was_lost else {}
        self._tell(account.change(each, self._read_ns, marks if isinstance(each, Updated) else {}) for each in changes)
        return None

    def _fail(self, reason: str, retry_s: int) -> None:
        """Say so each time it is tried, and once how old it is what is known."""
        is_first = not self._lost
        self._lost = reason
        self._retry_at_s = self._clocks.now_s() + retry_s
        said = [account.connection_lost(reason, retry_s)]
        if is_first:
            log.warning("account cannot be read", account_id=self.account_id, error=reason)
            said += [] if self._standing is None else self._snapshot(self._standing)[:1]
        self._tell(said)

    def _tell(self, messages: Iterable[bytes]) -> None:
        if frames := framed(messages):
            for watcher in list(self.watchers):
                watcher.deliver(frames)


def framed(messages: Iterable[bytes]) -> bytes:
    """Finished frames, made once for however many watch."""
    return b"".join(encode(OP_TEXT, message) for message in messages)
