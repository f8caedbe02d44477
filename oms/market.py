"""What the desk asks of market data: the last quote of a symbol, and to be told of the next ones.

Holds the contract only: who fulfils it joins the desk with the gateway's own streams. Must not know an exchange.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from oms.model import Quote

OnQuote = Callable[[str, str, Quote], None]  # exchange, symbol, quote; synchronous


class MarketData(Protocol):
    """Quotes as the gateway sees them. A quote is kept only of what is watched."""

    def listen(self, on_quote: OnQuote) -> None:
        """Tell of each new quote of what is watched, also when it has become stale."""

    def quote(self, exchange: str, symbol: str) -> Quote | None:
        """The last one, if it is watched and there was one."""

    def watch(self, exchange: str, symbol: str) -> None:
        """Keep its quote from now on; counted, so that each `watch` needs an `unwatch`."""

    def unwatch(self, exchange: str, symbol: str) -> None: ...

    def fresh(self, exchange: str, symbol: str, timeout_s: float) -> Awaitable[Quote | None]:
        """A quote that is not stale, awaited if it must be; None when there is none in time or no such symbol."""
