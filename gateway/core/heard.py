"""One symbol heard on the hub by who needs its prices in this process, once its exchange has said which key it is.

Holds the asking, and the pauses after an exchange did not know the symbol or was not there. Must not know what is made
of an update, nor who is told.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.hub import Hub
from gateway.core.key import Key
from gateway.core.tiers import Item
from gateway.core.watch import full_jitter

RETRY_S: Final = (0.25, 30.0)  # first and longest pause after an exchange did not know the symbol, or was not there


class Heard(ABC):
    """To be derived from: `on_update`, `on_lost` and `refused` say what becomes of it. Needs a running loop."""

    def __init__(self, hub: Hub, resolve: Callable[[], Awaitable[Key]]) -> None:
        """`resolve` gives the key, and may raise TickwireError."""
        self._hub = hub
        self._resolve = resolve
        self._key: Key | None = None
        self._resolving: asyncio.Future[Key] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._failures = 0

    def begin(self) -> None:
        """Ask which key the symbol is; after a failure again, until `end`."""
        self._retry = None
        self._resolving = asyncio.ensure_future(self._resolve())
        self._resolving.add_done_callback(self._resolved)

    def end(self) -> None:
        """Nobody wants it any more."""
        if self._resolving is not None:
            self._resolving.cancel()
            self._resolving = None
        if self._retry is not None:
            self._retry.cancel()
        if self._key is not None:
            self._hub.unlisten(self._key, self)
            self._key = None

    @abstractmethod
    def on_update(self, key: Key, item: Item) -> None:
        """It has another value."""

    @abstractmethod
    def on_lost(self, key: Key) -> None:
        """What was heard counts no more."""

    @abstractmethod
    def refused(self, error: BaseException, *, is_first: bool) -> None:
        """The exchange did not say which key it is; it is asked again."""

    def _resolved(self, resolving: asyncio.Future[Key]) -> None:
        if resolving.cancelled():
            return
        error = resolving.exception()
        if resolving is not self._resolving:
            return  # it was answered already when `end` was called
        self._resolving = None
        if error is None:
            self._key = resolving.result()
            self._hub.listen(self._key, self)
            return
        self.refused(error, is_first=not self._failures)
        pause_s = full_jitter(*RETRY_S, self._failures, random.uniform)
        self._failures += 1
        self._retry = asyncio.get_running_loop().call_later(pause_s, self.begin)
