"""What waits for each socket. A comment a field; the invariants are in ARCHITECTURE.md."""
from libc.stdint cimport int64_t, uint64_t

from _speedups.histogram cimport Histogram

cdef enum:
    STATE = 0
    APPEND = 1
    CRITICAL = 2

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_REALTIME
    int CLOCK_MONOTONIC


cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef class Chunk:
    """Finished bytes for one group of subscribers: one frame, or the frames of a window joined."""
    cdef:
        bytes wire
        Members members                 # whose subscribers it was made for
        int64_t first, last             # numbers inside; first 0: announces something, carries no number
        int64_t t_in                    # when its oldest update was read, ns since the epoch


cdef class Members:
    """Those who get the same chunks; a stream's group is one."""
    cdef:
        object stream
        int delivery
        list subscriptions              # order is arbitrary; each knows its index

    cdef int catch_up(self, Subscription subscription) except -1
    cdef int emptied(self) except -1


cdef class Subscription:
    """One outbox on one stream in one form."""
    cdef:
        Outbox outbox
        Members members
        str epoch                       # of `sequence`
        int64_t sequence                # the last number queued for, or announced to, this subscriber
        Py_ssize_t index                # in members.subscriptions
        bint lagging                    # skips until nothing waits for its socket any more; then it catches up
        bint replaying                  # lags on purpose: the ring is sent slice by slice, as the socket takes it


cdef class Sweeper:
    """The dirty outboxes of one loop, the limits of their queues, and what is counted."""
    cdef:
        object call_soon
        Py_ssize_t slice_sends
        Py_ssize_t urgent_slice_sends   # while somebody's answer takes several turns of the loop
        Py_ssize_t urgent               # how many wait for such an answer
        int64_t urged_ns                # when the last of them began to, monotonic
        int64_t urgent_max_ns           # who waits longer than this waits for something else than turns
        int64_t send_ns                 # what a send is taken for
        int64_t sliced_ns               # when the last slice ended, monotonic
        Py_ssize_t queue_state_bytes, queue_append_bytes, queue_bytes_max
        char* scratch                   # where frames of one call are joined
        list dirty_outboxes             # written from `swept` on, in order
        Py_ssize_t swept
        readonly Histogram latency
        uint64_t updates, sends, messages, bytes, replies
        uint64_t partial_sends, send_errors
        uint64_t conflated, skipped, gaps, overflows, flushes

    cdef Py_ssize_t queue_limit(self, int delivery, bint blocked) noexcept
    cdef int schedule(self) except -1
    cdef int touch(self, Outbox outbox) except -1
    cdef bint sweep(self, Py_ssize_t sends_max) except -1
    cdef bint sweep_slice(self) except -1
    cdef int report(self, error) except -1


cdef class Outbox:
    cdef:
        Sweeper sweeper
        int fd                          # -1: only the transport may write
        object transport
        object owner
        Chunk head                      # the oldest chunk that waits
        list rest                       # the others, or None
        list replies                    # frames that leave before any chunk, or None
        bytes last_frame                # CLOSE: leaves behind all else
        list subscriptions
        list lagging                    # subscriptions to catch up once nothing waits, or None
        readonly Py_ssize_t queued_bytes    # == sum of what waits
        readonly bint blocked           # the transport holds bytes back
        readonly bint finished          # nothing more is taken
        Py_ssize_t room                 # how many times as much may wait here as for a client
        bint counts_messages            # what is sent is told by the counters: it goes to a client
        bint counts_bytes               # and it goes there from here
        bint dirty                      # in sweeper.dirty_outboxes
        bint overflowed
        bint dead

    cdef int push(self, Chunk chunk) except -1
    cdef int offer(self, Subscription subscription, Chunk chunk) except -1
    cdef int write(self) except -1
    cdef int send_replies(self) except -1
    cdef int send_chunks(self) except -1
    cdef Py_ssize_t join_chunks(self, Py_ssize_t used) except -1
    cdef int account(self, Chunk chunk, int64_t now) except -1
    cdef int send(self, const char* data, Py_ssize_t size) except -1
    cdef bint takes(self, int delivery, Py_ssize_t size) noexcept
    cdef int lag(self, Subscription subscription) except -1
    cdef int overflow(self) except -1
    cdef int forget(self, Subscription subscription) except -1
