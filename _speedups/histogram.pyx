"""A histogram of plain C counters: 16 buckets a power of two.

Must not know what is measured; percentiles are the reader's work.
"""
from libc.stdint cimport int64_t, uint64_t


cdef class Histogram:
    cdef void record(self, int64_t value, int64_t times) noexcept nogil:
        cdef int exponent = 0
        cdef uint64_t v = <uint64_t> value if value > 0 else 0
        while v >= 32:
            v >>= 1
            exponent += 1
        # v < 16 only where exponent is 0; above, its low four bits are the step within the power of two
        cdef int at = <int> v if exponent == 0 else (exponent + 1) * 16 + <int> (v - 16)
        self.counts[at if at < BUCKETS else BUCKETS - 1] += times

    def add(self, int64_t value, int64_t times=1):
        """Count a value; one below 0 counts as 0, one beyond the last bucket in the last."""
        self.record(value, times)

    def buckets(self):
        """(upper bound, count) of each bucket that has a count, in order."""
        cdef int i
        cdef object step, exponent  # Python integers: the last bounds do not fit 64 bits
        found = []
        for i in range(BUCKETS):
            if self.counts[i]:
                step, exponent = i % 16, i // 16 - 1
                bound = i if i < 32 else ((17 + step) << exponent) - 1
                found.append((bound, self.counts[i]))
        return found
