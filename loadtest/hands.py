"""What subscribers of a mix ask for: quotes with trades, quotes with a book, or both throttled; or an account.

Pure. Must not know who asks. Hands of market data are three, which shares no factor with ten: connections that are
dealt hands and markets in turn have each hand with each of ten markets.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from loadtest.streams import PRIVATE
from loadtest.swarm import subscribe

TIER_MS: Final = 250


class Asked(NamedTuple):
    """One subscription to one market."""

    channel: str
    throttle_ms: int = 0

    @property
    def name(self) -> str:
        """As figures are called that are of it."""
        return f"throttled_{self.channel}" if self.throttle_ms else self.channel

    @property
    def options(self) -> dict[str, Any]:
        """Of a private stream the events alone."""
        if self.channel in PRIVATE:
            return {"snapshot": False}
        return {"throttle_ms": self.throttle_ms} if self.throttle_ms else {}


Hand = tuple[Asked, ...]

HANDS: Final[tuple[Hand, ...]] = (
    (Asked("quotes"), Asked("trades")),
    (Asked("quotes"), Asked("book")),
    (Asked("quotes", TIER_MS), Asked("trades", TIER_MS)),
)
OF_ACCOUNT: Final[Hand] = (Asked("orders"), Asked("deals"))  # who has a key
SIZE: Final = 2  # of each hand
IN_TURN: Final = tuple(asked for hand in HANDS for asked in hand)
CHANNELS: Final = tuple(dict.fromkeys(asked.channel for asked in IN_TURN))
NAMES: Final = tuple(dict.fromkeys(asked.name for asked in IN_TURN))


def messages(symbol: str) -> tuple[str, ...]:
    """The requests of all hands, one hand after the other."""
    return tuple(subscribe([symbol], asked.channel, **asked.options) for asked in IN_TURN)


def by_name(read: dict[str, float], what: str) -> dict[str, float]:
    """What the compiled client counted of the streams of each message, `.._of_N`, summed by what the message asks."""
    summed = dict.fromkeys(NAMES, 0.0)
    for number, asked in enumerate(IN_TURN):
        summed[asked.name] += read[f"{what}_of_{number}"]
    return summed
