"""Offer one update to many sockets, then have each touched socket written once (ARCHITECTURE.md, flows 1 and 3).

Publishing only appends. A flush first distributes: the updates that gathered in a stream's window become one chunk per
form, shared by all its subscribers. Then it sweeps: each touched outbox is written once, in slices, so that a reply
never waits behind a whole burst. Must not know what a message says, nor await anything: the loop calls in.
"""
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from _speedups.frame cimport Form, Update
from _speedups.outbox cimport (
    APPEND, CLOCK_MONOTONIC, CLOCK_REALTIME, STATE, Chunk, Outbox, Subscription, Sweeper, clock_ns,
)
from _speedups.sequence cimport Ring

cdef enum:
    REPLAY_BYTES = 65536        # data of one slice of a replay: what may wait for its socket


cdef class Group:
    cdef Chunk chunk(self, list updates):
        cdef Chunk chunk = Chunk.__new__(Chunk)
        cdef Update first = <Update> updates[0], last = <Update> updates[len(updates) - 1], update
        cdef list frames = []
        for update in updates:
            frames.append(self.frames.finish(self.template.render(update, self.owner.epoch)))
        chunk.wire = b"".join(frames)  # of one: the very same object
        chunk.members = self
        chunk.first = first.sequence
        chunk.last = last.sequence
        return chunk

    cdef Chunk live_chunk(self, list updates):
        """The window's chunk; where the form cannot express it, the announcement that it will not come."""
        cdef Update first = <Update> updates[0], last = <Update> updates[len(updates) - 1]
        cdef Chunk chunk
        try:
            chunk = self.chunk(updates)
        except Exception as error:
            self.owner.fanout.report(error)
            chunk = self.announce(self.owner.epoch, first.sequence, last.sequence, "resync", None)
            chunk.first = first.sequence
            chunk.last = last.sequence
        return chunk

    cdef Chunk announce(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch):
        cdef Chunk chunk = Chunk.__new__(Chunk)
        chunk.wire = self.frames.finish(self.frames.gap(self.owner.topic, epoch, first, last, reason, new_epoch))
        chunk.members = self
        self.owner.fanout.gaps += 1
        return chunk

    cdef Chunk state_chunk(self):
        """The whole state as of the newest number, or None; made once for all who need it at that number."""
        cdef Stream stream = self.owner
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

    cdef int catch_up(self, Subscription subscription) except -1:
        self.owner.distribute()  # while it still lags, so that it gets nothing twice
        subscription.lagging = False
        if subscription.replaying:
            if subscription.epoch != self.owner.epoch:
                self.owner.end_epoch(subscription, self.owner.reason)
            if self.replay(subscription):
                return 0
        return self.owner.bring_to_now(subscription, "slow_consumer")

    cdef bint replay(self, Subscription subscription) except -1:
        """Send the next slice of what a resumer missed; False: the ring has moved on beneath it."""
        cdef Py_ssize_t size = 0, count = 0
        subscription.replaying = False
        missed = self.owner.updates.after(subscription.sequence)
        if missed is None:
            return False
        while count < len(missed) and (count == 0 or size < REPLAY_BYTES):
            size += PyBytes_GET_SIZE((<Update> missed[count]).data)
            count += 1
        if count:
            subscription.outbox.push(self.chunk(missed[:count]))
            subscription.sequence += count
        if count < len(missed):
            subscription.replaying = True
            subscription.outbox.lag(subscription)
        return True

    cdef int emptied(self) except -1:
        self.owner.groups.remove(self)
        if not self.owner.groups and self.owner.on_idle is not None:
            self.owner.on_idle()
        return 0


