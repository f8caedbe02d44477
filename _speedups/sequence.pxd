"""The ring of a stream: its newest updates, numbered without holes."""
from libc.stdint cimport int64_t

from _speedups.frame cimport Update


cdef class Ring:
    cdef:
        list slots                  # updates, oldest at `start`
        Py_ssize_t start            # index of the oldest; what is before it is forgotten
        Py_ssize_t depth_max        # updates
        Py_ssize_t bytes_max        # of data
        Py_ssize_t data_bytes       # of data held
        readonly int64_t sequence   # the newest number given, 0 before the first

    cdef int push(self, Update update) except -1
    cdef Update newest(self)
    cpdef list between(self, int64_t first, int64_t last)
    cpdef list after(self, int64_t sequence)
    cpdef clear(self)
