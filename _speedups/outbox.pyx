"""What waits for one socket, and the sweep that writes each touched socket once (ARCHITECTURE.md, flows 1 and 3).

Replies leave before data, a CLOSE behind everything. What the kernel does not take at once goes to the transport, and
nothing else is sent until that is empty. Must not know streams, numbers or what a frame says; nothing here waits.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from _speedups.histogram cimport Histogram

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send"(int, const void*, size_t, int)
    int MSG_NOSIGNAL
    int MSG_DONTWAIT

cdef enum:
    SCRATCH_BYTES = 65536       # what several frames are joined in for one call; a larger frame goes alone


def raise_later(error):
    """In a callback of its own, an exception reaches the loop's exception handler and nothing else."""
    raise error


cdef class Chunk:
    pass


cdef class Members:
    cdef int catch_up(self, Subscription subscription) except -1:
        raise NotImplementedError  # a group of a stream knows how

    cdef int emptied(self) except -1:
        raise NotImplementedError  # likewise


cdef class Subscription:
    pass


cdef class Sweeper:
    def __cinit__(self):
        self.scratch = <char*> PyMem_Malloc(SCRATCH_BYTES)
        if self.scratch == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.scratch)

    def __init__(self, call_soon, *, Py_ssize_t slice_sends=256, Py_ssize_t urgent_slice_sends=8,
                 int64_t urgent_max_us=250_000, int64_t send_ns=6_000, Py_ssize_t queue_state_bytes=65536,
                 Py_ssize_t queue_append_bytes=262144, Py_ssize_t queue_bytes_max=1048576):
        self.call_soon = call_soon
        self.slice_sends = slice_sends
        self.urgent_slice_sends = urgent_slice_sends
        self.urgent_max_ns = urgent_max_us * 1000
        self.send_ns = send_ns
        self.queue_state_bytes = queue_state_bytes
        self.queue_append_bytes = queue_append_bytes
        self.queue_bytes_max = queue_bytes_max
        self.dirty_outboxes = []
        self.latency = Histogram()

    cdef Py_ssize_t queue_limit(self, int delivery, bint blocked) noexcept:
        if not blocked or delivery == CRITICAL:
            return self.queue_bytes_max
        return self.queue_state_bytes if delivery == STATE else self.queue_append_bytes

    cdef int schedule(self) except -1:
        raise NotImplementedError  # the fan-out knows when

    cdef int touch(self, Outbox outbox) except -1:
        outbox.dirty = True
        self.dirty_outboxes.append(outbox)
        return self.schedule()

    cdef bint sweep(self, Py_ssize_t sends_max) except -1:
        """Write up to so many dirty outboxes; whether all are done."""
        cdef Py_ssize_t upto = min(self.swept + sends_max, len(self.dirty_outboxes))
        cdef Outbox outbox
        while self.swept < upto:
            outbox = <Outbox> self.dirty_outboxes[self.swept]
            self.swept += 1
            try:
                outbox.write()
            except Exception as error:  # one broken transport must not stop the others
                self.report(error)
        if self.swept < len(self.dirty_outboxes):
            return False
        self.dirty_outboxes = []
        self.swept = 0
        return True

    def urge(self, Py_ssize_t more):
        if more > 0:
            self.urged_ns = clock_ns(CLOCK_MONOTONIC)
        self.urgent += more

    cdef bint sweep_slice(self) except -1:
        """Write what is one slice now; whether all are done.

        Whose answer takes many turns of the loop waits for a slice in each: while there is such a one slices are short,
        but as long as what the loop does between them. So a sweep gets half of its time whatever else there is to do.
        """
        cdef Py_ssize_t sends = self.slice_sends
        cdef int64_t now = clock_ns(CLOCK_MONOTONIC), elsewhere_ns = now - self.sliced_ns if self.swept else 0
        cdef bint done
        if self.urgent and now - self.urged_ns < self.urgent_max_ns:
            sends = min(sends, max(self.urgent_slice_sends, <Py_ssize_t> (elsewhere_ns // self.send_ns)))
        done = self.sweep(sends)
        self.sliced_ns = clock_ns(CLOCK_MONOTONIC)
        return done

    cdef int report(self, error) except -1:
        """Let the loop log an error without stopping what serves everybody else."""
        self.call_soon(raise_later, error)
        return 0


cdef class Outbox:
    def __init__(self, Sweeper sweeper not None, int fd, transport, owner, *, Py_ssize_t room=1,
                 bint counts_messages=True, bint counts_bytes=True):
        self.sweeper = sweeper
        self.fd = fd
        self.transport = transport
        self.owner = owner
        self.room = room
        self.counts_messages = counts_messages
        self.counts_bytes = counts_bytes
        self.subscriptions = []

    def streams(self):
        return [(<Subscription> each).members.stream for each in self.subscriptions]

    def reply(self, bytes frame not None):
        if self.finished or self.dead or self.overflowed:
            return
        self.sweeper.replies += self.counts_bytes
        if not self.blocked and self.replies is None:
            # Whole chunks wait, or none: a frame fits before them.
            if self.head is None:
                self.send(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
                return
            self.replies = [frame]  # in one call with what would leave in a moment: a snapshot behind its ack
            self.queued_bytes += len(frame)
            self.write()
            return
        if self.queued_bytes and self.queued_bytes + len(frame) > self.sweeper.queue_bytes_max * self.room:
            self.overflow()
            return
        if self.replies is None:
            self.replies = []
        self.replies.append(frame)
        self.queued_bytes += len(frame)

    def finish(self, bytes frame not None, *, bint drop=False):
        if self.finished or self.dead:
            return
        self.finished = True
        for subscription in list(self.subscriptions):
            self.forget(subscription)
        self.lagging = None
        if drop:
            self.head = self.rest = self.replies = None
            self.queued_bytes = 0
        self.last_frame = frame
        self.queued_bytes += len(frame)
        if not self.blocked:
            self.write()

    def pause(self):
        self.blocked = True

    def resume(self):
        self.blocked = False
        if not self.dead:
            self.write()

    def discard(self):
        if self.dead:
            return
        self.dead = True
        for subscription in list(self.subscriptions):
            self.forget(subscription)
        self.head = self.rest = self.replies = self.lagging = self.last_frame = None
        self.queued_bytes = 0
        self.transport = self.owner = None

    cdef int forget(self, Subscription subscription) except -1:
        """Undo the mirror entries of one subscription; the last of the group takes its place."""
        cdef list others = subscription.members.subscriptions
        cdef Subscription last = <Subscription> others.pop()
        if last is not subscription:
            others[subscription.index] = last
            last.index = subscription.index
        self.subscriptions.remove(subscription)
        if subscription.lagging:
            subscription.lagging = False
            if self.lagging is not None:
                self.lagging.remove(subscription)
        if not others:
            subscription.members.emptied()
        return 0

    cdef int push(self, Chunk chunk) except -1:
        if self.overflowed:
            return 0  # it is being closed: after a hole nothing may follow
        self.queued_bytes += PyBytes_GET_SIZE(chunk.wire)
        if self.head is None:
            self.head = chunk
        elif self.rest is None:
            self.rest = [chunk]
        else:
            self.rest.append(chunk)
        if not self.dirty and not self.blocked:
            self.sweeper.touch(self)
        return 0

    cdef int offer(self, Subscription subscription, Chunk chunk) except -1:
        """Queue a chunk, or skip it when this reader is too slow for its class."""
        cdef int delivery = subscription.members.delivery
        if subscription.replaying:
            return 0  # it is in the ring, where the replay will find it
        if not subscription.lagging:
            if self.takes(delivery, PyBytes_GET_SIZE(chunk.wire)):
                subscription.sequence = chunk.last
                return self.push(chunk)
            if delivery == CRITICAL:
                return self.overflow()
            self.lag(subscription)
        if delivery == STATE:
            self.sweeper.conflated += chunk.last - chunk.first + 1
        else:
            self.sweeper.skipped += chunk.last - chunk.first + 1
        return 0

    cdef bint takes(self, int delivery, Py_ssize_t size) noexcept:
        """Whether so many bytes of this class may wait here too. One alone always may."""
        return self.queued_bytes == 0 or (
            self.queued_bytes + size <= self.sweeper.queue_limit(delivery, self.blocked) * self.room)

    cdef int lag(self, Subscription subscription) except -1:
        """Have a subscription catch up once nothing waits any more."""
        subscription.lagging = True
        if self.lagging is None:
            self.lagging = []
        self.lagging.append(subscription)
        if not self.dirty and not self.blocked:
            self.sweeper.touch(self)
        return 0

    cdef int overflow(self) except -1:
        if not self.overflowed:
            self.overflowed = True
            self.sweeper.overflows += 1
            self.sweeper.call_soon(self.owner.on_overflow)
        return 0

    cdef int write(self) except -1:
        """Send all that waits, then catch up who lagged; stops as soon as the socket takes no more."""
        cdef bytes frame
        self.dirty = False
        while not self.blocked and not self.dead:
            if self.replies is not None:
                self.send_replies()
            elif self.head is not None:
                self.send_chunks()
            elif self.lagging:
                subscription = <Subscription> self.lagging.pop(0)
                subscription.members.catch_up(subscription)
            elif self.last_frame is not None:
                frame, self.last_frame = self.last_frame, None
                self.queued_bytes -= PyBytes_GET_SIZE(frame)
                self.send(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
            else:
                break
        return 0

    cdef int send_replies(self) except -1:
        """As many replies as one call takes, and behind all of them chunks."""
        cdef bytes frame = <bytes> self.replies[0]
        cdef Py_ssize_t used = 0, taken = 0
        if PyBytes_GET_SIZE(frame) <= SCRATCH_BYTES:
            while taken < len(self.replies):
                frame = <bytes> self.replies[taken]
                if used + PyBytes_GET_SIZE(frame) > SCRATCH_BYTES:
                    break
                memcpy(self.sweeper.scratch + used, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
                used += PyBytes_GET_SIZE(frame)
                taken += 1
        self.replies = self.replies[max(taken, 1):] or None
        self.queued_bytes -= used or PyBytes_GET_SIZE(frame)
        if used:
            if self.replies is None:
                used = self.join_chunks(used)
            return self.send(self.sweeper.scratch, used)
        return self.send(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))

    cdef int send_chunks(self) except -1:
        """As many chunks as one call takes; one alone is not copied."""
        cdef Chunk chunk = self.head
        cdef Py_ssize_t used = 0 if self.rest is None else self.join_chunks(0)
        if used:
            return self.send(self.sweeper.scratch, used)
        self.head = None
        if self.rest is not None:
            self.head = <Chunk> self.rest[0]
            self.rest = self.rest[1:] or None
        self.account(chunk, clock_ns(CLOCK_REALTIME))
        return self.send(PyBytes_AS_STRING(chunk.wire), PyBytes_GET_SIZE(chunk.wire))

    cdef Py_ssize_t join_chunks(self, Py_ssize_t used) except -1:
        """Take the chunks that fit behind so many bytes in the scratch; how many bytes are there then."""
        cdef int64_t now = clock_ns(CLOCK_REALTIME)
        cdef list rest = self.rest
        cdef Chunk chunk = self.head
        cdef Py_ssize_t taken = 0, count = 0 if rest is None else len(rest)
        while chunk is not None and used + PyBytes_GET_SIZE(chunk.wire) <= SCRATCH_BYTES:
            memcpy(self.sweeper.scratch + used, PyBytes_AS_STRING(chunk.wire), PyBytes_GET_SIZE(chunk.wire))
            used += PyBytes_GET_SIZE(chunk.wire)
            self.account(chunk, now)
            chunk = None
            if taken < count:
                chunk = <Chunk> rest[taken]
                taken += 1
        self.head = chunk
        self.rest = rest[taken:] if taken < count else None
        return used

    cdef int account(self, Chunk chunk, int64_t now) except -1:
        """Count a chunk that leaves the queue."""
        cdef int64_t messages = chunk.last - chunk.first + 1
        self.queued_bytes -= PyBytes_GET_SIZE(chunk.wire)
        if chunk.first and self.counts_messages:
            self.sweeper.messages += messages
            if chunk.t_in:
                self.sweeper.latency.record(now - chunk.t_in, messages)
        return 0

    cdef int send(self, const char* data, Py_ssize_t size) except -1:
        """Hand bytes to the kernel; what it does not take goes to the transport, which then calls `pause`."""
        cdef ssize_t sent = 0
        if self.counts_bytes:
            self.sweeper.bytes += size
            self.sweeper.sends += 1
        if self.fd >= 0:
            sent = c_send(self.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent == size:
                return 0
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    # The peer is gone. The transport learns it by reading and reports it; nothing more can be sent.
                    self.sweeper.send_errors += 1
                    self.blocked = True
                    return 0
                sent = 0
            self.sweeper.partial_sends += 1
        self.transport.write(PyBytes_FromStringAndSize(data + sent, size - sent))
        return 0
