"""A server frame of RFC 6455 section 5.2: header and payload in one bytes object, built once and shared.

Must not know who receives it, nor what the payload says.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy
from libc.stdint cimport uint8_t


cpdef bytes encode(int opcode, bytes payload, bint rsv1=False):
    cdef Py_ssize_t size = len(payload)
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
