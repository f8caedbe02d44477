"""What a feed is: the thing that makes the markets move.

The server asks it for the time, the markets and its state, and passes commands on to it.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from loadtest.exchange.bars import Trade
from loadtest.exchange.market import Market
from loadtest.exchange.matching import Matcher


class FeedError(Exception):
    """The feed cannot do what was asked of it; says why."""


def _nobody(_symbol: str, _trades: Sequence[Trade], _now_ms: int) -> None:
    """Nobody waits for a price."""


class Feed(ABC):
    """`on_traded` is called after the trades of a market, with the time of trading."""

    markets: Mapping[str, Market]
    matchers: Mapping[str, Matcher] = MappingProxyType({})
    on_traded: Callable[[str, Sequence[Trade], int], None] = staticmethod(_nobody)

    @abstractmethod
    def now_ms(self) -> int:
        """The exchange's clock."""

    def trading_ms(self) -> int:
        """The time of orders and fills: the present, also where the market data is of the past.

        Their ids begin at it too, so that an exchange that is started anew repeats none.
        """
        return time.time_ns() // 1_000_000

    def moved(self, symbol: str, trades: Sequence[Trade], now_ms: int) -> None:
        """Orders changed a market, and made these trades; a recorded one is shown as it was all the same."""
        if trades:
            self.on_traded(symbol, trades, now_ms)

    @abstractmethod
    async def run(self) -> None:
        """Move the markets until cancelled, or until there is nothing more."""

    @abstractmethod
    def status(self) -> dict[str, object]:
        """What the admin endpoint says of the feed."""

    def start(self) -> None:
        """Begin now, if it was waiting."""
        raise FeedError("this feed runs by itself")

    def step(self, count: int) -> int:
        """Play the next `count` messages in this turn of the loop; returns how many there were."""
        raise FeedError("this feed cannot be stepped")

    def burst(self, stream: str, count: int) -> None:
        """Make `count` messages of a stream in this turn of the loop."""
        raise FeedError("this feed makes no messages of its own: hold or step instead")

    def trade(self, symbol: str, size: str, *, buy: bool) -> list[dict[str, object]]:
        """Execute a market order; returns its trades."""
        raise FeedError("this feed makes no trades of its own")

    async def finished(self) -> None:
        """Wait until there is nothing more to come."""
        raise FeedError("this feed never ends")
