"""Bytes of a client in, messages out: RFC 6455 sections 5.2 to 5.5, 7.4 and 8.1, seen from the server.

A frame need not be whole to be looked at: a violation is found at the byte that makes it one, and everything that was
complete before it is handed out first. Nothing is kept between messages but the few bytes of a header, so an idle
connection costs no buffer. Must not know sockets, who listens, or what a message says; inflating is left to the caller.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from _speedups.frame cimport OP_BINARY, OP_CLOSE, OP_CONTINUATION, OP_PONG, OP_TEXT

cpdef enum:
    COMPRESSED = 0x40  # RSV1

cdef enum:
    HEAD_BYTES_MAX = 14
    BODY_BYTES_MIN = 512  # what a message in pieces starts with; it doubles


cdef inline bint close_code_allowed(int code) noexcept:
    """Codes an endpoint may put on the wire: registered ones except 1004 to 1006 and 1015, and the free ranges."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cdef class Parser:
    """One connection's read side. `feed` after a CLOSE or a failure returns nothing: those bytes mean nothing."""

    cdef readonly bint done
    cdef readonly tuple failure  # (close code, reason) of the violation, once there was one
    cdef bint deflate
    cdef Py_ssize_t message_bytes_max
    # The frame being read
    cdef uint8_t head[HEAD_BYTES_MAX]
    cdef uint8_t head_size
    cdef uint8_t head_need
    cdef bint in_payload
    cdef uint8_t opcode
    cdef bint fin
    cdef uint8_t mask[4]
    cdef Py_ssize_t length
    cdef Py_ssize_t left
    cdef bytes control  # a control frame's payload so far, when it came in pieces
    # The message being read
    cdef uint8_t message  # its opcode, with COMPRESSED when it is; 0 between messages
    cdef char* body
    cdef Py_ssize_t body_size
    cdef Py_ssize_t body_capacity
    # UTF-8: continuation bytes still due, and the range the next one must be in
    cdef uint8_t due
    cdef uint8_t low
    cdef uint8_t high

    def __cinit__(self, Py_ssize_t message_bytes_max, bint deflate=False):
        self.message_bytes_max = message_bytes_max
        self.deflate = deflate

    def __dealloc__(self):
        PyMem_Free(self.body)

    def feed(self, bytes data not None):
        """Take what arrived; returns what it completed as (opcode, payload): see the stub for the kinds."""
        cdef list events = []
        cdef const uint8_t* at = <const uint8_t*> PyBytes_AS_STRING(data)
        cdef const uint8_t* end = at + PyBytes_GET_SIZE(data)
        cdef Py_ssize_t size
        while not self.done:
            if not self.in_payload:
                at = self._read_head(at, end)
                if not self.in_payload:
                    break
            size = min(self.left, end - at)
            if self.opcode >= OP_CLOSE:
                self._take_control(at, size, events)
            else:
                self._take_data(at, size, events)
            at += size
            self.left -= size
            if self.left:
                break
            self.in_payload = False
        return events

    cdef int _fail(self, int code, str reason) except -1:
        self.done = True
        self.failure = (code, reason)
        self._free_body()
        return 0

    cdef void _free_body(self) noexcept:
        PyMem_Free(self.body)
        self.body = NULL
        self.body_size = self.body_capacity = 0

    cdef const uint8_t* _read_head(self, const uint8_t* at, const uint8_t* end) except NULL:
        while at < end and not self.done:
            self.head[self.head_size] = at[0]
            self.head_size += 1
            at += 1
            if self.head_size == 2:
                self._check_bits()
            if self.head_size > 2 and self.head_size == self.head_need:
                self._begin_payload()
                break
        return at

    cdef int _check_bits(self) except -1:
        cdef uint8_t size = self.head[1] & 0x7F
        cdef bint rsv1 = self.head[0] & COMPRESSED
        self.opcode = self.head[0] & 0x0F
        self.fin = self.head[0] & 0x80
        self.head_need = 6 + (2 if size == 126 else 8 if size == 127 else 0)
        if self.head[0] & 0x30 or rsv1 and not (self.deflate and self.opcode in (OP_TEXT, OP_BINARY)):
            return self._fail(1002, "reserved bit set")
        if not self.head[1] & 0x80:
            return self._fail(1002, "frame not masked")
        if self.opcode >= OP_CLOSE:
            if self.opcode > OP_PONG:
                return self._fail(1002, "reserved opcode")
            if not self.fin:
                return self._fail(1002, "control frame in fragments")
            if size > 125:
                return self._fail(1002, "control frame above 125 bytes")
        elif self.opcode == OP_CONTINUATION:
            if not self.message:
                return self._fail(1002, "continuation of nothing")
        elif self.opcode > OP_BINARY:
            return self._fail(1002, "reserved opcode")
        elif self.message:
            return self._fail(1002, "new message inside a fragmented one")
        else:
            self.message = self.opcode | (COMPRESSED if rsv1 else 0)
        return 0

    cdef int _begin_payload(self) except -1:
        cdef uint64_t length = 0
        cdef int index
        for index in range(2, self.head_need - 4):
            length = length << 8 | self.head[index]
        if self.head_need == 6:
            length = self.head[1] & 0x7F
        elif length < (126 if self.head_need == 8 else 65536) or length >> 63:
            return self._fail(1002, "length not in its shortest form")
        if self.opcode < OP_CLOSE and length > <uint64_t> (self.message_bytes_max - self.body_size):
            return self._fail(1009, f"message above {self.message_bytes_max} bytes")
        memcpy(self.mask, self.head + self.head_need - 4, 4)
        self.length = self.left = <Py_ssize_t> length
        self.head_size = 0
        self.in_payload = True
        return 0

    cdef void _unmask(self, const uint8_t* source, Py_ssize_t size, uint8_t* target) noexcept:
        cdef uint8_t mask[8]
        cdef uint64_t key
        cdef uint64_t word
        cdef Py_ssize_t phase = self.length - self.left
        cdef Py_ssize_t index
        for index in range(8):
            mask[index] = self.mask[(phase + index) & 3]
        memcpy(&key, mask, 8)
        for index in range(size >> 3):
            memcpy(&word, source + 8 * index, 8)
            word ^= key
            memcpy(target + 8 * index, &word, 8)
        for index in range(size & ~7, size):
            target[index] = source[index] ^ mask[index & 7]

    cdef bytes _unmasked(self, const uint8_t* source, Py_ssize_t size):
        cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
        self._unmask(source, size, <uint8_t*> PyBytes_AS_STRING(payload))
        return payload

    cdef int _take_control(self, const uint8_t* at, Py_ssize_t size, list events) except -1:
        cdef bytes payload = self._unmasked(at, size)
        if self.control is not None:
            payload = self.control + payload
        if size < self.left:
            self.control = payload
            return 0
        self.control = None
        if self.opcode == OP_CLOSE:
            if not self._check_close(payload):
                return 0
            self.done = True
            self._free_body()
        events.append((self.opcode, payload))
        return 0

    cdef bint _check_close(self, bytes payload) except -1:
        if not payload:
            return True
        if len(payload) == 1 or not close_code_allowed(payload[0] << 8 | payload[1]):
            self._fail(1002, "invalid close code")
            return False
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            self._fail(1007, "close reason is not UTF-8")
            return False
        return True

    cdef int _take_data(self, const uint8_t* at, Py_ssize_t size, list events) except -1:
        cdef bytes payload
        if self.fin and size == self.length and not self.body_size:  # all of a message at once: the usual case
            payload = self._unmasked(at, size)
            if self.message != OP_TEXT:
                events.append((self.message, payload))
            else:
                try:
                    events.append((OP_TEXT, payload.decode()))
                except UnicodeDecodeError:
                    return self._fail(1007, "text is not UTF-8")
            self.message = 0
            return 0
        if size:
            self._append(at, size)
        if self.fin and size == self.left and not self.done:
            self._end_message(events)
        return 0

    cdef int _append(self, const uint8_t* at, Py_ssize_t size) except -1:
        cdef Py_ssize_t need = self.body_size + size
        cdef Py_ssize_t capacity
        cdef char* grown
        if need > self.body_capacity:
            capacity = max(need, min(max(2 * self.body_capacity, BODY_BYTES_MIN), self.message_bytes_max))
            grown = <char*> PyMem_Realloc(self.body, capacity)
            if grown == NULL:
                raise MemoryError
            self.body = grown
            self.body_capacity = capacity
        self._unmask(at, size, <uint8_t*> self.body + self.body_size)
        if self.message == OP_TEXT and not self._check_utf8(<uint8_t*> self.body + self.body_size, size):
            return self._fail(1007, "text is not UTF-8")
        self.body_size = need
        return 0

    cdef int _end_message(self, list events) except -1:
        if self.message == OP_TEXT:
            if self.due:
                return self._fail(1007, "text is not UTF-8")
            events.append((OP_TEXT, PyUnicode_DecodeUTF8(self.body, self.body_size, NULL)))
        else:
            events.append((self.message, PyBytes_FromStringAndSize(self.body, self.body_size)))
        self.message = 0
        self._free_body()
        return 0

    cdef bint _check_utf8(self, const uint8_t* at, Py_ssize_t size) noexcept:
        cdef Py_ssize_t index = 0
        cdef uint64_t word
        cdef uint8_t byte
        while index < size:
            if not self.due and index + 8 <= size:
                memcpy(&word, at + index, 8)
                if not word & <uint64_t> 0x8080808080808080:
                    index += 8
                    continue
            byte = at[index]
            index += 1
            if self.due:
                if not self.low <= byte <= self.high:
                    return False
                self.due -= 1
                self.low, self.high = 0x80, 0xBF
            elif byte >= 0x80 and not self._begin_character(byte):
                return False
        return True

    cdef bint _begin_character(self, uint8_t byte) noexcept:
        """The table of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF."""
        self.low, self.high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            self.due = 1
        elif 0xE0 <= byte <= 0xEF:
            self.due = 2
            if byte == 0xE0:
                self.low = 0xA0
            elif byte == 0xED:
                self.high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            self.due = 3
            if byte == 0xF0:
                self.low = 0x90
            elif byte == 0xF4:
                self.high = 0x8F
        else:
            return False
        return True
