"""Finished server frames (RFC 6455 section 5.2) and the forms one update is sent in.

Holds bytes and how they are joined. Must not know who receives a frame, nor what `data` says.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.ref cimport Py_DECREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from _speedups.text cimport ISO_CHARS, has_iso, put_iso, put_whole

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL

cpdef enum:  # the slots of a template
    KIND
    EPOCH
    SEQUENCE
    TIMESTAMP
    T_EX
    T_IN
    T_OUT
    TIME_MS
    DATA

cdef enum:
    SLOT_BYTES_MAX = ISO_CHARS  # of any slot but EPOCH and DATA


cpdef bytes encode(int opcode, bytes payload, bint rsv1=False):
    """A finished, unmasked frame with FIN set: the header's length field is the shortest that fits."""
    cdef Py_ssize_t size = len(payload)  # a TypeError of None
    cdef Py_ssize_t head = 2 if size < 126 else (4 if size < 65536 else 10)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, head + size)
    cdef uint8_t* p = <uint8_t*> PyBytes_AS_STRING(out)
    cdef int shift
    p[0] = 0x80 | (0x40 if rsv1 else 0) | opcode
    if size < 126:
        p[1] = <uint8_t> size
    elif size < 65536:
        p[1] = 126
        p[2] = <uint8_t> (size >> 8)
        p[3] = <uint8_t> size
    else:
        p[1] = 127
        for shift in range(8):
            p[2 + shift] = <uint8_t> (size >> (56 - 8 * shift))
    memcpy(p + head, PyBytes_AS_STRING(payload), size)
    return out


def close_frame(int code, str reason=""):
    """A CLOSE frame (RFC 6455 section 5.5.1); code 0 gives an empty one.

    A control frame's payload is at most 125 bytes, so the reason is cut at 123, never inside a character.
    """
    if code == 0:
        return encode(OP_CLOSE, b"")
    cdef bytes text = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return encode(OP_CLOSE, code.to_bytes(2, "big") + text)


cdef class Update:
    def __cinit__(self, int64_t sequence, bytes data not None, t_ex, int64_t t_in, int64_t t_out, bint snapshot):
        if sequence < 0 or t_in < 0 or t_out < 0:
            raise ValueError("an update's number and times are not negative")
        self.sequence = sequence
        self.data = data
        self.exchange_ms = t_ex if t_ex is not None and has_iso(t_ex) else -1
        self.t_in = t_in
        self.t_out = t_out
        self.snapshot = snapshot

    @property
    def t_ex(self):
        """Exchange time in ms, or None: not given, or no time of the years 1970 to 9999."""
        return None if self.exchange_ms < 0 else self.exchange_ms


cdef Py_ssize_t write_slot(char* out, int slot, Update update) noexcept:
    """The text of every slot that is bounded; returns its length."""
    if slot == KIND:
        memcpy(out, b"snapshot" if update.snapshot else b"update", 8 if update.snapshot else 6)
        return 8 if update.snapshot else 6
    if slot == TIMESTAMP:
        put_iso(out, update.exchange_ms if update.exchange_ms >= 0 else update.t_in // 1000000)
        return ISO_CHARS
    if slot == T_EX and update.exchange_ms < 0:
        memcpy(out, b"null", 4)
        return 4
    cdef int64_t value = update.sequence
    if slot == T_EX:
        value = update.exchange_ms
    elif slot == T_IN:
        value = update.t_in
    elif slot == T_OUT:
        value = update.t_out
    elif slot == TIME_MS:
        value = update.exchange_ms if update.exchange_ms >= 0 else update.t_in // 1000000
    return put_whole(out, <unsigned long long> value)


cdef inline char* put(char* out, const char* text, Py_ssize_t size) noexcept:
    memcpy(out, text, size)
    return out + size


cdef class Template:
    def __cinit__(self, parts):
        cdef bytes literal = b""
        cdef list literals = [], slots = []
        for part in parts:
            if isinstance(part, int):
                if not 0 <= part <= DATA:
                    raise ValueError(f"no such slot: {part}")
                literals.append(literal)
                slots.append(part)
                literal = b""
            else:
                literal += part
        literals.append(literal)
        self.parts = tuple(literals)
        self.slots = bytes(slots)
        self.room = sum(map(len, literals)) + SLOT_BYTES_MAX * len(slots)
        self.epochs = slots.count(EPOCH)
        self.datas = slots.count(DATA)

    cpdef bytes render(self, Update update, str epoch):
        cdef Py_ssize_t epoch_size, data_size, i
        cdef const char* epoch_text = PyUnicode_AsUTF8AndSize(epoch, &epoch_size)
        cdef char* start
        cdef char* out
        cdef uint8_t slot
        cdef bytes part, finished
        cdef PyObject* rendered
        if update is None:
            raise TypeError("there is no update to render")
        data_size = PyBytes_GET_SIZE(update.data)
        rendered = new_bytes(NULL, self.room + self.epochs * epoch_size + self.datas * data_size)
        start = out = PyBytes_AS_STRING(<object> rendered)
        for i in range(len(self.slots)):
            part = <bytes> self.parts[i]
            out = put(out, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
            slot = self.slots[i]
            if slot == DATA:
                out = put(out, PyBytes_AS_STRING(update.data), data_size)
            elif slot == EPOCH:
                out = put(out, epoch_text, epoch_size)
            else:
                out += write_slot(out, slot, update)
        part = <bytes> self.parts[len(self.slots)]
        out = put(out, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        _PyBytes_Resize(&rendered, out - start)
        finished = <bytes> rendered
        Py_DECREF(finished)  # `rendered` itself was a reference
        return finished


cdef class Form:
    cpdef Template template(self, object topic):
        raise NotImplementedError  # a codec says what its messages look like

    cpdef bytes gap(self, object topic, str epoch, int64_t first, int64_t last, str reason, str new_epoch):
        raise NotImplementedError  # likewise

    cpdef bytes finish(self, bytes payload):
        return encode(OP_TEXT, payload)