cdef class Stream:
    def __init__(self, Fanout fanout not None, topic, str epoch not None, *, int delivery, bint deltas=False,
                 snapshot=None, on_idle=None, bint timed=True, Py_ssize_t ring_depth_updates=1024,
                 Py_ssize_t ring_bytes_max=1048576, int64_t sequence=0):
        self.fanout = fanout
        self.topic = topic
        self.epoch = epoch
        self.updates = Ring(ring_depth_updates, ring_bytes_max)
        self.updates.sequence = sequence
        self.delivery = delivery
        self.deltas = deltas
        self.snapshot = snapshot
        self.on_idle = on_idle
        self.timed = timed
        self.reason = "resync"
        self.groups = []
        self.window = []

    @property
    def sequence(self):
        return self.updates.sequence

    @property
    def subscribers(self):
        return sum([len((<Group> group).subscriptions) for group in self.groups])

    @property
    def oldest(self):
        return self.updates.sequence - len(self.updates) + 1

    def ring(self, int64_t after):
        return self.updates.after(after)

    def publish(self, bytes data not None, t_ex, int64_t t_in):
        return self.number(data, t_ex, t_in, self.delivery == STATE and self.updates.sequence == 0)

    def publish_whole(self, bytes data not None, t_ex, int64_t t_in):
        return self.number(data, t_ex, t_in, True)

    cdef int64_t number(self, bytes data, t_ex, int64_t t_in, bint whole) except -1:
        cdef Update update = Update(self.updates.sequence + 1, data, t_ex, t_in, clock_ns(CLOCK_REALTIME), whole)
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
            chunk.t_in = (<Update> updates[0]).t_in if self.timed else 0
            start = <Py_ssize_t> (self.fanout.flushes * 7919 % <uint64_t> count)  # nobody is always the last
            for i in range(count):
                subscription = <Subscription> members[i + start if i + start < count else i + start - count]
                subscription.outbox.offer(subscription, chunk)
        return 0

    cdef Group group_of(self, Form form):
        cdef Group group
        for group in self.groups:
            if group.frames is form:
                return group
        group = Group.__new__(Group)
        group.stream = group.owner = self
        group.frames = form
        group.delivery = self.delivery
        group.template = form.template(self.topic)
        group.subscriptions = []
        self.groups.append(group)
        return group

    def attach(self, Outbox outbox not None, Form form not None, *, str epoch=None, int64_t sequence=0,
               bint snapshot=True, bint replay=True):
        cdef Subscription subscription
        cdef Group group
        if self.find(outbox, form) is not None:
            raise ValueError("already subscribed")
        if outbox.dead or outbox.finished:
            raise ValueError("the outbox takes nothing more")
        self.distribute()  # what is numbered already is not for a newcomer
        subscription = Subscription.__new__(Subscription)
        subscription.outbox = outbox
        group = self.group_of(form)
        subscription.members = group
        subscription.epoch = self.epoch
        subscription.sequence = self.updates.sequence
        subscription.index = len(group.subscriptions)
        group.subscriptions.append(subscription)
        outbox.subscriptions.append(subscription)
        try:
            return self.welcome(subscription, epoch, sequence, snapshot, replay)
        except Exception:
            outbox.forget(subscription)  # a form that cannot render what it should
            raise

    cdef tuple welcome(self, Subscription subscription, str epoch, int64_t sequence, bint snapshot, bint replay):
        """What a newcomer gets first: (recovered, replayed)."""
        cdef Outbox outbox = subscription.outbox
        if replay and epoch == self.epoch and sequence <= self.updates.sequence:
            missed = self.updates.after(sequence)
            if missed is not None:
                if missed:
                    subscription.sequence = sequence
                    subscription.replaying = True
                    outbox.lag(subscription)
                return True, len(missed)
        # A number that was never given names nothing that could be announced: as if none had been sent.
        is_position = epoch is not None and (epoch != self.epoch or sequence <= self.updates.sequence)
        if is_position:
            subscription.sequence, subscription.epoch = sequence, epoch
        if is_position or snapshot or epoch is not None:
            if not outbox.takes(self.delivery, 0):
                outbox.lag(subscription)
            elif is_position:
                self.bring_to_now(subscription, "resync" if replay else "slow_consumer")
            else:
                state = (<Group> subscription.members).state_chunk()
                if state is not None:
                    outbox.push(state)
        return None if epoch is None else False, 0

    cdef int bring_to_now(self, Subscription subscription, str reason) except -1:
        """Announce what lies between a subscriber's position and the newest number, and send the newest state."""
        cdef Group group = <Group> subscription.members
        cdef Outbox outbox = subscription.outbox
        cdef int64_t now = self.updates.sequence, announced = now
        cdef Chunk state = None
        if subscription.epoch != self.epoch:
            self.end_epoch(subscription, reason if reason == "resync" else self.reason)
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

    cdef int end_epoch(self, Subscription subscription, str reason) except -1:
        """Announce that a subscriber's epoch has ended; it stands at the beginning of the present one."""
        cdef int64_t after = subscription.sequence + 1  # how much was lost is not known: one number, "at least this"
        chunk = (<Group> subscription.members).announce(subscription.epoch, after, after, reason, self.epoch)
        subscription.outbox.push(chunk)
        subscription.epoch = self.epoch
        subscription.sequence = 0
        return 0

    cdef Subscription find(self, Outbox outbox, Form form):
        """An outbox's subscription in this form, or in any."""
        cdef Subscription subscription
        for subscription in outbox.subscriptions:
            if subscription.members.stream is self and (form is None or (<Group> subscription.members).frames is form):
                return subscription
        return None

    def detach(self, Outbox outbox not None, Form form=None):
        cdef Subscription subscription = self.find(outbox, form)
        cdef Chunk chunk
        if subscription is None:
            return False
        outbox.forget(subscription)
        waiting = ([] if outbox.head is None else [outbox.head]) + (outbox.rest or [])
        outbox.head = outbox.rest = None
        for chunk in waiting:
            outbox.queued_bytes -= PyBytes_GET_SIZE(chunk.wire)
            if chunk.members is not subscription.members:
                outbox.push(chunk)
        return True

    def resend(self, Outbox outbox not None, int64_t first, int64_t last):
        cdef Subscription subscription = self.find(outbox, None)
        cdef Update update
        cdef Chunk chunk
        cdef Py_ssize_t sent = 0
        if subscription is None:
            return 0
        for update in self.updates.between(first, last):
            chunk = (<Group> subscription.members).chunk([update])
            if not outbox.takes(APPEND, PyBytes_GET_SIZE(chunk.wire)) or (
                    outbox.queued_bytes > self.fanout.queue_append_bytes):
                break
            outbox.push(chunk)
            sent += 1
        return sent

    def reset(self, str epoch not None, str reason not None):
        cdef int64_t after = self.updates.sequence + 1
        cdef str ended = self.epoch
        self.distribute()
        self.epoch = epoch
        self.reason = reason
        self.updates.clear()
        self.announce_hole(ended, after, after, reason, epoch)

    def skip(self, int64_t last, str reason not None):
        cdef int64_t before = self.updates.sequence
        if last <= before:
            raise ValueError("these numbers have been given")
        self.distribute()
        self.updates.clear()
        self.updates.sequence = last
        self.announce_hole(self.epoch, before + 1, last, reason, None)

    cdef int announce_hole(self, str epoch, int64_t first, int64_t last, str reason, str new_epoch) except -1:
        cdef Group group
        cdef Subscription subscription
        for group in self.groups:
            group.state = None
            chunk = group.announce(epoch, first, last, reason, new_epoch)
            for subscription in group.subscriptions:
                if subscription.lagging:
                    continue  # it is told when it catches up
                if subscription.outbox.takes(self.delivery, PyBytes_GET_SIZE(chunk.wire)):
                    subscription.outbox.push(chunk)
                    subscription.epoch, subscription.sequence = self.epoch, self.updates.sequence
                else:
                    subscription.outbox.lag(subscription)


