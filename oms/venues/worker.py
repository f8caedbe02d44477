"""A thread for calls that block: awaited from the loop, and given up when they take too long.

Must not know what is called. A thread cannot be ended from outside: one that is given up ends when its call does.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """One thread, begun with its first call. It is a daemon: a call that hangs does not keep the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def run(self, call: Callable[[], T], timeout_s: float) -> T:
        """What it returns or raises; TimeoutError when that takes too long. After either it may still be running."""
        assert not self._is_closed, "it has ended"
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if future.done():  # nobody waits any more
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # whatever it is, it is the caller's
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, result, error)

        self._calls.put(work)
        async with asyncio.timeout(timeout_s):
            return await future

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Take no more calls; the thread ends behind the one that is running, and `last`."""
        self._is_closed = True
        if self._thread is None:
            return
        if last is not None:
            self._calls.put(last)
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
