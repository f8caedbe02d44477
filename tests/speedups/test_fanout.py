"""The fan-out against what a careful client checks, under any mix of joins, stalls, losses and publishes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form, encode
from tests.speedups.fanout_parts import JsonForm, Listener, ManualLoop, Message, Peer

STATE, APPEND, CRITICAL = 0, 1, 2
PAD = b'"' + b"x" * 60 + b'"'


class FanoutMachine(RuleBasedStateMachine):
    """Streams of all classes, peers that block at will; the model is a Listener per subscription."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = ManualLoop()
        self.fanout = Fanout(
            self.loop.call_soon,
            self.loop.call_later,
            slice_sends=2,
            queue_state_bytes=300,
            queue_append_bytes=500,
            queue_bytes_max=100_000,
        )
        self.forms: list[Form] = [JsonForm(), JsonForm()]
        self.values: dict[int, list[bytes]] = {}
        self.epochs = 0
        self.streams = [
            Stream(self.fanout, None, self.next_epoch(), delivery=STATE, snapshot=lambda: self.state_of(0)),
            Stream(
                self.fanout, None, self.next_epoch(), delivery=STATE, deltas=True, snapshot=lambda: self.state_of(1)
            ),
            Stream(self.fanout, None, self.next_epoch(), delivery=APPEND, ring_depth_updates=5),
            Stream(self.fanout, None, self.next_epoch(), delivery=CRITICAL),
        ]
        self.peers: list[Peer] = []
        self.listeners: dict[tuple[Peer, str], tuple[Stream, Listener]] = {}
        self.count = 0

    def next_epoch(self) -> str:
        self.epochs += 1
        return f"e{self.epochs}"

    def state_of(self, index: int) -> tuple[bytes, None, int] | None:
        known = self.values.get(index)
        return (known[-1], None, 5) if known else None

    @initialize(count=st.integers(1, 6))
    def connect(self, count: int) -> None:
        self.peers = [Peer(self.fanout) for _ in range(count)]

    def pick_peer(self, index: int) -> Peer:
        return self.peers[index % len(self.peers)]

    def listener(self, peer: Peer, stream: Stream) -> Listener | None:
        for (owner, _), (listened, listener) in self.listeners.items():
            if owner is peer and listened is stream:
                return listener
        return None

    def read(self, peer: Peer) -> None:
        """Give each message to the listener of its stream: epochs are unique, so they tell the streams apart."""
        by_epoch: dict[str, Listener] = {
            listener.epoch: listener for (owner, _), (_, listener) in self.listeners.items() if owner is peer
        }
        for message in peer.read():
            listener = by_epoch[message["e"]]
            listener.take([message])
            by_epoch[listener.epoch] = listener

    @rule(peer=st.integers(0, 5), stream=st.integers(0, 3), form=st.integers(0, 1), back=st.none() | st.integers(0, 8))
    def join(self, peer: int, stream: int, form: int, back: int | None) -> None:
        joined, chosen = self.streams[stream], self.pick_peer(peer)
        if self.listener(chosen, joined) is not None:
            with pytest.raises(ValueError, match="already"):
                joined.attach(chosen.outbox, self.forms[form])
            return
        if back is None:
            position = (joined.epoch, joined.sequence)
            assert joined.attach(chosen.outbox, self.forms[form]) == (None, 0)
        else:
            position = (joined.epoch, max(joined.sequence - back, 0))
            held = joined.ring(position[1])
            recovered, replayed = joined.attach(
                chosen.outbox, self.forms[form], epoch=position[0], sequence=position[1]
            )
            assert recovered == (held is not None)
            assert replayed == len(held or [])
        self.listeners[chosen, str(id(joined))] = (joined, Listener(*position))

    @rule(peer=st.integers(0, 5), stream=st.integers(0, 3))
    def part(self, peer: int, stream: int) -> None:
        chosen, parted = self.pick_peer(peer), self.streams[stream]
        was = self.listeners.get((chosen, str(id(parted))))
        self.read(chosen)
        self.listeners.pop((chosen, str(id(parted))), None)
        assert parted.detach(chosen.outbox) == (was is not None)

    @rule(stream=st.integers(0, 3), times=st.integers(1, 5))
    def publish(self, stream: int, times: int) -> None:
        for _ in range(times):
            self.count += 1
            data = b"[%d,%s]" % (self.count, PAD)
            before = self.streams[stream].sequence
            self.values.setdefault(stream, []).append(data)
            assert self.streams[stream].publish(data, None, 1) == before + 1

    @rule(stream=st.integers(0, 3))
    def lose(self, stream: int) -> None:
        self.values.pop(stream, None)
        self.streams[stream].reset(self.next_epoch(), "upstream")
        assert self.streams[stream].sequence == 0

    @rule(peer=st.integers(0, 5))
    def stall(self, peer: int) -> None:
        self.pick_peer(peer).slow = True

    @rule(peer=st.integers(0, 5))
    def wake(self, peer: int) -> None:
        self.pick_peer(peer).wake()

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @precondition(lambda self: len(self.peers) > 1)
    @rule(peer=st.integers(0, 5))
    def disconnect(self, peer: int) -> None:
        gone = self.peers.pop(peer % len(self.peers))
        gone.outbox.discard()
        self.listeners = {place: pair for place, pair in self.listeners.items() if place[0] is not gone}
        assert gone.outbox.streams() == []

    @invariant()
    def mirrors_agree(self) -> None:
        for stream in self.streams:
            subscribed = sum(stream in peer.outbox.streams() for peer in self.peers)
            assert subscribed == stream.subscribers
        assert len(self.listeners) == sum(stream.subscribers for stream in self.streams)

    @invariant()
    def queues_are_bounded_for_all_but_critical(self) -> None:
        for peer in self.peers:
            critical = self.listener(peer, self.streams[3])
            if critical is None and peer.outbox.blocked:  # what is not blocked leaves at the next turn
                assert peer.outbox.queued_bytes <= 500 + 5 * 120 * 4  # a limit, and one chunk or gap a stream above it
            if not peer.outbox.blocked:
                self.read(peer)

    def teardown(self) -> None:
        """Once all sockets flow again, every listener is at the newest number, and critical ones missed none."""
        for peer in self.peers:
            peer.wake()
        self.loop.settle()
        for peer in self.peers:
            self.read(peer)
            assert peer.outbox.queued_bytes == 0
        for stream, listener in self.listeners.values():
            assert (listener.epoch, listener.sequence) == (stream.epoch, stream.sequence)
        for (peer, _), (stream, listener) in self.listeners.items():
            if stream is self.streams[3]:
                assert all(epoch != stream.epoch for epoch, _ in listener.skipped), (peer, listener.skipped)


