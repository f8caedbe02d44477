"""The prices that dashboards show: the newest ticker of each symbol that somebody wants.

A symbol is heard on the hub, once for everybody. One that its exchange does not know, or not yet, is asked for again as
long as somebody wants it. Must not know a connection, nor how a message looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from gateway.core.heard import Heard
from gateway.net.dashboard_board import Audience, Board
from gateway.wire import dashboard

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from gateway.core.hub import Hub
    from gateway.core.key import Key
    from gateway.core.tiers import Item

log = structlog.get_logger(__name__)

Symbols = tuple[str, ...]  # as clients spell them, sorted
Resolve = Callable[[str], Awaitable["Key"]]


class Price(Heard):
    """One symbol that dashboards want."""

    def __init__(self, board: PriceBoard, spelling: str) -> None:
        super().__init__(board.hub, lambda: board.resolve(spelling))
        self.audiences: set[Audience[Symbols]] = set()
        self._board = board
        self._spelling = spelling
        self._ticker: bytes | None = None
        self._said: bytes | None = None  # made of the ticker, when first wanted

    def begin(self) -> None:
        if self._failures:
            self._board.health.recovering()
        super().begin()

    def refused(self, error: BaseException, *, is_first: bool) -> None:
        if is_first:
            log.warning("no prices", symbol=self._spelling, error=str(error))
        self._board.health.failed()

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
