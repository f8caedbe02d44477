"""Numbers, times and strings as JSON text, written straight into one growing buffer.

A number's text is canonical: the shortest decimal that reads back as the same double, without an exponent, and
without ".0" on a whole number. Checksums are taken over this text, so it must be the same everywhere.

Must not know what the text is about, nor any JSON library.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.float cimport DBL_MAX
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

cimport cython

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL
    const char* PyUnicode_AsUTF8AndSize(object value, Py_ssize_t* size) except NULL

cdef enum:
    SAFE_DIGITS = 15  # two different decimals of at most this many digits are never the same double
    EXACT_POWER = 22  # 10**22 is the last power of ten that a double holds exactly
    DAY_MS = 86400000

cdef double[EXACT_POWER + 1] POWERS = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]
cdef const char* HEX = "0123456789abcdef"


cdef inline int decimals_of(double value) noexcept nogil:
    """How many decimals leave room for SAFE_DIGITS digits, or -1 when the whole part alone is longer.

    0 < value.
    """
    cdef int whole = 0
    cdef int decimals
    while value >= POWERS[whole]:
        whole += 1
        if whole > SAFE_DIGITS:
            return -1
    decimals = SAFE_DIGITS - whole
    if whole == 0:
        while decimals < EXACT_POWER and value * POWERS[decimals + 1] < POWERS[SAFE_DIGITS]:
            decimals += 1
    return decimals


cdef inline int64_t scaled(double value, int decimals) noexcept nogil:
    return <int64_t> (value * POWERS[decimals] + 0.5)


cdef double tidy(double value) noexcept nogil:
    cdef int decimals
    if value < 0:
        return -tidy(-value)
    if not 0 < value <= DBL_MAX:
        return value
    decimals = decimals_of(value)
    if decimals < 0 or value * POWERS[decimals] < POWERS[SAFE_DIGITS - 1]:  # too large or too small to hold so exactly
        return value
    return <double> scaled(value, decimals) / POWERS[decimals]


cdef Py_ssize_t put_whole(char* out, unsigned long long value) noexcept nogil:
    cdef char[WHOLE_CHARS_MAX] reverse
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t index
    while True:
        reverse[size] = <char> (c'0' + value % 10)
        size += 1
        value //= 10
        if value == 0:
            break
    for index in range(size):
        out[index] = reverse[size - 1 - index]
    return size


cdef inline void put_padded(char* out, long long value, int width) noexcept nogil:
    cdef int index
    for index in range(width):
        out[width - 1 - index] = <char> (c"0" + value % 10)
        value //= 10


cdef void put_iso(char* out, long long ms) noexcept nogil:
    """UTC, with milliseconds; the calendar arithmetic is Howard Hinnant's civil_from_days."""
    cdef long long of_day = ms % DAY_MS
    cdef long long days = ms // DAY_MS + 719468  # since 0000-03-01
    cdef long long era = days // 146097
    cdef long long day_of_era = days % 146097
    cdef long long year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef long long day = day_of_era - (365 * year + year // 4 - year // 100)
    cdef long long month = (5 * day + 2) // 153  # from March
    memcpy(out, b"0000-00-00T00:00:00.000Z", ISO_CHARS)
    put_padded(out, year + 400 * era + (month >= 10), 4)
    put_padded(out + 5, month + 3 if month < 10 else month - 9, 2)
    put_padded(out + 8, day - (153 * month + 2) // 5 + 1, 2)
    put_padded(out + 11, of_day // 3600000, 2)
    put_padded(out + 14, of_day // 60000 % 60, 2)
    put_padded(out + 17, of_day // 1000 % 60, 2)
    put_padded(out + 20, of_day % 1000, 3)


cdef inline Py_ssize_t put_point(char* out, const char* digits, Py_ssize_t size, Py_ssize_t decimals) noexcept nogil:
    """0.`digits` x 10**(size - decimals), written out."""
    cdef Py_ssize_t whole = size - decimals
    if decimals <= 0:
        memcpy(out, digits, size)
        memset(out + size, c'0', -decimals)
        return whole
    if whole <= 0:
        out[0] = c'0'
        out[1] = c'.'
        memset(out + 2, c'0', -whole)
        memcpy(out + 2 - whole, digits, size)
        return decimals + 2
    memcpy(out, digits, whole)
    out[whole] = c'.'
    memcpy(out + whole + 1, digits + whole, decimals)
    return size + 1


cdef Py_ssize_t put_rare(char* out, double value) except -1:
    """More digits than SAFE_DIGITS, or an extreme exponent: ask CPython for the digits, then move the point."""
    cdef char* text = PyOS_double_to_string(value, c'r', 0, 0, NULL)
    cdef char[32] digits
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t decimals = 0
    cdef bint after_point = False
    cdef bint negative
    cdef int exponent = 0
    cdef char* at = text
    while at[0] != 0 and at[0] != c'e':
        if at[0] == c'.':
            after_point = True
        else:
            decimals += after_point
            if size > 0 or at[0] != c'0':
                digits[size] = at[0]
                size += 1
        at += 1
    if at[0] == c'e':
        at += 1
        negative = at[0] == c'-'
        at += 1
        while at[0] != 0:
            exponent = exponent * 10 + (at[0] - c'0')
            at += 1
        decimals += exponent if negative else -exponent
    PyMem_Free(text)
    return put_point(out, digits, size, decimals)


cdef Py_ssize_t put_number(char* out, double value) except -1:
    cdef int decimals
    cdef int64_t whole
    cdef char[WHOLE_CHARS_MAX] digits
    cdef Py_ssize_t size
    if value == 0:
        out[0] = c'0'
        return 1
    if value < 0:
        out[0] = c'-'
        return 1 + put_number(out + 1, -value)
    if not value <= DBL_MAX:
        raise ValueError(f"{value} has no JSON text")
    decimals = decimals_of(value)
    if decimals < 0:
        return put_rare(out, value)
    whole = scaled(value, decimals)
    # A quotient of two exact doubles is the double nearest to that decimal: equal means the decimal reads back, and
    # at SAFE_DIGITS digits no other decimal of that length does.
    if <double> whole / POWERS[decimals] != value:
        return put_rare(out, value)
    if decimals >= 8 and whole % 100000000 == 0:
        whole //= 100000000
        decimals -= 8
    if decimals >= 4 and whole % 10000 == 0:
        whole //= 10000
        decimals -= 4
    while decimals > 0 and whole % 10 == 0:
        whole //= 10
        decimals -= 1
    size = put_whole(digits, whole)
    return put_point(out, digits, size, decimals)


@cython.final
@cython.freelist(8)
cdef class Writer:
    """Bytes that grow. The owner calls `finish` once."""

    def __dealloc__(self):
        PyMem_Free(self.at)

    cdef int reserve(self, Py_ssize_t extra) except -1:
        cdef Py_ssize_t capacity
        cdef char* grown
        if self.capacity - self.size >= extra:
            return 0
        capacity = 2 * (self.size + extra)
        grown = <char*> PyMem_Realloc(self.at, capacity)
        if grown == NULL:
            raise MemoryError
        self.at = grown
        self.capacity = capacity
        return 0

    cdef int raw(self, const char* text, Py_ssize_t size) except -1:
        self.reserve(size)
        memcpy(self.at + self.size, text, size)
        self.size += size
        return 0

    cdef int string(self, str value) except -1:
        """Quoted and escaped; a lone surrogate raises UnicodeEncodeError (a ValueError)."""
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t index
        cdef const char* text = PyUnicode_AsUTF8AndSize(value, &size)
        cdef char* out
        cdef unsigned char char_
        self.reserve(6 * size + 2)
        out = self.at + self.size
        out[0] = c'"'
        out += 1
        for index in range(size):
            char_ = <unsigned char> text[index]
            if char_ == c'"' or char_ == c'\\':
                out[0] = c'\\'
                out[1] = <char> char_
                out += 2
            elif char_ < 0x20:
                memcpy(out, b"\\u00", 4)
                out[4] = HEX[char_ >> 4]
                out[5] = HEX[char_ & 15]
                out += 6
            else:
                out[0] = <char> char_
                out += 1
        out[0] = c'"'
        self.size = out + 1 - self.at
        return 0

    cdef int number(self, double value) except -1:
        self.reserve(NUMBER_CHARS_MAX)
        self.size += put_number(self.at + self.size, value)
        return 0

    cdef int integer(self, unsigned long long value) except -1:
        self.reserve(WHOLE_CHARS_MAX)
        self.size += put_whole(self.at + self.size, value)
        return 0

    cdef bytes finish(self):
        return PyBytes_FromStringAndSize(self.at, self.size)


def number(double value):
    """The canonical text of a number: what books, bars and checksums say."""
    cdef char[NUMBER_CHARS_MAX] text
    cdef Py_ssize_t size = put_number(text, value)
    return text[:size].decode("ascii")