TestFanoutMachine = FanoutMachine.TestCase
TestFanoutMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.fixture
def loop() -> ManualLoop:
    return ManualLoop()


@pytest.fixture
def fanout(loop: ManualLoop) -> Fanout:
    return Fanout(loop.call_soon, loop.call_later, queue_state_bytes=200, queue_append_bytes=300, queue_bytes_max=1000)


def test_subscribers_of_one_form_get_the_very_same_bytes(loop: ManualLoop, fanout: Fanout) -> None:
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(50)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    for number in range(3):
        stream.publish(b"%d" % number, None, 0)
    loop.settle()
    assert {bytes(peer.written) for peer in peers} == {bytes(peers[0].written)}
    assert fanout.counters()["messages"] == 150


def test_updates_of_a_window_leave_in_one_write_a_socket(loop: ManualLoop, fanout: Fanout) -> None:
    streams, form, peer = [Stream(fanout, None, f"e{i}", delivery=APPEND) for i in range(4)], JsonForm(), Peer(fanout)
    for stream in streams:
        stream.attach(peer.outbox, form)
    for _ in range(3):
        for stream in streams:
            stream.publish(b"0", None, 0)
    assert not peer.written, "publishing only appends"
    assert len(loop.soon) == 1, "one flush is due however many updates there are"
    loop.turn()
    assert len(peer.read()) == 12


def test_a_burst_is_written_in_slices_with_a_turn_of_the_loop_between(loop: ManualLoop) -> None:
    fanout = Fanout(loop.call_soon, loop.call_later, slice_sends=10)
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(25)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    stream.publish(b"0", None, 0)
    written = []
    for _ in range(3):
        loop.turn()
        written.append(sum(bool(peer.written) for peer in peers))
    assert written == [10, 20, 25]


