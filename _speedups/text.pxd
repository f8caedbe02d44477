"""What the sibling modules write JSON with. Must not know what the text is about."""

cdef enum:
    NUMBER_CHARS_MAX = 352  # the longest text of a number: 5e-324 with its sign, written out
    WHOLE_CHARS_MAX = 20
    ISO_CHARS = 24  # 1970-01-01T00:00:00.000Z

cdef Py_ssize_t put_number(char* out, double value) except -1  # needs NUMBER_CHARS_MAX bytes; returns how many it used
cdef Py_ssize_t put_whole(char* out, unsigned long long value) noexcept nogil  # likewise, WHOLE_CHARS_MAX
cdef void put_iso(char* out, long long ms) noexcept nogil  # ISO_CHARS bytes; only a time that `has_iso`
cdef double tidy(double value) noexcept nogil  # rounded to the digits a double carries for sure


cdef inline bint has_iso(long long ms) noexcept nogil:
    """Whether ISO 8601 writes this time since the epoch with a year of four digits."""
    return 0 <= ms < 253402300800000LL


cdef class Writer:
    cdef char* at  # what was written, and room for more
    cdef Py_ssize_t size  # bytes written
    cdef Py_ssize_t capacity  # bytes allocated

    cdef int reserve(self, Py_ssize_t extra) except -1
    cdef int raw(self, const char* text, Py_ssize_t size) except -1
    cdef int string(self, str value) except -1
    cdef int number(self, double value) except -1
    cdef int integer(self, unsigned long long value) except -1
    cdef bytes finish(self)
