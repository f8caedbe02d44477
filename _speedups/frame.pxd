"""Frames, updates, templates and forms: what the fan-out needs to know of them."""
from libc.stdint cimport int64_t

cpdef enum:
    OP_CONTINUATION = 0x0
    OP_TEXT = 0x1
    OP_BINARY = 0x2
    OP_CLOSE = 0x8
    OP_PING = 0x9
    OP_PONG = 0xA


cdef class Update:
    cdef:
        readonly int64_t sequence   # its number within the stream's epoch
        readonly bint snapshot      # whole state, not a change
        int64_t exchange_ms         # -1: the exchange gave no time
        readonly int64_t t_in       # ns since the epoch: our process read it
        readonly int64_t t_out      # ns since the epoch: it was numbered
        readonly bytes data         # a finished JSON value


cdef class Template:
    cdef:
        tuple parts                 # bytes objects, in order: one more than slots
        bytes slots                 # what comes after each part but the last
        Py_ssize_t room             # bytes a rendering needs at most, without epochs and data
        Py_ssize_t epochs           # slots of them
        Py_ssize_t datas

    cpdef bytes render(self, Update update, str epoch)


cdef class Form:
    cpdef Template template(self, object topic)
    cpdef bytes gap(self, object topic, str epoch, int64_t first, int64_t last, str reason, str new_epoch)
    cpdef bytes finish(self, bytes payload)


cpdef bytes encode(int opcode, bytes payload, bint rsv1=*)
