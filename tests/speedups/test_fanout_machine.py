"""The fan-out against what a careful client checks, under any mix of joins, stalls, losses and publishes."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form
from tests.speedups.fanout_parts import APPEND, CRITICAL, PAD, STATE, JsonForm, Listener, ManualLoop, Peer


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
        self.joined: dict[tuple[Peer, str], Form] = {}  # in which form
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
                joined.attach(chosen.outbox, self.joined[chosen, str(id(joined))])
            return
        self.joined[chosen, str(id(joined))] = self.forms[form]
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
