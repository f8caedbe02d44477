"""Trades become bars of one interval, and a bar becomes JSON bytes."""

from typing import Self, final

@final
class Bar:
    """One bar as it stood; never changes."""

    @property
    def timestamp(self) -> int:
        """The bar's start, ms since the epoch."""
    @property
    def open(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float:
        """Rounded to 15 digits: sizes that are decimals give their decimal sum."""
    @property
    def vwap(self) -> float:
        """Volume-weighted mean price."""
    @property
    def closed(self) -> bool: ...
    def data(self, symbol: str, exchange: str, timeframe: str) -> bytes:
        """{"symbol","exchange","timeframe","open","high","low","close","volume","vwap","timestamp","closed"}."""

@final
class BarBuilder:
    """The bars of one market and one interval.

    A bar spans [start, start + interval) of the trades' own time and is closed by the first trade of a later interval
    or by `roll`, for good: a trade that comes later changes nothing. Within it trades count in the order given,
    whatever their milliseconds say. No bar is invented for an interval without trades.
    """

    def __new__(cls, interval_ms: int) -> Self: ...
    @property
    def current(self) -> Bar | None:
        """The bar that trades still change."""
    def trade(self, price: float, size: float, ts_ms: int) -> Bar | None:
        """Take one trade in; returns the bar it closed, if any.

        A price or size that is not in (0, 1e100], or a time that is out of range, is a ValueError and changes nothing.
        """
    def roll(self, now_ms: int) -> Bar | None:
        """Close the current bar when its interval has passed by `now_ms`; returns it."""