def test_updates_that_come_during_a_burst_make_the_next_flush_gather(loop: ManualLoop) -> None:
    fanout = Fanout(loop.call_soon, loop.call_later, slice_sends=1, flush_max_us=10_000_000)
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(2)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    stream.publish(b"0", None, 0)
    stream.publish(b"1", None, 0)
    loop.turn()
    stream.publish(b"2", None, 0)  # while the first flush is between two slices
    loop.turn()
    [(delay, _)] = loop.later
    assert 0 < delay <= 10
    stream.publish(b"3", None, 0)
    assert [len(peer.read()) for peer in peers] == [2, 2]
    loop.settle()
    assert [[message["d"] for message in peer.read()] for peer in peers] == [[2, 3], [2, 3]]


def test_a_flush_that_gathers_nothing_is_not_waited_for(loop: ManualLoop) -> None:
    fanout = Fanout(loop.call_soon, loop.call_later, slice_sends=1, flush_max_us=10_000_000)
    streams, form, peers = [Stream(fanout, None, f"e{i}", delivery=STATE) for i in range(2)], JsonForm(), []
    for stream in streams:
        peers.append(Peer(fanout))
        stream.attach(peers[-1].outbox, form)
        stream.publish(b"0", None, 0)
    loop.turn()
    streams[0].publish(b"1", None, 0)  # while the first flush is between two slices
    for _ in range(2):
        loop.turn()
    assert not loop.later, "each socket got one message: the next flush is at once"
    assert [len(peer.read()) for peer in peers] == [2, 1]


