"""What the sibling modules write JSON with. Must not know what the text is about."""

cdef enum:
    NUMBER_CHARS_MAX = 352  # the longest text of a number: 5e-324 with its sign, written out

cdef Py_ssize_t put_number(char* out, double value) except -1  # needs NUMBER_CHARS_MAX bytes; returns how many it used
cdef double tidy(double value) noexcept nogil  # rounded to the digits a double carries for sure


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
