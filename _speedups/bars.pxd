"""Bars in C. Must not know what time it is, nor where trades come from."""


cdef struct Sum:
    double total
    double lost  # what rounding took from `total` so far (Neumaier)


cdef class Bar:
    cdef readonly long long timestamp  # the bar's start, ms since the epoch
    cdef readonly double open
    cdef readonly double high
    cdef readonly double low
    cdef readonly double close
    cdef readonly double volume
    cdef readonly double vwap  # volume-weighted mean price
    cdef readonly bint closed


cdef class BarBuilder:
    cdef long long interval_ms
    cdef long long start  # of the current bar
    cdef long long floor  # the end of the last closed bar: what is older comes late
    cdef bint started  # there is a current bar
    cdef double open
    cdef double high
    cdef double low
    cdef double close
    cdef Sum volume
    cdef Sum notional  # price x size

    cdef Bar bar(self, bint closed)
    cdef Bar end(self)
