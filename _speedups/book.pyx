"""An order book's price levels: what changed, its checksum, and both as JSON bytes.

`Book` takes whole states, as ccxt's live books are, and finds the changed levels itself by walking two sorted arrays.
It keeps the best `depth` levels of each side: a level pushed out of them is a deletion, one that comes into view an
addition, so a client that applies every change to a snapshot has exactly the same `depth` levels.

Everything is checked before anything is changed: after a refusal the book is as it was.

Must not know where a book comes from, who receives it, or when.
"""
from binascii import crc32

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY
from libc.string cimport memcmp, memcpy

cimport cython

from _speedups.text cimport NUMBER_CHARS_MAX, Writer, put_number

cdef extern from "Python.h":
    ctypedef struct PyObject
    object PySequence_Fast(object sequence, const char* message)
    Py_ssize_t PySequence_Fast_GET_SIZE(PyObject* sequence) noexcept
    PyObject** PySequence_Fast_ITEMS(PyObject* sequence) noexcept
    bint PyList_Check(PyObject* value) noexcept
    bint PyTuple_Check(PyObject* value) noexcept
    bint PyFloat_Check(PyObject* value) noexcept
    double PyFloat_AS_DOUBLE(PyObject* value) noexcept
    bint PyLong_Check(PyObject* value) noexcept
    double PyLong_AsDouble(PyObject* value) except? -1.0

cdef enum:
    CHECKSUM_LEVELS = 10  # of each side, as the protocol says

cdef enum Refusal:
    FINE
    SHAPE
    PRICE
    SIZE
    ORDER

# Where a new state is read to and compared before it replaces the old one. Shared by all books: no Python code runs
# between filling and use, so the interpreter lock keeps them apart.
cdef Levels read_bids, read_asks, found_bids, found_asks


cdef int reserve(Levels* levels, Py_ssize_t capacity) except -1:
    cdef Level* grown
    if levels.capacity >= capacity:
        return 0
    grown = <Level*> PyMem_Realloc(levels.at, capacity * sizeof(Level))
    if grown == NULL:
        raise MemoryError
    levels.at = grown
    levels.capacity = capacity
    return 0


cdef inline void put(Levels* levels, double price, double size) noexcept nogil:
    levels.at[levels.size].price = price
    levels.at[levels.size].size = size
    levels.size += 1


cdef inline void copy(Levels* target, Levels* source) noexcept nogil:
    """`target` has the room."""
    if source.size:
        memcpy(target.at, source.at, source.size * sizeof(Level))
    target.size = source.size


cdef inline bint same_top(Levels* one, Levels* two) noexcept nogil:
    """Whether a checksum over `one` is a checksum over `two`."""
    cdef Py_ssize_t one_size = min(one.size, <Py_ssize_t> CHECKSUM_LEVELS)
    cdef Py_ssize_t two_size = min(two.size, <Py_ssize_t> CHECKSUM_LEVELS)
    return one_size == two_size and (one_size == 0 or memcmp(one.at, two.at, one_size * sizeof(Level)) == 0)


cdef inline bint as_double(PyObject* value, double* out) except -1:
    """Only floats and ints: their conversion runs no Python code, so no list changes under the reader."""
    if PyFloat_Check(value):
        out[0] = PyFloat_AS_DOUBLE(value)
        return True
    if PyLong_Check(value):
        try:
            out[0] = PyLong_AsDouble(value)
        except OverflowError:
            return False
        return True
    return False


cdef Refusal read(Levels* out, PyObject* source, Py_ssize_t depth, double sign, Py_ssize_t* at) except *:
    """The first `depth` levels of `source`; stops at `at` with a reason when that level is not valid."""
    cdef Py_ssize_t total = PySequence_Fast_GET_SIZE(source)
    cdef PyObject** items = PySequence_Fast_ITEMS(source)
    cdef PyObject* level
    cdef Py_ssize_t index
    cdef double price = 0, size = 0, last = -INFINITY
    reserve(out, min(depth, total))
    out.size = 0
    for index in range(total):
        if out.size == depth:
            break
        at[0] = index
        level = items[index]
        if not (PyList_Check(level) or PyTuple_Check(level)) or PySequence_Fast_GET_SIZE(level) < 2:
            return SHAPE
        if not as_double(PySequence_Fast_ITEMS(level)[0], &price):
            return SHAPE
        if not as_double(PySequence_Fast_ITEMS(level)[1], &size):
            return SHAPE
        if not 0 < price <= DBL_MAX:
            return PRICE
        if not 0 <= size <= DBL_MAX:
            return SIZE
        if not sign * price > last:
            return ORDER
        last = sign * price
        if size > 0:
            put(out, price, size)
    return FINE


