"""Buckets of a latency distribution, cheap enough for every write."""
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    BUCKETS = 60 * 16               # 16 steps a power of two, within 7 %: enough for 63 bits


cdef class Histogram:
    cdef uint64_t counts[BUCKETS]

    cdef void record(self, int64_t value, int64_t times) noexcept nogil
