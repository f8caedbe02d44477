"""A histogram of plain C counters: 16 buckets a power of two.

Must not know what is measured; percentiles are the reader's work.
"""
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int clz "__builtin_clzll"(uint64_t) noexcept nogil  # leading zero bits; not of 0


cdef class Histogram:
    cdef void record(self, int64_t value, int64_t times) noexcept nogil:
        cdef uint64_t v = <uint64_t> value if value > 0 else 0
        cdef int exponent = 59 - clz(v) if v >= 32 else 0  # what is left is 16 to 31, or the small value itself
        self.counts[16 * exponent + <int> (v >> exponent)] += times

    def add(self, int64_t value, int64_t times=1):
        """Count a value; one below 0 counts as 0."""
        self.record(value, times)

    def buckets(self):
        """(upper bound, count) of each bucket that has a count, in order."""
        cdef int i
        cdef uint64_t bound
        found = []
        for i in range(BUCKETS):
            if self.counts[i]:
                bound = i if i < 32 else (<uint64_t> (17 + i % 16) << (i // 16 - 1)) - 1
                found.append((bound, self.counts[i]))
        return found
