"""ccxt's exchange classes with a tap in each client: how clients are opened and dropped, and what ccxt does beside.

Holds the tasks that ccxt starts by itself and the snapshots of books under way, so that all of them end. Must not know
who a result is for, nor channels, keys or encodings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from ccxt.async_support.base.ws.future import Future
from ccxt.base.errors import NetworkError

from gateway.sources.ccxt_tap import Tap
from gateway.sources.lean import LeanMixin
from gateway.sources.pause import PauseMixin

log = structlog.get_logger(__name__)


class TapMixin:
    """Goes in front of any ccxt.pro class: each client it opens gets a tap."""

    clients: dict[str, Any]
    closing: set[asyncio.Task[None]]
    spawned: set[asyncio.Task[Any]]
    snapshots: dict[asyncio.Task[Any] | None, str]  # tasks that load a book, and its symbol
    turn: asyncio.Lock
    settle: Callable[[], None]  # of each tap

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)  # type: ignore[call-arg]  # ccxt's class comes behind the mixin
        self.closing = set()
        self.spawned = set()
        self.snapshots = {}
        self.turn = asyncio.Lock()
        self.settle = lambda: None

    def client(self, url: str) -> Any:
        client: Any = super().client(url)  # type: ignore[misc]  # ccxt's class comes behind the mixin
        if getattr(client, "tap", None) is None:
            client.tap = Tap(client, self.settle)
        return client

    def watch(self, url: str, message_hash: str, message: Any = None, subscribe_hash: Any = None, *rest: Any) -> Any:
        self.client(url).tap.asked([subscribe_hash])
        return super().watch(url, message_hash, message, subscribe_hash, *rest)  # type: ignore[misc]  # as above

    def watch_multiple(
        self, url: str, message_hashes: Any, message: Any = None, subscribe_hashes: Any = None, *rest: Any
    ) -> Any:
        self.client(url).tap.asked(subscribe_hashes or ())
        return super().watch_multiple(url, message_hashes, message, subscribe_hashes, *rest)  # type: ignore[misc]  # as above

    async def throttle(self, *args: Any) -> None:
        """One request at a time before ccxt's queue, which counts also what was given up; others wait here."""
        async with self.turn:
            await super().throttle(*args)  # type: ignore[misc]  # as above

    def spawn(self, method: Callable[..., Any], *args: Any) -> Future:
        """ccxt's, but such a task may be cancelled (4.5.64 stumbles over that), and its failure is logged."""
        future = Future()
        task = asyncio.create_task(method(*args))
        self.spawned.add(task)
        task.add_done_callback(partial(self._spawned, future))
        return future

    def _spawned(self, future: Future, task: asyncio.Task[Any]) -> None:
        self.spawned.discard(task)
        if task.cancelled():
            future.cancel()
        elif (error := task.exception()) is not None:
            log.warning("ccxt's own task failed", error=f"{type(error).__name__}: {error}")
            future.reject(error)
            future.exception()  # heard, whether or not somebody awaits
        else:
            future.resolve(task.result())

    async def load_order_book(self, client: Any, message_hash: str, symbol: str, *rest: Any) -> None:
        """Ask for a book's snapshot once: refused, ccxt 4.5.64 calls itself again at once, a thousand deep."""
        task = asyncio.current_task()
        if task in self.snapshots:
            return  # the refusal was passed on before this call, and whoever hears it subscribes anew
        self.snapshots[task] = symbol
        try:
            await super().load_order_book(client, message_hash, symbol, *rest)  # type: ignore[misc]  # as above
        finally:
            del self.snapshots[task]

    async def fetch_rest_order_book_safe(self, symbol: str, *rest: Any) -> Any:
        """A book's snapshot, for the classes that do not use `load_order_book`."""
        task = asyncio.current_task()
        if task in self.snapshots:  # 4.5.90: within `load_order_book`
            return await super().fetch_rest_order_book_safe(symbol, *rest)  # type: ignore[misc]  # as above
        self.snapshots[task] = symbol
        try:
            return await super().fetch_rest_order_book_safe(symbol, *rest)  # type: ignore[misc]  # as above
        finally:
            del self.snapshots[task]

    def give_up_book(self, symbol: str) -> None:
        """Nobody wants the snapshots of this book that are under way or wait for the rate limit."""
        for task in [task for task, other in self.snapshots.items() if other == symbol]:
            assert task is not None
            task.cancel()

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)  # type: ignore[misc]  # as above
        client.tap.connected()

    def taps(self) -> list[Tap]:
        return [client.tap for client in (self.clients or {}).values()]

    def drop_idle(self, url: str) -> None:
        """Close the client of this URL if nobody is served by it."""
        client = (self.clients or {}).get(url)
        if client is not None and not client.tap.in_use:
            self.drop(client)

    def drop(self, client: Any) -> None:
        """Close a client and let the next `watch_*` call dial anew, now: a silent peer may take long to say goodbye."""
        client.tap.drop()
        current = self.clients.get(client.url)
        if current is not None and current is client:
            del self.clients[client.url]
        if client.error is None:
            # Otherwise ccxt's `on_close` would remove whichever client has this URL by then.
            client.error = NetworkError("closed by us")
        task = asyncio.create_task(client.tap.close())
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    async def close(self, *args: Any) -> None:
        for tap in self.taps():
            self.drop(tap.client)
        for task in self.spawned:
            task.cancel()
        if ending := {*self.closing, *self.spawned}:
            await asyncio.wait(ending)
        await super().close(*args)  # type: ignore[misc]  # as above


def tapped(klass: type) -> type:
    """A ccxt.pro class with taps, short cuts, and the pause that all who use it keep."""
    return type(klass.__name__, (TapMixin, PauseMixin, LeanMixin, klass), {})
