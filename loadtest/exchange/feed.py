"""What a feed is: the thing that makes the markets move.

The server asks it for the time, the markets and its state, and passes commands on to it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from loadtest.exchange.market import Market


class FeedError(Exception):
    """The feed cannot do what was asked of it; says why."""


class Feed(ABC):
    markets: Mapping[str, Market]

    @abstractmethod
    def now_ms(self) -> int:
        """The exchange's clock."""

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
