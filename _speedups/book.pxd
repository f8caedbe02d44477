"""Price levels held in C. Must not know where a book comes from, nor who receives it."""

cdef struct Level:
    double price
    double size


cdef struct Levels:
    Level* at  # best first: bids fall, asks rise; no price twice
    Py_ssize_t size
    Py_ssize_t capacity


cdef class Changes:
    cdef Levels bids  # touched prices with their newest size; 0: gone
    cdef Levels asks


cdef class Book:
    cdef Py_ssize_t depth  # levels kept on a side
    cdef Levels bids  # at most `depth`; a size is never 0
    cdef Levels asks
    cdef unsigned int crc
    cdef bint crc_known  # `crc` still stands for the top levels

    cdef Changes adopt(self, Levels* bids, Levels* asks)
