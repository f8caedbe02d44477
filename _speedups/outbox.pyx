"""What waits for one socket, and the sweep that writes each touched socket once (design: flows 1 and 3).

Replies leave before data, a CLOSE behind everything. What the kernel does not take at once goes to the transport, and
nothing else is sent until that is empty. Must not know streams, numbers or what a frame says; nothing here waits.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t
from libc.string cimport memset

from _speedups.histogram cimport Histogram

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t c_send "send"(int, const void*, size_t, int)
    ssize_t sendmsg(int, const msghdr*, int)
    int MSG_NOSIGNAL
    int MSG_DONTWAIT

cdef enum:
    IOV = 64                    # pieces a system call; more loop
    BATCH_BYTES = 262144        # bytes a system call aims at: what the transport may have to hold back


def raise_later(error):
    """In a callback of its own, an exception reaches the loop's exception handler and nothing else."""
    raise error


cdef class Chunk:
    pass


cdef class Members:
    cdef int catch_up(self, Subscription subscription) except -1:
        raise NotImplementedError  # a group of a stream knows how

    cdef int emptied(self) except -1:
        raise NotImplementedError


cdef class Subscription:
    @property
    def stream(self):
        return self.members.stream

    @property
    def form(self):
        return self.members.form


cdef class Sweeper:
    def __init__(self, call_soon, *, Py_ssize_t slice_sends, Py_ssize_t queue_state_bytes,
                 Py_ssize_t queue_append_bytes, Py_ssize_t queue_bytes_max):
        self.call_soon = call_soon
        self.slice_sends = slice_sends
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

    cdef int report(self, error) except -1:
        """Let the loop log an error without stopping what serves everybody else."""
        self.call_soon(raise_later, error)
        return 0


cdef class Outbox:
    def __init__(self, Sweeper sweeper not None, int fd, transport, owner):
        self.sweeper = sweeper
        self.fd = fd
        self.transport = transport
        self.owner = owner
        self.subscriptions = []

    def streams(self):
        return [(<Subscription> each).members.stream for each in self.subscriptions]

    def reply(self, bytes frame not None):
        if self.finished or self.dead or self.overflowed:
            return
        self.sweeper.replies += 1
        if not self.blocked and self.replies is None:
            self.send([frame])  # whole chunks wait, or none: a frame fits before them
            return
        if self.queued_bytes and self.queued_bytes + len(frame) > self.sweeper.queue_bytes_max:
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
        cdef Sweeper sweeper = self.sweeper
        cdef int delivery = subscription.members.delivery
        cdef int64_t skipped = chunk.last - chunk.first + 1
        if not subscription.lagging:
            if (self.queued_bytes == 0 or self.queued_bytes + PyBytes_GET_SIZE(chunk.wire)
                    <= sweeper.queue_limit(delivery, self.blocked)):
                subscription.sequence = chunk.last
                return self.push(chunk)
            if delivery == CRITICAL:
                return self.overflow()
            subscription.lagging = True
            if self.lagging is None:
                self.lagging = []
            self.lagging.append(subscription)
        if delivery == STATE:
            sweeper.conflated += skipped
        else:
            sweeper.skipped += skipped
        return 0

    cdef int overflow(self) except -1:
        if not self.overflowed:
            self.overflowed = True
            self.sweeper.overflows += 1
            self.sweeper.call_soon(self.owner.on_overflow)
        return 0

    cdef int write(self) except -1:
        """Send all that waits, then catch up who lagged; stops as soon as the socket takes no more."""
        cdef list frames
        self.dirty = False
        while not self.blocked and not self.dead:
            frames = self.take()
            if frames:
                self.send(frames)
            elif self.lagging:
                subscription = <Subscription> self.lagging.pop(0)
                subscription.members.catch_up(subscription)
            else:
                break
        return 0

    cdef list take(self):
        """The next frames for one system call, replies first; they no longer count as queued."""
        cdef list frames = []
        cdef Py_ssize_t size = 0, taken = 0
        cdef Chunk chunk
        cdef int64_t now
        if self.replies is not None:
            while taken < len(self.replies) and taken < IOV and size < BATCH_BYTES:
                frames.append(self.replies[taken])
                size += PyBytes_GET_SIZE(<bytes> self.replies[taken])
                taken += 1
            if taken == len(self.replies):
                self.replies = None
            else:
                del self.replies[:taken]
        elif self.head is not None:
            now = clock_ns(CLOCK_REALTIME)
            chunk = self.head
            while True:
                frames.append(chunk.wire)
                size += PyBytes_GET_SIZE(chunk.wire)
                if chunk.first:
                    self.sent_messages += chunk.last - chunk.first + 1
                    self.sweeper.messages += chunk.last - chunk.first + 1
                    if chunk.t_in:
                        self.sweeper.latency.record(now - chunk.t_in, chunk.last - chunk.first + 1)
                if self.rest is None or taken == len(self.rest) or taken == IOV - 1 or size >= BATCH_BYTES:
                    break
                chunk = <Chunk> self.rest[taken]
                taken += 1
            if self.rest is None or taken == len(self.rest):
                self.head = self.rest = None
            else:
                self.head = <Chunk> self.rest[taken]
                del self.rest[:taken + 1]
        elif self.last_frame is not None:
            frames.append(self.last_frame)
            size = PyBytes_GET_SIZE(self.last_frame)
            self.last_frame = None
        self.queued_bytes -= size
        return frames

    cdef int send(self, list frames) except -1:
        """Hand frames to the kernel; what it does not take goes to the transport, which then calls `pause`."""
        cdef iovec pieces[IOV]
        cdef msghdr message
        cdef Py_ssize_t i, count = len(frames), size = 0
        cdef ssize_t sent = 0
        cdef bytes frame
        for i in range(count):
            frame = <bytes> frames[i]
            pieces[i].iov_base = <void*> PyBytes_AS_STRING(frame)
            pieces[i].iov_len = PyBytes_GET_SIZE(frame)
            size += PyBytes_GET_SIZE(frame)
        self.sent_bytes += size
        self.sweeper.bytes += size
        if self.fd < 0:
            self.hand_over(frames, 0)
            return 0
        self.sweeper.sends += 1
        if count == 1:
            sent = c_send(self.fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
        else:
            memset(&message, 0, sizeof(message))
            message.msg_iov = pieces
            message.msg_iovlen = count
            sent = sendmsg(self.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent == size:
            return 0
        if sent < 0:
            if errno != EAGAIN and errno != EINTR:
                # The peer is gone. The transport learns it by reading and reports it; nothing can be sent any more.
                self.sweeper.send_errors += 1
                self.blocked = True
                return 0
            sent = 0
        self.sweeper.partial_sends += 1
        self.hand_over(frames, sent)
        return 0

    cdef int hand_over(self, list frames, Py_ssize_t sent) except -1:
        whole = <bytes> frames[0] if len(frames) == 1 else b"".join(frames)
        self.transport.write(whole[sent:] if sent else whole)
        return 0
