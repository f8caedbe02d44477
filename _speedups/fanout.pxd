"""The last mile: who is offered what, and what waits for each socket. A comment a field; invariants in design."""
from libc.stdint cimport int64_t, uint64_t

from _speedups.frame cimport Form, Template, Update
from _speedups.sequence cimport Ring

cdef enum:
    BUCKETS = 64 * 16


cdef class Histogram:
    cdef uint64_t counts[BUCKETS]       # 16 steps a power of two: within 7 %

    cdef void record(self, int64_t value, int64_t times) noexcept nogil


cdef class Chunk:
    """Finished bytes for one group of subscribers: one frame, or the frames of a window joined."""
    cdef:
        bytes wire
        Group group                     # whose subscribers it was made for
        int64_t first, last             # numbers inside; first 0: announces something, carries no number
        int64_t t_in                    # when its oldest update was read, ns since the epoch


cdef class Group:
    """The subscribers of one stream that take it in one form."""
    cdef:
        Stream stream
        Form form
        Template template
        list subscriptions              # order is arbitrary; each knows its index
        Chunk state                     # newest state as a chunk, for those who join or catch up

    cdef Chunk chunk(self, list updates)
    cdef Chunk live_chunk(self, list updates)
    cdef Chunk announce(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch)
    cdef Chunk state_chunk(self)


cdef class Subscription:
    cdef:
        readonly Outbox outbox
        Group group
        str epoch                       # of `sequence`
        readonly int64_t sequence       # the last number queued for, or announced to, this subscriber
        Py_ssize_t index                # in group.subscriptions
        readonly bint lagging           # skips until its socket has caught up


cdef class Outbox:
    cdef:
        Fanout fanout
        int fd                          # -1: only the transport may write
        object transport
        readonly object owner
        Chunk head                      # the oldest chunk that waits
        list rest                       # the others, or None
        list replies                    # frames that leave before any chunk, or None
        bytes last_frame                # CLOSE: leaves behind all else
        list subscriptions
        list lagging                    # subscriptions to catch up once nothing waits, or None
        readonly Py_ssize_t queued_bytes    # == sum of what waits
        readonly int64_t sent_bytes
        readonly int64_t sent_messages
        readonly bint blocked           # the transport holds bytes back
        readonly bint finished          # nothing more is taken
        bint dirty                      # in fanout.dirty_outboxes
        bint overflowed
        bint dead

    cdef int push(self, Chunk chunk) except -1
    cdef int offer(self, Subscription subscription, Chunk chunk) except -1
    cdef int write(self) except -1
    cdef list take(self)
    cdef int send(self, list frames) except -1
    cdef int hand_over(self, list frames, Py_ssize_t sent) except -1
    cdef int overflow(self) except -1
    cdef int forget(self, Subscription subscription) except -1


cdef class Stream:
    cdef:
        Fanout fanout
        readonly object topic
        readonly str epoch
        Ring updates
        int delivery
        bint deltas                     # an update means nothing without its predecessor
        object snapshot                 # () -> (data, t_ex, t_in) | None
        object on_idle                  # () -> None, or None: the last subscriber has gone
        str reason                      # of the last reset
        list groups
        list window                     # numbered, not yet distributed
        bint dirty                      # in fanout.dirty_streams

    cdef int distribute(self) except -1
    cdef Group group_of(self, Form form)
    cdef int catch_up(self, Subscription subscription) except -1
    cdef int bring_to_now(self, Subscription subscription, str reason) except -1


cdef class Fanout:
    cdef:
        object call_soon
        object call_later
        object flush_callback
        object sweep_callback
        int64_t flush_max_ns
        Py_ssize_t slice_sends
        Py_ssize_t queue_state_bytes, queue_append_bytes, queue_bytes_max
        list dirty_streams
        list dirty_outboxes             # written from `swept` on, in order
        Py_ssize_t swept
        int64_t started_ns              # of the last flush, monotonic
        bint scheduled                  # a flush is due
        bint sweeping                   # a flush is under way, maybe between two slices
        bint saturated                  # updates came while the last flush was under way
        readonly Histogram latency
        uint64_t updates, sends, messages, bytes, replies
        uint64_t partial_sends, send_errors
        uint64_t conflated, skipped, gaps, overflows, flushes

    cdef int touch(self, Outbox outbox) except -1
    cdef int schedule(self) except -1
    cdef int report(self, error) except -1
    cdef Py_ssize_t queue_limit(self, int delivery, bint blocked) noexcept
