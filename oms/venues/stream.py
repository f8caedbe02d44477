"""The private stream of an account: opened, watched over, and opened again.

What it tells is heard elsewhere (`client`); here is only whether it can. Must not know orders.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import structlog
from ccxt.base.errors import NetworkError, RequestTimeout

log = structlog.get_logger(__name__)

OPEN_S: Final = 20.0
DELAY_S: Final = 0.25  # before it is opened again; doubles with each failure
DELAY_S_MAX: Final = 30.0


class PrivateStream:
    """Told to `on_stream`, in turn: it began, it ended."""

    def __init__(
        self,
        exchange: Any,
        begin: Callable[[], Awaitable[None]],
        on_stream: Callable[[bool], None],
        describe: Callable[[Exception], str],
    ) -> None:
        """`begin` prepares a new connection, and waits until it is confirmed where the exchange confirms it."""
        self._exchange = exchange
        self._begin = begin
        self._on_stream = on_stream
        self._describe = describe
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it is open for the first time; raises what kept it from that, and then nothing runs."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(first), name="private stream")
        try:
            await first
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, first: asyncio.Future[None]) -> None:
        failures = 0
        while True:
            opened = asyncio.Event()
            try:
                await self._hold(opened, first)
            except Exception as error:
                if not first.done():
                    first.set_exception(error)
                    return
                failures = 0 if opened.is_set() else failures + 1
                log.warning("private stream ended", error=self._describe(error), failures=failures)
            delay_s = min(DELAY_S_MAX, DELAY_S * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, delay_s))  # noqa: S311  # so that not all come back at once

    async def _hold(self, opened: asyncio.Event, first: asyncio.Future[None]) -> NoReturn:
        """One connection, until it fails."""
        watching: list[asyncio.Task[NoReturn]] = []
        try:
            async with asyncio.timeout(OPEN_S):
                await self._begin()
                calls = (self._exchange.watch_orders, self._exchange.watch_my_trades)
                watching += [asyncio.create_task(self._watch(call)) for call in calls]
                await self._connected(watching)
            opened.set()
            self._on_stream(True)
            if not first.done():
                first.set_result(None)
            done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            raise _failure(done)
        except TimeoutError:
            raise RequestTimeout(f"not open within {OPEN_S:.0f} s") from None
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            self._exchange.hang_up()
            if opened.is_set():
                self._on_stream(False)

    async def _connected(self, watching: list[asyncio.Task[NoReturn]]) -> None:
        waiting = asyncio.create_task(self._exchange.opened.wait())
        try:
            done, _ = await asyncio.wait([waiting, *watching], return_when=asyncio.FIRST_COMPLETED)
            if waiting not in done:
                raise _failure(done)
        finally:
            waiting.cancel()

    async def _watch(self, call: Callable[[], Awaitable[Any]]) -> NoReturn:
        """Keep it asked for. What it gives was heard before."""
        task = asyncio.current_task()
        assert task is not None
        while True:
            try:
                await call()
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
                # ccxt cancels what waits on a client that is closed.
                raise NetworkError("the connection was closed") from None


def _failure(done: set[asyncio.Task[Any]]) -> BaseException:
    return next((error for task in done if (error := task.exception()) is not None), NetworkError("ended"))
