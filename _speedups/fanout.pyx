"""Offer one update to many sockets, then write each touched socket once (design: flows 1 and 3).

Publishing only appends. A flush first distributes: the updates that gathered in a stream's window become one chunk per
form, shared by all its subscribers. Then it sweeps: each touched outbox is written once, in slices, so that a reply
never waits behind a whole burst. Must not know what a message says, nor await anything: the loop calls in.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from _speedups.frame cimport Form, Template, Update
from _speedups.sequence cimport Ring

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_REALTIME
    int CLOCK_MONOTONIC

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

cdef enum:
    STATE = 0
    APPEND = 1
    CRITICAL = 2


cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


def raise_later(error):
    """In a callback of its own, an exception reaches the loop's exception handler and nothing else."""
    raise error


cdef class Histogram:
    def __cinit__(self):
        memset(self.counts, 0, sizeof(self.counts))

    cdef void record(self, int64_t value, int64_t times) noexcept nogil:
        cdef int exponent = 0
        cdef uint64_t v = <uint64_t> value if value > 0 else 0
        while v >= 32:
            v >>= 1
            exponent += 1
        # v < 16 only where exponent is 0; above, its low four bits are the step within the power of two
        cdef int at = <int> v if exponent == 0 else (exponent + 1) * 16 + <int> (v - 16)
        self.counts[at if at < BUCKETS else BUCKETS - 1] += times

    def buckets(self):
        """(upper bound, count) of each bucket that has a count, in order."""
        cdef int i
        found = []
        for i in range(BUCKETS):
            if self.counts[i]:
                bound = i if i < 32 else ((i % 16) + 17 << (i // 16 - 1)) - 1
                found.append((bound, self.counts[i]))
        return found


cdef class Chunk:
    pass


cdef class Group:
    cdef Chunk chunk(self, list updates):
        cdef Chunk chunk = Chunk.__new__(Chunk)
        cdef Update first = <Update> updates[0], last = <Update> updates[len(updates) - 1], update
        if len(updates) == 1:
            chunk.wire = self.form.finish(self.template.render(first, self.stream.epoch))
        else:
            frames = []
            for update in updates:
                frames.append(self.form.finish(self.template.render(update, self.stream.epoch)))
            chunk.wire = b"".join(frames)
        chunk.group = self
        chunk.first = first.sequence
        chunk.last = last.sequence
        chunk.t_in = 0
        return chunk

    cdef Chunk live_chunk(self, list updates):
        """The window's chunk; where the form cannot express it, the announcement that it will not come."""
        cdef Update first = <Update> updates[0], last = <Update> updates[len(updates) - 1]
        cdef Chunk chunk
        try:
            chunk = self.chunk(updates)
        except Exception as error:
            self.stream.fanout.report(error)
            chunk = self.announce(self.stream.epoch, first.sequence, last.sequence, "resync", None)
            chunk.first = first.sequence
            chunk.last = last.sequence
        chunk.t_in = first.t_in
        return chunk

    cdef Chunk announce(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch):
        cdef Chunk chunk = Chunk.__new__(Chunk)
        chunk.wire = self.form.finish(self.form.gap(self.stream.topic, epoch, first, last, reason, new_epoch))
        chunk.group = self
        chunk.first = chunk.last = chunk.t_in = 0
        self.stream.fanout.gaps += 1
        return chunk

    cdef Chunk state_chunk(self):
        """The whole state as of the newest number, or None; made once for all who need it at that number."""
        cdef Stream stream = self.stream
        cdef Update newest
        if self.state is not None and self.state.last == stream.updates.sequence:
            return self.state
        newest = stream.updates.newest()
        if newest is None or not newest.snapshot or stream.deltas:
            found = stream.snapshot() if stream.snapshot is not None else None
            if found is None:
                return None
            newest = Update(stream.updates.sequence, found[0], found[1], found[2], clock_ns(CLOCK_REALTIME), True)
        self.state = self.chunk([newest])
        return self.state


cdef class Subscription:
    @property
    def stream(self):
        return self.group.stream

    @property
    def form(self):
        return self.group.form


cdef class Outbox:
    def __init__(self, Fanout fanout not None, int fd, transport, owner):
        self.fanout = fanout
        self.fd = fd
        self.transport = transport
        self.owner = owner
        self.subscriptions = []

    def streams(self):
        return [(<Subscription> each).group.stream for each in self.subscriptions]

    def reply(self, bytes frame not None):
        if self.finished or self.dead:
            return
        self.fanout.replies += 1
        if not self.blocked and self.replies is None:
            self.send([frame])  # whole chunks wait, or none: a frame fits before them
            return
        if self.queued_bytes and self.queued_bytes + len(frame) > self.fanout.queue_bytes_max:
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
        cdef list members = subscription.group.subscriptions
        cdef Subscription last = <Subscription> members.pop()
        if last is not subscription:
            members[subscription.index] = last
            last.index = subscription.index
        self.subscriptions.remove(subscription)
        if subscription.lagging:
            subscription.lagging = False
            if self.lagging is not None:
                self.lagging.remove(subscription)
        cdef Stream stream = subscription.group.stream
        if not members:
            stream.groups.remove(subscription.group)
            if not stream.groups and stream.on_idle is not None:
                stream.on_idle()
        return 0

    cdef int push(self, Chunk chunk) except -1:
        self.queued_bytes += PyBytes_GET_SIZE(chunk.wire)
        if self.head is None:
            self.head = chunk
        elif self.rest is None:
            self.rest = [chunk]
        else:
            self.rest.append(chunk)
        if not self.dirty and not self.blocked:
            self.fanout.touch(self)
        return 0

    cdef int offer(self, Subscription subscription, Chunk chunk) except -1:
        """Queue a chunk, or skip it when this reader is too slow for its class."""
        cdef Fanout fanout = self.fanout
        cdef Stream stream = subscription.group.stream
        cdef int64_t skipped = chunk.last - chunk.first + 1
        if not subscription.lagging:
            if (self.queued_bytes == 0 or self.queued_bytes + PyBytes_GET_SIZE(chunk.wire)
                    <= fanout.queue_limit(stream.delivery, self.blocked)):
                subscription.sequence = chunk.last
                return self.push(chunk)
            if stream.delivery == CRITICAL:
                return self.overflow()
            subscription.lagging = True
            if self.lagging is None:
                self.lagging = []
            self.lagging.append(subscription)
        if stream.delivery == STATE:
            fanout.conflated += skipped
        else:
            fanout.skipped += skipped
        return 0

    cdef int overflow(self) except -1:
        if not self.overflowed:
            self.overflowed = True
            self.fanout.overflows += 1
            self.fanout.call_soon(self.owner.on_overflow)
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
                subscription.group.stream.catch_up(subscription)
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
                    self.fanout.messages += chunk.last - chunk.first + 1
                    if chunk.t_in:
                        self.fanout.latency.record(now - chunk.t_in, chunk.last - chunk.first + 1)
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
        self.fanout.bytes += size
        if self.fd < 0:
            self.hand_over(frames, 0)
            return 0
        self.fanout.sends += 1
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
                self.fanout.send_errors += 1
                self.blocked = True
                return 0
            sent = 0
        self.fanout.partial_sends += 1
        self.hand_over(frames, sent)
        return 0

    cdef int hand_over(self, list frames, Py_ssize_t sent) except -1:
        whole = <bytes> frames[0] if len(frames) == 1 else b"".join(frames)
        self.transport.write(whole[sent:] if sent else whole)
        return 0


cdef class Stream:
    def __init__(self, Fanout fanout not None, topic, str epoch not None, *, int delivery, bint deltas=False,
                 snapshot=None, on_idle=None, Py_ssize_t ring_depth_updates=1024, Py_ssize_t ring_bytes_max=1048576):
        self.fanout = fanout
        self.topic = topic
        self.epoch = epoch
        self.updates = Ring(ring_depth_updates, ring_bytes_max)
        self.delivery = delivery
        self.deltas = deltas
        self.snapshot = snapshot
        self.on_idle = on_idle
        self.reason = "resync"
        self.groups = []
        self.window = []

    @property
    def sequence(self):
        return self.updates.sequence

    @property
    def subscribers(self):
        return sum([len((<Group> group).subscriptions) for group in self.groups])

    def ring(self, int64_t after):
        return self.updates.after(after)

    def publish(self, bytes data not None, t_ex, int64_t t_in, bint snapshot=False):
        cdef Update update = Update(self.updates.sequence + 1, data, t_ex, t_in, clock_ns(CLOCK_REALTIME), snapshot)
        self.updates.push(update)
        self.fanout.updates += 1
        if self.groups:
            self.window.append(update)
            if not self.dirty:
                self.dirty = True
                self.fanout.dirty_streams.append(self)
                self.fanout.schedule()
        return update.sequence

    cdef int distribute(self) except -1:
        """Make the window's updates one chunk per form and offer it to each subscriber."""
        cdef list updates = self.window, members
        cdef Group group
        cdef Chunk chunk
        cdef Py_ssize_t i, count, start
        cdef Subscription subscription
        self.dirty = False
        if not updates:
            return 0
        self.window = []
        for group in self.groups:
            members = group.subscriptions
            count = len(members)
            chunk = group.live_chunk(updates)
            start = <Py_ssize_t> (self.fanout.flushes * 7919 % <uint64_t> count)  # nobody is always the last
            for i in range(count):
                subscription = <Subscription> members[i + start if i + start < count else i + start - count]
                subscription.outbox.offer(subscription, chunk)
        return 0

    cdef Group group_of(self, Form form):
        cdef Group group
        for group in self.groups:
            if group.form is form:
                return group
        group = Group.__new__(Group)
        group.stream = self
        group.form = form
        group.template = form.template(self.topic)
        group.subscriptions = []
        self.groups.append(group)
        return group

    def attach(self, Outbox outbox not None, Form form not None, *, str epoch=None, int64_t sequence=0,
               bint snapshot=True):
        cdef Subscription subscription
        for subscription in outbox.subscriptions:
            if subscription.group.stream is self:
                raise ValueError("already subscribed")
        if outbox.dead or outbox.finished:
            raise ValueError("the outbox takes nothing more")
        self.distribute()  # what is numbered already is not for a newcomer
        subscription = Subscription.__new__(Subscription)
        subscription.outbox = outbox
        subscription.group = self.group_of(form)
        subscription.epoch = self.epoch
        subscription.sequence = self.updates.sequence
        subscription.index = len(subscription.group.subscriptions)
        subscription.group.subscriptions.append(subscription)
        outbox.subscriptions.append(subscription)
        if epoch is None:
            if snapshot:
                chunk = subscription.group.state_chunk()
                if chunk is not None:
                    outbox.push(chunk)
            return None, 0
        missed = self.updates.after(sequence) if epoch == self.epoch else None
        if missed is not None:
            if missed:
                outbox.push(subscription.group.chunk(missed))
            return True, len(missed)
        subscription.sequence = sequence
        subscription.epoch = epoch
        self.bring_to_now(subscription, "resync")
        return False, 0

    cdef int catch_up(self, Subscription subscription) except -1:
        self.distribute()  # while it still lags, so that it gets nothing twice
        subscription.lagging = False
        return self.bring_to_now(subscription, "slow_consumer")

    cdef int bring_to_now(self, Subscription subscription, str reason) except -1:
        """Announce what lies between a subscriber's position and the newest number, and send the newest state."""
        cdef Group group = subscription.group
        cdef Outbox outbox = subscription.outbox
        cdef int64_t now = self.updates.sequence, announced = now
        cdef Chunk state = None
        if subscription.epoch != self.epoch or subscription.sequence > now:
            # How much was lost is not known: one number stands for "at least this".
            why = reason if reason == "resync" else self.reason
            outbox.push(group.announce(subscription.epoch, subscription.sequence + 1, subscription.sequence + 1, why,
                                       self.epoch))
            subscription.epoch = self.epoch
            subscription.sequence = 0
        if self.delivery == STATE:
            newest = self.updates.newest()
            if self.deltas or newest is None or reason == "resync":
                state = group.state_chunk()
            else:
                state = group.chunk([newest])
            if state is not None:
                announced = now - 1
        if subscription.sequence < announced:
            outbox.push(group.announce(self.epoch, subscription.sequence + 1, announced, reason, None))
        if state is not None:
            outbox.push(state)
        subscription.sequence = now
        return 0

    def detach(self, Outbox outbox not None):
        cdef Subscription subscription
        cdef Chunk chunk
        for subscription in outbox.subscriptions:
            if subscription.group.stream is self:
                break
        else:
            return False
        outbox.forget(subscription)
        waiting = ([] if outbox.head is None else [outbox.head]) + (outbox.rest or [])
        outbox.head = outbox.rest = None
        for chunk in waiting:
            outbox.queued_bytes -= PyBytes_GET_SIZE(chunk.wire)
            if chunk.group is not subscription.group:
                outbox.push(chunk)
        return True

    def resend(self, Outbox outbox not None, int64_t first, int64_t last):
        cdef Subscription subscription
        for subscription in outbox.subscriptions:
            if subscription.group.stream is self:
                found = self.updates.between(first, last)
                if found:
                    outbox.push(subscription.group.chunk(found))
                return len(found)
        return 0

    def reset(self, str epoch not None, str reason not None):
        cdef Group group
        cdef Subscription subscription
        cdef int64_t after = self.updates.sequence + 1
        cdef str ended = self.epoch
        self.distribute()
        self.epoch = epoch
        self.reason = reason
        self.updates.clear()
        for group in self.groups:
            group.state = None
            chunk = group.announce(ended, after, after, reason, epoch)
            for subscription in group.subscriptions:
                if not subscription.lagging:  # who lags is told when it catches up
                    subscription.outbox.push(chunk)
                    subscription.epoch = epoch
                    subscription.sequence = 0


cdef class Fanout:
    def __init__(self, call_soon, call_later, *, int64_t flush_max_us=8000, Py_ssize_t slice_sends=256,
                 Py_ssize_t queue_state_bytes=65536, Py_ssize_t queue_append_bytes=262144,
                 Py_ssize_t queue_bytes_max=1048576):
        self.call_soon = call_soon
        self.call_later = call_later
        self.flush_callback = self._flush
        self.sweep_callback = self._sweep
        self.flush_max_ns = flush_max_us * 1000
        self.slice_sends = slice_sends
        self.queue_state_bytes = queue_state_bytes
        self.queue_append_bytes = queue_append_bytes
        self.queue_bytes_max = queue_bytes_max
        self.dirty_streams = []
        self.dirty_outboxes = []
        self.latency = Histogram()

    cdef Py_ssize_t queue_limit(self, int delivery, bint blocked) noexcept:
        if not blocked or delivery == CRITICAL:
            return self.queue_bytes_max
        return self.queue_state_bytes if delivery == STATE else self.queue_append_bytes

    cdef int touch(self, Outbox outbox) except -1:
        outbox.dirty = True
        self.dirty_outboxes.append(outbox)
        return self.schedule()

    cdef int schedule(self) except -1:
        cdef int64_t wait
        if self.scheduled or self.sweeping:
            return 0
        self.scheduled = True
        if self.saturated:
            wait = self.started_ns + self.flush_max_ns - clock_ns(CLOCK_MONOTONIC)
            if wait > 0:
                self.call_later(wait / 1e9, self.flush_callback)
                return 0
        self.call_soon(self.flush_callback)
        return 0

    def _flush(self):
        cdef list streams = self.dirty_streams
        cdef Stream stream
        self.scheduled = False
        if self.sweeping:
            return
        self.sweeping = True
        self.flushes += 1
        self.started_ns = clock_ns(CLOCK_MONOTONIC)
        self.dirty_streams = []
        for stream in streams:
            stream.distribute()
        self._sweep()

    cdef int report(self, error) except -1:
        """Let the loop log an error without stopping what serves everybody else."""
        self.call_soon(raise_later, error)
        return 0

    def _sweep(self):
        cdef Py_ssize_t upto = min(self.swept + self.slice_sends, len(self.dirty_outboxes))
        cdef Outbox outbox
        while self.swept < upto:
            outbox = <Outbox> self.dirty_outboxes[self.swept]
            self.swept += 1
            try:
                outbox.write()
            except Exception as error:  # one broken transport must not stop the others
                self.report(error)
        if self.swept < len(self.dirty_outboxes):
            self.call_soon(self.sweep_callback)  # the loop reads requests between two slices
            return
        self.dirty_outboxes = []
        self.swept = 0
        self.sweeping = False
        self.saturated = len(self.dirty_streams) > 0
        if self.dirty_streams:
            self.schedule()

    def flush_now(self):
        cdef Stream stream
        for stream in self.dirty_streams:
            stream.distribute()
        self.dirty_streams = []
        for outbox in self.dirty_outboxes[self.swept:]:
            (<Outbox> outbox).write()
        self.dirty_outboxes = []
        self.swept = 0

    def latency_buckets(self):
        return self.latency.buckets()

    def counters(self):
        return {
            "updates": self.updates, "messages": self.messages, "bytes": self.bytes, "sends": self.sends,
            "replies": self.replies, "flushes": self.flushes, "partial_sends": self.partial_sends,
            "send_errors": self.send_errors, "conflated": self.conflated, "skipped": self.skipped,
            "gaps": self.gaps, "overflows": self.overflows,
        }
