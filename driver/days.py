"""What the gateway's quotes do not carry of a ticker: open, high, low, vwap and volumes of the last 24 h, by REST.

Asked before the first ticker is told and then every now and then, for all symbols at once, as long as any is wanted.
Must not know streams, nor what a ticker is made of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ccxt.base.errors import BaseError

log = logging.getLogger(__name__)

WAIT_MS_MAX: Final = 2_000  # a ticker is not held back for longer
OLD_MS: Final = 60_000  # what could not be asked anew for so long is not told any more

Tickers = Mapping[str, Mapping[str, Any]]


class Days:
    """See the module."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[Tickers]], wanted: Callable[[], Iterable[str]]) -> None:
        """`ask` gets the tickers of symbols, `wanted` are those that somebody watches."""
        self.by_symbol: dict[str, Mapping[str, Any]] = {}  # empty: it was asked for, in vain
        self._ask = ask
        self._wanted = wanted
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[None]]] = []
        self._told = 0.0  # when, by the monotonic clock

    async def known(self, symbols: Sequence[str], every_ms: float) -> None:
        """Returns once they were asked for, whatever came of it; from then on they are, each `every_ms`."""
        if self._task is not None and not self._task.done() and all(symbol in self.by_symbol for symbol in symbols):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((symbols, future))
        self._due.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(every_ms / 1000), name="tickwire tickers of the day")
        await asyncio.wait([future], timeout=WAIT_MS_MAX / 1000)

    def close(self) -> None:
        """Nothing is asked any more, and nothing is known."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.cancel()
        self.by_symbol.clear()

    async def _follow(self, every_s: float) -> None:
        while True:
            self._due.clear()
            waiting, self._waiting = self._waiting, []
            symbols = list(dict.fromkeys([*self._wanted(), *(each for names, _ in waiting for each in names)]))
            for symbol in set(self.by_symbol) - set(symbols):
                del self.by_symbol[symbol]
            if not symbols:
                return
            await self._look(symbols)
            for _, future in waiting:
                if not future.done():
                    future.set_result(None)
            try:
                async with asyncio.timeout(every_s):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _look(self, symbols: Sequence[str]) -> None:
        try:
            tickers = await self._ask(symbols)
        except BaseError as error:  # what is live is told all the same
            log.debug("no tickers of the day: %s", error)
            is_old = (time.monotonic() - self._told) * 1000 > OLD_MS
            for symbol in symbols:
                if is_old or symbol not in self.by_symbol:
                    self.by_symbol[symbol] = {}
        else:
            self._told = time.monotonic()
            self.by_symbol.update({symbol: tickers.get(symbol) or {} for symbol in symbols})
