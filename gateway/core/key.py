"""Names: what a stream is a stream of, and the table of channels.

Holds plain values only. Must not know who subscribes, where updates come from, or how they are encoded.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec


class Delivery(IntEnum):
    """What happens to a channel's updates when a reader is slow (ARCHITECTURE.md, flow 3)."""

    STATE = 0  # keep the newest, announce the gap once
    APPEND = 1  # skip and announce; resendable while in the ring
    CRITICAL = 2  # never dropped; above the hard mark the socket is closed with 4008


class Key(NamedTuple):
    """One upstream watch: everything that makes two subscriptions need different data.

    `exchange` is the configured name (`sim`, `binance`; `OWN` for what publishers tell), `symbol` ccxt's unified
    symbol, `variant` the timeframe of bars (`1m`), the depth of a book (`20`), the `Extent` of a unified channel, else
    empty.
    """

    exchange: str
    channel: str
    symbol: str
    variant: str = ""

    def __str__(self) -> str:
        tail = f":{self.variant}" if self.variant else ""
        return f"{self.exchange}:{self.channel}:{self.symbol}{tail}"


class Channel(msgspec.Struct, frozen=True):
    """A row of the channel tables (docs/protocol.md, "Channels")."""

    name: str  # as clients spell it: "quotes"
    type: str  # the `type` of its messages: "quote"
    delivery: Delivery
    private: bool = False
    names_events: bool = True  # of a private one: `data` says which event it is, of several


CHANNELS: Final[dict[str, Channel]] = {
    row.name: row
    for row in (
        Channel("quotes", "quote", Delivery.STATE),
        Channel("trades", "trade", Delivery.APPEND),
        Channel("bars", "bar", Delivery.STATE),
        Channel("book", "book", Delivery.STATE),
    )
}

# Public data as ccxt unifies it, for the dialects that tell it so; names of no stream that `CHANNELS` has.
UNIFIED_CHANNELS: Final[dict[str, Channel]] = {
    row.name: row
    for row in (
        Channel("ccxt_ticker", "ticker", Delivery.STATE),
        Channel("ccxt_orderbook", "orderbook", Delivery.STATE),
        Channel("ccxt_trades", "trades", Delivery.APPEND),
        Channel("ccxt_ohlcv", "ohlcv", Delivery.STATE),
    )
}

OWN: Final = ""  # the `exchange` of a key that no source is asked for
EVERY: Final = "*"  # the `symbol` of the stream that has what is told of every symbol, and of none

# What publishers tell through us: a stream for each symbol, spelled as they spell it, and one for all.
PUBLISHED_CHANNELS: Final[dict[str, Channel]] = {
    row.name: row
    for row in (
        Channel("news", "news", Delivery.APPEND),
        Channel("signals", "signal", Delivery.APPEND),
    )
}

STREAM_CHANNELS: Final = CHANNELS | PUBLISHED_CHANNELS  # what the stream dialect subscribes by symbols
PUBLIC_CHANNELS: Final = STREAM_CHANNELS | UNIFIED_CHANNELS  # everything that the hub may have a topic of


class Extent(NamedTuple):
    """The variant of a unified channel's key: how much of it, and how often where it is polled."""

    size: int = 0  # levels a side, or trades or candles at most; 0: one thing
    timeframe: str = ""  # of candles
    period_ms: int = 0  # between two readings; 0 where the exchange pushes

    def __str__(self) -> str:
        """`1m/50@1200`, without what is not there."""
        parts = [self.timeframe, str(self.size or "")]
        return "/".join(filter(None, parts)) + (f"@{self.period_ms}" if self.period_ms else "")

    @classmethod
    def read(cls, variant: str) -> Extent:
        """What `str` wrote."""
        rest, _, period_ms = variant.partition("@")
        timeframe, _, size = rest.rpartition("/")
        return cls(int(size or 0), timeframe, int(period_ms or 0))


# What accounts tell, by account and not by symbol. What is critical is durable, so a slow reader loses nothing but its
# connection.
PRIVATE_CHANNELS: Final[dict[str, Channel]] = {
    row.name: row
    for row in (
        Channel("orders", "order", Delivery.CRITICAL, private=True),
        Channel("deals", "deal", Delivery.CRITICAL, private=True),
        Channel("positions", "position", Delivery.CRITICAL, private=True),
        Channel("portfolio", "portfolio", Delivery.STATE, private=True),
        Channel("alerts", "alert", Delivery.CRITICAL, private=True, names_events=False),
    )
}

PORTFOLIO: Final = "portfolio"  # what accounts are worth: on a hub, as market data is
# What comes again until it is confirmed.
CONFIRMED_CHANNELS: Final = tuple(row.name for row in PRIVATE_CHANNELS.values() if row.delivery is Delivery.CRITICAL)

# Conflation intervals a `throttle_ms` is rounded down to; each tier of a topic is a sequence of its own.
TIERS_MS: Final[tuple[int, ...]] = (0, 50, 100, 250, 500, 1000, 3000, 5000)


BATCH_TIER_MS: Final = 50  # a batch gathers for at least the shortest interval


class StreamId(NamedTuple):
    """What makes a sequence: a key, its conflation interval, and whether what gathers is one frame."""

    key: Key
    tier_ms: int
    batch: bool


def stream_id(key: Key, tier_ms: int = 0, *, batch: bool = False) -> StreamId:
    """The stream that serves these options."""
    return StreamId(key, max(tier_ms, BATCH_TIER_MS) if batch else tier_ms, batch)


def tier_of(throttle_ms: int) -> int:
    """The largest tier that is not above `throttle_ms` (docs/protocol.md, "subscribe"). Raises ValueError below 0."""
    if throttle_ms < 0:
        raise ValueError(f"no interval is below 0: {throttle_ms}")
    return TIERS_MS[bisect_right(TIERS_MS, throttle_ms) - 1]
