"""Trades become bars of one interval, and a bar becomes JSON bytes.

A bar spans [start, start + interval) of the trades' own time; starts are multiples of the interval since the epoch.

- A bar is closed by the first trade of a later interval or by `roll`, never reopened. A trade for a closed bar comes
  late and changes nothing.
- Within a bar trades count in the order they are given (the exchange's order), whatever their milliseconds say.
- No bar is invented for an interval without trades. Exchanges' klines have one there (Binance: previous close, volume
  0).
- Volume and vwap are compensated sums, rounded to the 15 digits a double carries for sure: a volume of decimals comes
  out as their decimal sum.

Must not know what time it is (`roll` is told), where trades come from, or who receives a bar.
"""
from libc.math cimport fabs

cimport cython

from _speedups.text cimport ISO_CHARS, Writer, has_iso, put_iso, tidy

cdef double AMOUNT_MAX = 1e100  # no market comes near, and no sum of products of two overflows


cdef inline void add(Sum* sum_, double value) noexcept nogil:
    """Neumaier's: what a rounding loses is kept beside the total."""
    cdef double total = sum_.total + value
    if fabs(sum_.total) >= fabs(value):
        sum_.lost += (sum_.total - total) + value
    else:
        sum_.lost += (value - total) + sum_.total
    sum_.total = total


@cython.final
@cython.freelist(16)
cdef class Bar:
    """One bar as it stood; never changes."""

    def __init__(self):
        raise TypeError("bars come from BarBuilder")

    def data(self, str symbol not None, str exchange not None, str timeframe not None):
        """The bar's JSON object."""
        cdef Writer out = Writer()
        out.reserve(384)
        out.raw(b'{"symbol":', 10)
        out.string(symbol)
        out.raw(b',"exchange":', 12)
        out.string(exchange)
        out.raw(b',"timeframe":', 13)
        out.string(timeframe)
        out.raw(b',"open":', 8)
        out.number(self.open)
        out.raw(b',"high":', 8)
        out.number(self.high)
        out.raw(b',"low":', 7)
        out.number(self.low)
        out.raw(b',"close":', 9)
        out.number(self.close)
        out.raw(b',"volume":', 10)
        out.number(self.volume)
        out.raw(b',"vwap":', 8)
        out.number(self.vwap)
        out.raw(b',"timestamp":"', 14)
        out.reserve(ISO_CHARS)
        put_iso(out.at + out.size, self.timestamp)
        out.size += ISO_CHARS
        if self.closed:
            out.raw(b'","closed":true}', 16)
        else:
            out.raw(b'","closed":false}', 17)
        return out.finish()


@cython.final
cdef class BarBuilder:
    """The bars of one market and one interval."""

    def __cinit__(self, long long interval_ms):
        if interval_ms == 0 or not has_iso(interval_ms):
            raise ValueError(f"interval_ms must be at least 1 and within time, not {interval_ms}")
        self.interval_ms = interval_ms

    def trade(self, double price, double size, long long ts_ms):
        """Take one trade in; returns the bar it closed, or None.

        A price or size that is not in (0, 1e100], or a time that is out of range, is a ValueError and changes nothing.
        """
        cdef Bar closed = None
        cdef long long start
        if not (0 < price <= AMOUNT_MAX and 0 < size <= AMOUNT_MAX):
            raise ValueError(f"price {price!r} and size {size!r} must be above 0 and at most {AMOUNT_MAX:g}")
        if not has_iso(ts_ms):
            raise ValueError(f"{ts_ms} is not a time in milliseconds since the epoch")
        start = ts_ms - ts_ms % self.interval_ms
        if start < (self.start if self.started else self.floor):
            return None
        if self.started and start > self.start:
            closed = self.end()
        if not self.started:
            self.started = True
            self.start = start
            self.open = self.high = self.low = price
            self.volume = [0, 0]
            self.notional = [0, 0]
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        add(&self.volume, size)
        add(&self.notional, price * size)
        return closed

    def roll(self, long long now_ms):
        """Close the current bar when its interval has passed; returns it, or None."""
        return self.end() if self.started and now_ms >= self.start + self.interval_ms else None

    @property
    def current(self):
        """The bar that trades still change, or None."""
        return self.bar(False) if self.started else None

    cdef Bar end(self):
        cdef Bar bar = self.bar(True)
        self.started = False
        self.floor = self.start + self.interval_ms
        return bar

    cdef Bar bar(self, bint closed):
        cdef Bar bar = Bar.__new__(Bar)
        cdef double volume = self.volume.total + self.volume.lost
        cdef double vwap = (self.notional.total + self.notional.lost) / volume
        bar.timestamp = self.start
        bar.open = self.open
        bar.high = self.high
        bar.low = self.low
        bar.close = self.close
        bar.volume = tidy(volume)
        bar.vwap = min(max(tidy(vwap), self.low), self.high)  # a mean, whatever rounding did
        bar.closed = closed
        return bar