cdef void compare(Levels* old, Levels* new, double sign, Levels* out) noexcept nogil:
    """What turns `old` into `new`; `out` has room for both."""
    cdef Py_ssize_t one = 0, two = 0
    out.size = 0
    while one < old.size and two < new.size:
        if old.at[one].price == new.at[two].price:
            if old.at[one].size != new.at[two].size:
                put(out, new.at[two].price, new.at[two].size)
            one += 1
            two += 1
        elif sign * old.at[one].price < sign * new.at[two].price:
            put(out, old.at[one].price, 0)
            one += 1
        else:
            put(out, new.at[two].price, new.at[two].size)
            two += 1
    for one in range(one, old.size):
        put(out, old.at[one].price, 0)
    for two in range(two, new.size):
        put(out, new.at[two].price, new.at[two].size)


cdef void combine(Levels* old, Levels* new, double sign, Levels* out) noexcept nogil:
    """Every price of either, with the size `new` gives when it has one; `out` has room for both."""
    cdef Py_ssize_t one = 0, two = 0
    out.size = 0
    while one < old.size and two < new.size:
        if sign * old.at[one].price < sign * new.at[two].price:
            put(out, old.at[one].price, old.at[one].size)
            one += 1
            continue
        if old.at[one].price == new.at[two].price:
            one += 1
        put(out, new.at[two].price, new.at[two].size)
        two += 1
    for one in range(one, old.size):
        put(out, old.at[one].price, old.at[one].size)
    for two in range(two, new.size):
        put(out, new.at[two].price, new.at[two].size)


cdef int put_levels(Writer out, Levels* levels) except -1:
    cdef Py_ssize_t index
    cdef char* text
    out.raw(b"[", 1)
    for index in range(levels.size):
        out.reserve(2 * NUMBER_CHARS_MAX + 4)
        text = out.at + out.size
        if index:
            text[0] = c","
            text += 1
        text[0] = c"["
        text += 1
        text += put_number(text, levels.at[index].price)
        text[0] = c","
        text += 1
        text += put_number(text, levels.at[index].size)
        text[0] = c"]"
        out.size = text + 1 - out.at
    out.raw(b"]", 1)
    return 0


cdef int put_book(Writer out, str symbol, str exchange, Levels* bids, Levels* asks) except -1:
    out.reserve(256 + 32 * (bids.size + asks.size))
    out.raw(b'{"symbol":', 10)
    out.string(symbol)
    out.raw(b',"exchange":', 12)
    out.string(exchange)
    out.raw(b',"bids":', 8)
    put_levels(out, bids)
    out.raw(b',"asks":', 8)
    put_levels(out, asks)
    return 0


cdef inline char* put_digits(char* out, double value) except NULL:
    """The number's text without its point and then without leading zeros: what a checksum is taken over."""
    cdef Py_ssize_t size = put_number(out, value)
    cdef Py_ssize_t index
    cdef char* end = out
    for index in range(size):
        if out[index] != c"." and (end != out or out[index] != c"0"):
            end[0] = out[index]
            end += 1
    return end


cdef unsigned int checksum_of(Levels* bids, Levels* asks) except? 0:
    cdef char[4 * CHECKSUM_LEVELS * NUMBER_CHARS_MAX] text
    cdef char* end = text
    cdef Py_ssize_t index
    for index in range(min(asks.size, <Py_ssize_t> CHECKSUM_LEVELS)):
        end = put_digits(end, asks.at[index].price)
        end = put_digits(end, asks.at[index].size)
    for index in range(min(bids.size, <Py_ssize_t> CHECKSUM_LEVELS)):
        end = put_digits(end, bids.at[index].price)
        end = put_digits(end, bids.at[index].size)
    return crc32(PyBytes_FromStringAndSize(text, end - text))