cdef class Fanout(Sweeper):
    def __init__(self, call_soon, call_later, *, int64_t flush_max_us=8000, int64_t settle_us=1000, **limits):
        super().__init__(call_soon, **limits)
        self.call_later = call_later
        self.flush_callback = self._flush
        self.sweep_callback = self._sweep
        self.flush_max_ns = flush_max_us * 1000
        self.settle_ns = settle_us * 1000
        self.dirty_streams = []

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

    def settle(self):
        if self.scheduled and not self.gathered and clock_ns(CLOCK_MONOTONIC) - self.started_ns >= self.settle_ns:
            self._flush()

    def _flush(self):
        cdef list streams = self.dirty_streams
        cdef Stream stream
        if not self.scheduled:
            return  # `settle` was faster
        assert not self.sweeping, "a flush is scheduled only when none is under way"
        self.scheduled = False
        self.sweeping = True
        self.flushes += 1
        self.started_ns = clock_ns(CLOCK_MONOTONIC)
        self.sends_before, self.messages_before = self.sends, self.messages
        self.dirty_streams = []
        for stream in streams:
            try:
                stream.distribute()
            except Exception as error:  # the others are to be served, and the next flush to come
                self.report(error)
        self._sweep()

    def _sweep(self):
        if not self.sweep_slice():
            self.call_soon(self.sweep_callback)  # the loop reads requests between two slices
            return
        self.sweeping = False
        # Waiting pays where sockets get several messages a write; where each gets one, it would only be late.
        self.gathered = (self.messages - self.messages_before) * 4 > (self.sends - self.sends_before) * 5
        self.saturated = self.gathered and len(self.dirty_streams) > 0
        if self.dirty_streams:
            self.schedule()

    def flush_now(self):
        cdef Stream stream
        for stream in self.dirty_streams:
            stream.distribute()
        self.dirty_streams = []
        self.sweep(len(self.dirty_outboxes))

    def latency_buckets(self):
        return self.latency.buckets()

    def counters(self):
        return {
            "updates": self.updates, "messages": self.messages, "bytes": self.bytes, "sends": self.sends,
            "replies": self.replies, "flushes": self.flushes, "partial_sends": self.partial_sends,
            "send_errors": self.send_errors, "conflated": self.conflated, "skipped": self.skipped,
            "gaps": self.gaps, "overflows": self.overflows,
        }