def test_a_stalled_state_reader_gets_one_gap_and_the_newest(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer, other, form = Stream(fanout, None, "e1", delivery=STATE), Peer(fanout), Peer(fanout), JsonForm()
    stream.attach(peer.outbox, form)
    stream.attach(other.outbox, form)
    peer.outbox.pause()
    for number in range(1, 101):
        stream.publish(b"%d" % number, None, 0)
        loop.settle()
    assert peer.outbox.queued_bytes <= 200
    peer.wake()
    messages = peer.read()
    [gap] = [message for message in messages if "gap" in message]
    assert gap == {"gap": [messages[-3]["s"] + 1, 99], "e": "e1", "why": "slow_consumer", "new": None}
    assert messages[-1]["d"] == messages[-1]["s"] == 100
    assert [message["s"] for message in other.read()] == list(range(1, 101))
    assert fanout.counters()["conflated"] == 99 - messages[-3]["s"] + 1


def test_a_stalled_append_reader_is_told_and_can_have_it_resent(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=APPEND), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.pause()
    for number in range(1, 51):
        stream.publish(b"%d" % number, None, 0)
        loop.settle()
    peer.wake()
    *_, last, gap = peer.read()
    assert gap["gap"] == [last["s"] + 1, 50]
    missing = list(range(gap["gap"][0], 51))
    while missing:  # as many as may wait for one socket at a time
        count = stream.resend(peer.outbox, missing[0], 50)
        loop.settle()
        assert [message["s"] for message in peer.read()] == missing[:count]
        assert count > 0
        missing = missing[count:]


def test_a_resend_that_nobody_reads_is_bounded(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=APPEND), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    for _ in range(100):
        stream.publish(PAD, None, 0)
    loop.settle()
    peer.outbox.pause()
    assert sum(stream.resend(peer.outbox, 1, 100) for _ in range(50)) < 10
    assert peer.outbox.queued_bytes <= 400


def test_a_stalled_critical_reader_loses_nothing_until_it_is_reported(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=CRITICAL), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.pause()
    while not peer.overflowed:
        stream.publish(b"0", None, 0)
        loop.settle()
    assert peer.outbox.queued_bytes <= 1000
    stream.publish(b"0", None, 0)
    peer.wake()
    stream.publish(b"0", None, 0)
    loop.settle()
    assert [message["s"] for message in peer.read()] == list(range(1, stream.sequence - 2)), "no number behind a hole"


def test_who_slept_through_a_new_epoch_is_told_of_both(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=STATE), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.pause()
    for _ in range(20):
        stream.publish(PAD, None, 0)
        loop.settle()
    stream.reset("e2", "upstream")
    stream.publish(b"7", None, 0)
    stream.publish(b"8", None, 0)
    loop.settle()
    peer.wake()
    messages = peer.read()
    assert messages[-3] == {"gap": [messages[-4]["s"] + 1] * 2, "e": "e1", "why": "upstream", "new": "e2"}
    assert messages[-2]["gap"] == [1, 1]
    assert (messages[-1]["e"], messages[-1]["s"], messages[-1]["d"]) == ("e2", 2, 8)


def resumed(fanout: Fanout, stream: Stream, epoch: str, sequence: int) -> tuple[Any, list[Message]]:
    peer = Peer(fanout)
    result = stream.attach(peer.outbox, JsonForm(), epoch=epoch, sequence=sequence)
    fanout.flush_now()
    return result, peer.read()


def test_a_known_position_is_resumed_by_replay(fanout: Fanout) -> None:
    stream = Stream(fanout, None, "e1", delivery=APPEND, ring_depth_updates=10)
    for number in range(1, 21):
        stream.publish(b"%d" % number, None, 0)
    result, messages = resumed(fanout, stream, "e1", 15)
    assert result == (True, 5)
    assert [message["s"] for message in messages] == [16, 17, 18, 19, 20]


def test_an_unknown_position_gets_a_gap_of_unknown_extent_and_a_snapshot(fanout: Fanout) -> None:
    stream = Stream(fanout, None, "e1", delivery=STATE, snapshot=lambda: (b"5", None, 0))
    stream.publish(b"5", None, 0)
    result, [gap, snapshot] = resumed(fanout, stream, "e0", 3)
    assert result == (False, 0)
    assert gap == {"gap": [4, 4], "e": "e0", "why": "resync", "new": "e1"}
    assert (snapshot["k"], snapshot["s"], snapshot["d"]) == ("snapshot", 1, 5)


def test_a_number_that_was_never_given_gets_a_snapshot_and_no_gap(fanout: Fanout) -> None:
    stream = Stream(fanout, None, "e1", delivery=STATE, snapshot=lambda: (b"5", None, 0))
    stream.publish(b"5", None, 0)
    result, [snapshot] = resumed(fanout, stream, "e1", 99)
    assert result == (False, 0)
    assert (snapshot["k"], snapshot["s"], snapshot["d"]) == ("snapshot", 1, 5)


def test_many_long_replays_on_one_socket_arrive_whole_while_updates_go_on(loop: ManualLoop) -> None:
    fanout = Fanout(loop.call_soon, loop.call_later)
    streams = [Stream(fanout, None, f"e{i}", delivery=i % 2) for i in range(10)]
    peer, form = Peer(fanout), JsonForm()
    for stream in streams:
        for _ in range(1000):
            stream.publish(b'"' + b"x" * 240 + b'"', None, 0)
    for stream in streams:
        assert stream.attach(peer.outbox, form, epoch=stream.epoch, sequence=10) == (True, 990)
        peer.outbox.reply(encode(1, b'{"ack":1}'))
    assert peer.outbox.queued_bytes == 0, "a replay waits in the ring, not in the outbox"
    for stream in streams:
        stream.publish(b"0", None, 0)
    loop.settle()
    assert not peer.overflowed
    listeners = {stream.epoch: Listener(stream.epoch, 10) for stream in streams}
    for message in peer.read():
        if "ack" not in message:
            listeners[message["e"]].take([message])
    assert all(listener.sequence == 1001 and not listener.skipped for listener in listeners.values())


def test_a_stalled_socket_that_resumes_and_joins_holds_one_slice(loop: ManualLoop, fanout: Fanout) -> None:
    big = b'"' + b"x" * 5000 + b'"'
    streams = [Stream(fanout, None, f"e{i}", delivery=STATE, snapshot=lambda: (big, None, 0)) for i in range(50)]
    peer, form = Peer(fanout), JsonForm()
    peer.outbox.pause()
    for number, stream in enumerate(streams):
        for _ in range(20):
            stream.publish(big, None, 0)
        if number % 3 == 0:
            stream.attach(peer.outbox, form)
        elif number % 3 == 1:
            stream.attach(peer.outbox, form, epoch=stream.epoch, sequence=3)
        else:
            stream.attach(peer.outbox, form, epoch="gone", sequence=3)
        stream.reset(f"f{number}", "upstream")
        stream.publish(big, None, 0)
        loop.settle()
    assert peer.outbox.queued_bytes < 6000
    peer.wake()
    loop.settle()
    starts = [("e", 20), ("e", 3), ("gone", 3)]
    listeners: dict[str, Listener] = {}
    for number in range(50):
        epoch, sequence = starts[number % 3]
        listeners[f"f{number}"] = Listener(f"e{number}" if epoch == "e" else epoch, sequence)
    for message in peer.read():
        name = message.get("new") or message["e"]
        listeners[name if name in listeners else f"f{name[1:]}"].take([message])
    assert {(each.epoch, each.sequence) for each in listeners.values()} == {(f"f{number}", 1) for number in range(50)}


def test_a_form_that_fails_at_the_door_leaves_nobody_attached(fanout: Fanout) -> None:
    class Failing(JsonForm):
        def finish(self, payload: bytes) -> bytes:
            raise ValueError("cannot encode")

    stream, peer = Stream(fanout, None, "e1", delivery=STATE, snapshot=lambda: (b"5", None, 0)), Peer(fanout)
    stream.publish(b"5", None, 0)
    with pytest.raises(ValueError, match="cannot encode"):
        stream.attach(peer.outbox, Failing())
    assert stream.subscribers == 0
    assert peer.outbox.streams() == []


def test_a_stream_that_waits_on_purpose_counts_no_latency(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=STATE, timed=False), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    stream.publish(b"6", None, 1)
    loop.settle()
    assert len(peer.read()) == 1
    assert fanout.latency_buckets() == []


def test_a_position_older_than_the_ring_gets_the_gap_and_a_snapshot_in_its_place(fanout: Fanout) -> None:
    stream = Stream(
        fanout, None, "e1", delivery=STATE, deltas=True, snapshot=lambda: (b"0", None, 0), ring_depth_updates=2
    )
    for _ in range(10):
        stream.publish(b"1", None, 0)
    result, [gap, snapshot] = resumed(fanout, stream, "e1", 4)
    assert result == (False, 0)
    assert (gap["gap"], gap["why"], gap["new"]) == ([5, 9], "resync", None)
    assert (snapshot["k"], snapshot["s"]) == ("snapshot", 10)


def test_a_form_that_fails_announces_what_it_could_not_send(loop: ManualLoop, fanout: Fanout) -> None:
    class Failing(JsonForm):
        def finish(self, payload: bytes) -> bytes:
            if b'"d":666' in payload:
                raise ValueError("cannot encode")
            return super().finish(payload)

    stream, bad, good = Stream(fanout, None, "e1", delivery=APPEND), Peer(fanout), Peer(fanout)
    stream.attach(bad.outbox, Failing())
    stream.attach(good.outbox, JsonForm())
    for data in (b"1", b"666", b"3"):
        stream.publish(data, None, 0)
        fanout.flush_now()
    assert [message.get("gap") or message["s"] for message in bad.read()] == [1, [2, 2], 3]
    assert [message["s"] for message in good.read()] == [1, 2, 3]
    with pytest.raises(ValueError, match="cannot encode"):
        loop.settle()


def test_latency_counts_live_messages_but_no_snapshots(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=STATE, snapshot=lambda: (b"5", None, 0)), Peer(fanout)
    stream.publish(b"5", None, 0)
    stream.attach(peer.outbox, JsonForm())
    loop.settle()
    assert fanout.latency_buckets() == []
    stream.publish(b"6", None, 1)
    loop.settle()
    assert sum(count for _, count in fanout.latency_buckets()) == 1


def test_the_last_to_leave_is_reported(fanout: Fanout) -> None:
    idle: list[str] = []
    stream = Stream(fanout, None, "e1", delivery=STATE, on_idle=lambda: idle.append("idle"))
    first, second = Peer(fanout), Peer(fanout)
    stream.attach(first.outbox, JsonForm())
    stream.attach(second.outbox, JsonForm())
    stream.detach(first.outbox)
    assert idle == []
    second.outbox.discard()
    assert idle == ["idle"]
