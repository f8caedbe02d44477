"""Who is offered what. A comment a field; the invariants are in ARCHITECTURE.md."""
from libc.stdint cimport int64_t, uint64_t

from _speedups.frame cimport Form, Template
from _speedups.outbox cimport Chunk, Members, Outbox, Subscription, Sweeper
from _speedups.sequence cimport Ring


cdef class Group(Members):
    """The subscribers of one stream that take it in one form."""
    cdef:
        Stream owner                    # `stream`, as what it is
        Form frames
        Template template
        Chunk state                     # newest state as a chunk, for those who join or catch up

    cdef Chunk chunk(self, list updates)
    cdef Chunk live_chunk(self, list updates)
    cdef Chunk announce(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch)
    cdef Chunk state_chunk(self)
    cdef bint replay(self, Subscription subscription) except -1


cdef class Stream:
    cdef:
        Fanout fanout
        readonly object topic
        readonly str epoch
        Ring updates
        int delivery
        bint deltas                     # an update means nothing without its predecessor
        readonly object snapshot        # () -> (data, t_ex, t_in) | None
        object on_idle                  # () -> None, or None: the last subscriber has gone
        bint timed                      # its latency is measured: nothing in it waits on purpose
        str reason                      # of the last reset
        list groups
        list window                     # numbered, not yet distributed
        bint dirty                      # in fanout.dirty_streams

    cdef int distribute(self) except -1
    cdef int announce_hole(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch) except -1
    cdef int64_t number(self, bytes data, t_ex, int64_t t_in, bint whole) except -1
    cdef Group group_of(self, Form form)
    cdef Subscription find(self, Outbox outbox, Form form)
    cdef tuple welcome(self, Subscription subscription, str epoch, int64_t sequence, bint snapshot, bint replay)
    cdef int end_epoch(self, Subscription subscription, str reason) except -1
    cdef int bring_to_now(self, Subscription subscription, str reason) except -1


cdef class Fanout(Sweeper):
    cdef:
        object call_later
        object flush_callback
        object sweep_callback
        int64_t flush_max_ns
        int64_t settle_ns               # a flush is that long ago: sooner, what several sources say gathers in a turn
        list dirty_streams
        int64_t started_ns              # of the last flush, monotonic
        bint scheduled                  # a flush is due
        bint sweeping                   # a flush is under way, maybe between two slices
        bint gathered                   # the last flush wrote several messages a socket
        bint saturated                  # updates came while the last flush was under way, and it gathered
        uint64_t sends_before, messages_before  # the last flush
