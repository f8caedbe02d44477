"""The prices that dashboards show: the newest ticker of each symbol that somebody wants.

A symbol is heard on the hub, once for everybody. One that its exchange does not know, or not yet, is asked for again as
long as somebody wants it. Must not know a connection, nor how a message looks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from gateway.core.watch import full_jitter
from gateway.net.dashboard_board import Audience, Board
from gateway.wire import dashboard

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from gateway.core.hub import Hub
    from gateway.core.key import Key
    from gateway.core.tiers import Item

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.25, 30.0)  # first and longest pause after an exchange did not know the symbol, or was not there

Symbols = tuple[str, ...]  # as clients spell them, sorted
Resolve = Callable[[str], Awaitable["Key"]]


class Price:
    """One symbol, listening on the hub as soon as its exchange has said which key it is."""

    def __init__(self, board: PriceBoard, spelling: str) -> None:
        self.audiences: set[Audience[Symbols]] = set()
        self._board = board
        self._spelling = spelling
        self._ticker: bytes | None = None
        self._said: bytes | None = None  # made of the ticker, when first wanted
        self._key: Key | None = None
        self._resolving: asyncio.Future[Key] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._failures = 0

    def begin(self) -> None:
        """Ask which key the symbol is; after a failure again, for as long as somebody wants it."""
        self._retry = None
        if self._failures:
            self._board.health.recovering()
        self._resolving = asyncio.ensure_future(self._board.resolve(self._spelling))
        self._resolving.add_done_callback(self._resolved)

    def end(self) -> None:
        if self._resolving is not None:
            self._resolving.cancel()
        if self._retry is not None:
            self._retry.cancel()
        if self._key is not None:
            self._board.hub.unlisten(self._key, self)

    @property
    def said(self) -> bytes | None:
        """What is said of it, finished JSON; None while nothing is known that can be trusted."""
        if self._said is None and self._ticker is not None:
            self._said = dashboard.price(self._ticker)
        return self._said

    def on_update(self, _key: Key, item: Item) -> None:
        assert isinstance(item.data, bytes)
        self._ticker, self._said = item.data, None
        self._board.changed(self.audiences)

    def on_lost(self, _key: Key) -> None:
        self._ticker = self._said = None
        self._board.health.failed()
        self._board.changed(self.audiences)

    def _resolved(self, resolving: asyncio.Future[Key]) -> None:
        self._resolving = None
        if resolving.cancelled():
            return
        error = resolving.exception()
        if error is None:
            self._key = resolving.result()
            self._board.hub.listen(self._key, self)
            return
        if not self._failures:
            log.warning("no prices", symbol=self._spelling, error=str(error))
        self._board.health.failed()
        pause_s = full_jitter(*RETRY_S, self._failures, random.uniform)
        self._failures += 1
        self._retry = asyncio.get_running_loop().call_later(pause_s, self.begin)


class PriceBoard(Board[Symbols]):
    """The prices of one process."""

    def __init__(
        self, hub: Hub, fanout: Fanout, resolve: Resolve, interval_s: float, now_ns: Callable[[], int]
    ) -> None:
        """`resolve` gives the key of a symbol's ticker, and may raise TickwireError."""
        super().__init__(fanout, interval_s, now_ns)
        self.hub = hub
        self.resolve = resolve
        self._prices: dict[str, Price] = {}

    def began(self, audience: Audience[Symbols]) -> None:
        for symbol in audience.what:
            price = self._prices.get(symbol)
            if price is None:
                price = self._prices[symbol] = Price(self, symbol)
                price.begin()
            price.audiences.add(audience)

    def ended(self, audience: Audience[Symbols]) -> None:
        for symbol in audience.what:
            price = self._prices[symbol]
            price.audiences.discard(audience)
            if not price.audiences:
                del self._prices[symbol]
                price.end()

    def on_told(self) -> None:
        """Prices come, also where they are the same."""
        self.health.updated(self.now_ns())

    def state(self, what: Symbols) -> bytes | None:
        said = {symbol: said for symbol in what if (said := self._prices[symbol].said) is not None}
        return dashboard.prices(said) if said else None