cdef object refused(str side, object levels, Py_ssize_t index, Refusal why):
    reason = {
        SHAPE: "is not [price, size] of numbers",
        PRICE: "has a price that is not positive and finite",
        SIZE: "has a size that is negative or not finite",
        ORDER: "is not in order, best first and each price once",
    }[why]
    return ValueError(f"{side}[{index}]: {levels[index]!r:.100} {reason}")


@cython.final
@cython.freelist(64)
cdef class Changes:
    """The touched prices of both sides, each with its newest size (0: no such level any more); never changes."""

    def __dealloc__(self):
        PyMem_Free(self.bids.at)
        PyMem_Free(self.asks.at)

    def __init__(self):
        raise TypeError("Changes come from Book.replace()")

    def __len__(self):
        return self.bids.size + self.asks.size

    def merged(self, Changes later not None):
        """These and what happened after, newest size first. A touched price stays, even back at its old size."""
        cdef Changes both = Changes.__new__(Changes)
        reserve(&both.bids, self.bids.size + later.bids.size)
        reserve(&both.asks, self.asks.size + later.asks.size)
        combine(&self.bids, &later.bids, -1, &both.bids)
        combine(&self.asks, &later.asks, 1, &both.asks)
        return both

    def data(
        self, str symbol not None, str exchange not None, unsigned long long prev_sequence, unsigned int checksum
    ):
        """The update's JSON object; `checksum` is the book's once these changes are applied."""
        cdef Writer out = Writer()
        put_book(out, symbol, exchange, &self.bids, &self.asks)
        out.raw(b',"prev_sequence":', 17)
        out.integer(prev_sequence)
        out.raw(b',"checksum":', 12)
        out.integer(checksum)
        out.raw(b"}", 1)
        return out.finish()


@cython.final
cdef class Book:
    """The best `depth` levels of each side.

    A side is a sequence of lists or tuples [price, size, ..] of floats or ints, best first, each price once. Prices are
    positive, sizes not negative, all finite; what comes after `depth` levels is not looked at. A level of size 0 is no
    level. Anything else is a ValueError, and the book stays as it was.
    """

    def __cinit__(self, Py_ssize_t depth):
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self.depth = depth

    def __dealloc__(self):
        PyMem_Free(self.bids.at)
        PyMem_Free(self.asks.at)

    def replace(self, bids, asks):
        """The whole state is now this; returns what changed, or None."""
        cdef object bid_items = PySequence_Fast(bids, b"bids must be a sequence of levels")
        cdef object ask_items = PySequence_Fast(asks, b"asks must be a sequence of levels")
        cdef Py_ssize_t index = 0
        cdef Refusal why = read(&read_bids, <PyObject*> bid_items, self.depth, -1, &index)
        if why != FINE:
            raise refused("bids", bid_items, index, why)
        why = read(&read_asks, <PyObject*> ask_items, self.depth, 1, &index)
        if why != FINE:
            raise refused("asks", ask_items, index, why)
        return self.adopt(&read_bids, &read_asks)

    cdef Changes adopt(self, Levels* bids, Levels* asks):
        """All that can fail comes first."""
        cdef Changes found
        reserve(&self.bids, bids.size)
        reserve(&self.asks, asks.size)
        reserve(&found_bids, self.bids.size + bids.size)
        reserve(&found_asks, self.asks.size + asks.size)
        compare(&self.bids, bids, -1, &found_bids)
        compare(&self.asks, asks, 1, &found_asks)
        if found_bids.size + found_asks.size == 0:
            return None
        found = Changes.__new__(Changes)
        reserve(&found.bids, found_bids.size)
        reserve(&found.asks, found_asks.size)
        copy(&found.bids, &found_bids)
        copy(&found.asks, &found_asks)
        if not (same_top(&self.bids, bids) and same_top(&self.asks, asks)):
            self.crc_known = False
        copy(&self.bids, bids)
        copy(&self.asks, asks)
        return found

    def checksum(self):
        """CRC32 over the top of the book, as the protocol says."""
        if not self.crc_known:
            self.crc = checksum_of(&self.bids, &self.asks)
            self.crc_known = True
        return self.crc

    def snapshot(self, str symbol not None, str exchange not None):
        """The snapshot's JSON object."""
        cdef Writer out = Writer()
        cdef unsigned int checksum = self.checksum()
        put_book(out, symbol, exchange, &self.bids, &self.asks)
        out.raw(b',"checksum":', 12)
        out.integer(checksum)
        out.raw(b"}", 1)
        return out.finish()
