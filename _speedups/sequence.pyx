"""A stream's numbers and its ring of newest updates, for resume and resend.

Holds order and bounds. Must not know who listens, or what an epoch is called.
"""
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from _speedups.frame cimport Update


cdef class Ring:
    def __cinit__(self, Py_ssize_t depth_max, Py_ssize_t bytes_max):
        if depth_max < 1:
            raise ValueError("a ring holds at least the newest update")
        self.slots = []
        self.depth_max = depth_max
        self.bytes_max = bytes_max

    def __len__(self):
        return len(self.slots) - self.start

    def append(self, bytes data not None, t_ex, int64_t t_in, int64_t t_out, bint snapshot=False):
        cdef Update update = Update(self.sequence + 1, data, t_ex, t_in, t_out, snapshot)
        self.push(update)
        return update

    cdef int push(self, Update update) except -1:
        assert update.sequence == self.sequence + 1, "numbers of an epoch have no holes"
        cdef Update oldest
        self.sequence = update.sequence
        self.slots.append(update)
        self.data_bytes += PyBytes_GET_SIZE(update.data)
        while (len(self.slots) - self.start > self.depth_max
               or (self.data_bytes > self.bytes_max and len(self.slots) - self.start > 1)):
            oldest = <Update> self.slots[self.start]
            self.data_bytes -= PyBytes_GET_SIZE(oldest.data)
            self.slots[self.start] = None
            self.start += 1
        if self.start > 32 and self.start * 2 > len(self.slots):  # amortised: each slot is moved at most once
            del self.slots[:self.start]
            self.start = 0
        return 0

    cdef Update newest(self):
        return <Update> self.slots[len(self.slots) - 1] if len(self.slots) > self.start else None

    cpdef list between(self, int64_t first, int64_t last):
        cdef int64_t oldest = self.sequence - (len(self.slots) - self.start) + 1
        first = max(first, oldest)
        last = min(last, self.sequence)
        if first > last:
            return []
        cdef Py_ssize_t at = self.start + <Py_ssize_t> (first - oldest)
        return self.slots[at:at + <Py_ssize_t> (last - first) + 1]

    cpdef list after(self, int64_t sequence):
        cdef int64_t held = len(self.slots) - self.start
        if sequence < self.sequence - held or sequence > self.sequence:
            return None
        return self.between(sequence + 1, self.sequence)

    cpdef clear(self):
        self.slots = []
        self.start = 0
        self.data_bytes = 0
        self.sequence = 0
