"""A worker's socket in the first process: what happens to it is told, and who speaks to it is paced."""

from __future__ import annotations

import gc
import weakref

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from _speedups.frame import OP_TEXT, encode
from gateway.core.key import stream_id
from gateway.limits import Limits
from tests.gateway.core.hub_parts import KEY
from tests.gateway.net.linked import Client, Pair


def joined(pair: Pair) -> Client:
    client = Client(pair)
    pair.carry()
    return client


def test_what_a_worker_s_client_does_is_told_and_what_it_is_told_is_done() -> None:
    pair = Pair()
    client = joined(pair)
    client.held.data_received(b"hello")
    client.held.pause_writing()
    client.held.resume_writing()
    client.held.eof_received()
    pair.carry()
    assert client.happened == ["hello", "paused", "resumed", "ended"]
    assert client.wire.ends == ["close"]
    client.held.connection_lost(None)
    pair.carry()
    assert client.happened[-1] == "lost"
    assert pair.worker.sockets == {}


async def test_what_fails_for_one_socket_of_a_worker_ends_that_one_only() -> None:
    pair = Pair()
    client, other = joined(pair), joined(pair)
    client.held.data_received(b"\xff")  # which the tests' protocol cannot read
    other.held.data_received(b"hello")
    pair.carry()
    assert (client.wire.ends, other.wire.ends, pair.down.ends) == (["abort"], [], [])
    assert other.happened == ["hello"]


def test_what_is_said_behind_the_end_of_our_half_goes_nowhere() -> None:
    pair = Pair()
    client = joined(pair)
    client.transport.write(b"refused")
    client.transport.write_eof()
    pair.carry()
    client.transport.write(b"an answer to a request before it")
    assert pair.down.written == b""
    pair.carry()
    assert (client.wire.take(), client.wire.ends, client.transport.is_closing()) == (b"refused", ["eof"], False)


def test_who_spoke_to_a_lost_socket_goes_without_the_collector() -> None:
    pair = Pair()
    client = joined(pair)
    outbox = weakref.ref(client.outbox)
    gc.disable()
    try:
        client.held.connection_lost(None)
        pair.carry()
        client.outbox.discard()  # as a connection does
        del client
        assert outbox() is None
    finally:
        gc.enable()


async def test_a_large_answer_that_a_link_has_no_room_for_costs_one_client_and_not_the_link() -> None:
    pair = Pair(Limits(queue_state_bytes=1_000, queue_append_bytes=1_000, queue_bytes_max=1_000))
    first, second, third = joined(pair), joined(pair), joined(pair)
    pair.down.slow = True
    first.transport.write(b"x" * 20_000)  # is on its way
    second.transport.write(b"x" * 20_000)  # waits
    third.transport.write(b"x" * 13_000)
    second.transport.write(b"small")
    assert [client.transport.is_closing() for client in (first, second, third)] == [False, False, True]
    pair.down.wake()
    pair.carry()
    assert (len(first.wire.take()), second.wire.take()[-5:], third.wire.ends) == (20_000, b"small", ["abort"])
    assert pair.down.ends == []


def test_no_more_than_a_window_is_on_its_way_before_the_worker_has_said_anything() -> None:
    pair = Pair(Limits(link_window_bytes=5_000))
    client = joined(pair)
    for _ in range(100):
        client.outbox.reply(b"x" * 1_000)
    assert 5_000 < len(pair.down.written) < 6_500
    assert client.happened == ["paused"]
    assert client.outbox.queued_bytes == 94_000
    pair.carry()
    assert client.happened[-1] == "resumed"
    assert (len(client.wire.take()), client.outbox.queued_bytes) == (100_000, 0)


def test_a_socket_that_takes_nothing_holds_up_who_speaks_to_it_alone() -> None:
    pair = Pair()
    slow, other = joined(pair), joined(pair)
    slow.wire.slow = True
    slow.outbox.reply(b"x")
    pair.carry()
    slow.outbox.reply(b"y")
    other.outbox.reply(b"z")
    pair.carry()
    assert (slow.happened, other.happened) == (["paused"], [])
    assert (slow.wire.take(), other.wire.take()) == (b"x", b"z")
    slow.wire.wake()
    pair.carry()
    assert (slow.happened, slow.wire.take()) == (["paused", "resumed"], b"y")


def test_who_takes_over_a_socket_that_takes_nothing_is_paused_too() -> None:
    pair = Pair()
    client = joined(pair)
    client.held.pause_writing()
    pair.carry()
    client.transport.set_protocol(client)  # type: ignore[arg-type]  # as much of a protocol as is called
    client.outbox.resume()  # as a connection does once it is open
    client.outbox.reply(b"x")
    assert client.outbox.blocked
    assert client.happened == ["paused", "paused"]
    client.held.resume_writing()
    pair.carry()
    assert (client.happened[2:], client.outbox.blocked) == (["resumed"], False)


def test_a_snapshot_comes_behind_its_answer_also_when_that_waits_behind_others() -> None:
    pair = Pair(Limits(link_window_bytes=1_000))
    first, client = joined(pair), joined(pair)
    first.subscribe(KEY)
    pair.desk.publish(1)
    pair.carry()
    for number in range(4):
        client.outbox.reply(encode(OP_TEXT, msgspec.json.encode({"told": number, "pad": "x" * 60_000})))
    client.subscribe(KEY)
    pair.carry()
    pair.desk.publish(2)
    pair.carry()
    assert [each.get("told", each.get("ack", each.get("s"))) for each in client.read()] == [0, 1, 2, 3, 1, 1, 2]


def test_what_waits_here_goes_before_the_last_frame_also_when_it_is_more_than_a_window() -> None:
    pair = Pair(Limits(link_window_bytes=1_000))
    client = joined(pair)
    client.outbox.pause()  # as a connection does while it opens
    for _ in range(5):
        client.outbox.reply(b"x" * 40_000)
    client.outbox.finish(b"\x88\x00")
    client.outbox.resume()
    assert len(pair.down.written) < 41_000, "a window, and the write that has filled it"
    pair.carry()
    assert client.wire.take() == b"x" * 200_000 + b"\x88\x00"
    assert client.outbox.queued_bytes == 0


def test_who_ends_while_much_waits_is_sent_all_of_it_as_fast_as_they_read() -> None:
    limits = Limits(queue_state_bytes=8_000, queue_append_bytes=8_000, queue_bytes_max=20_000, link_window_bytes=5_000)
    pair = Pair(limits)
    client = joined(pair)
    client.wire.slow = True
    for _ in range(60):
        client.outbox.reply(b"x" * 300)
        pair.carry()
    client.outbox.finish(b"\x88\x00")
    pair.carry()
    assert client.held.outbox.queued_bytes <= 8_000 + 5_000 + 300
    client.wire.wake()
    pair.carry()
    assert client.wire.take() == b"x" * 18_000 + b"\x88\x00"


def test_many_windows_are_not_more_than_a_link_takes() -> None:
    limits = Limits(queue_state_bytes=1_000, queue_append_bytes=1_000, queue_bytes_max=20_000, link_window_bytes=15_000)
    pair = Pair(limits)
    clients = [joined(pair) for _ in range(150)]  # 2.25 MB; 1.28 MB may wait
    pair.down.slow = True
    for client in clients:
        for _ in range(30):
            client.outbox.reply(b"x" * 500)
    pair.desk.clock.settle()
    assert pair.down.ends == []
    assert pair.link.outbox is not None
    assert 640_000 < pair.link.outbox.queued_bytes < 641_000
    pair.down.wake()
    pair.carry()
    assert {len(client.wire.take()) for client in clients} == {15_000}
    assert {client.outbox.blocked for client in clients} == {False}


class Deaf(Client):
    """Somebody who reads nothing, and is told so."""

    def on_overflow(self) -> None:
        self.happened.append("overflow")


def test_who_never_reads_is_given_up_when_as_much_waits_here_as_for_a_socket_of_our_own() -> None:
    limits = Limits(queue_state_bytes=1_000, queue_append_bytes=1_000, queue_bytes_max=20_000, link_window_bytes=5_000)
    pair = Pair(limits)
    client = Deaf(pair)
    pair.carry()
    client.wire.slow = True
    said = 0
    while "overflow" not in client.happened:
        client.outbox.reply(b"x" * 500)
        said += 500
        pair.carry()
    # Here, in the worker's transport and queue (what it confirms and a window), and the one that was too much
    assert 20_000 < said <= 20_000 + 500 + 1_000 + 5_000 + 500 + 500
    assert client.held.outbox.queued_bytes <= 1_000 + 5_000 + 500
    assert client.happened == ["paused", "overflow"]


class Paced(RuleBasedStateMachine):
    """One client that reads by fits and starts, is told things, and has a stream that its worker writes."""

    LIMITS = Limits(queue_state_bytes=1_000, queue_append_bytes=1_000, queue_bytes_max=100_000, link_window_bytes=1_000)
    LARGEST = 3_000

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.LIMITS)
        self.client = joined(self.pair)
        self.told: list[int] = []
        self.subscribed = False
        self.value = 0

    @rule(size=st.integers(1, LARGEST - 100))
    def tell(self, size: int) -> None:
        self.told.append(len(self.told))
        said = msgspec.json.encode({"told": self.told[-1], "pad": "x" * size})
        self.client.outbox.reply(encode(OP_TEXT, said))

    @rule(size=st.integers(1, LARGEST - 100))
    def publish(self, size: int) -> None:
        self.value += 1
        self.pair.desk.publish([self.value, "x" * size])

    @precondition(lambda self: not self.subscribed)
    @rule()
    def subscribe(self) -> None:
        self.subscribed = True
        self.client.subscribe(KEY)

    @precondition(lambda self: self.subscribed)
    @rule()
    def unsubscribe(self) -> None:
        self.subscribed = False
        self.pair.desk.hub.unsubscribe(self.client.outbox, stream_id(KEY))
        self.client.outbox.reply(encode(OP_TEXT, b'{"left":true}'))

    @rule()
    def stall(self) -> None:
        self.client.wire.slow = True

    @rule(again=st.booleans())
    def wake(self, again: bool) -> None:
        """And take no more than one write `again`."""
        wire = self.client.wire
        if again and wire.slow:
            wire.protocol.resume_writing()
        else:
            wire.wake()

    @rule()
    def stall_link(self) -> None:
        self.pair.down.slow = True

    @rule()
    def carry(self) -> None:
        self.pair.carry()

    @invariant()
    def little_waits_in_the_worker(self) -> None:
        limits = self.LIMITS
        room = limits.queue_append_bytes + limits.link_window_bytes + self.LARGEST
        assert self.client.held.outbox.queued_bytes <= room

    def teardown(self) -> None:
        self.pair.down.wake()
        self.client.wire.wake()
        self.pair.carry()
        assert not self.client.outbox.blocked
        assert self.client.outbox.queued_bytes == self.client.held.outbox.queued_bytes == 0
        read = self.client.read()
        assert [each["told"] for each in read if "told" in each] == self.told
        position: int | None = None  # nothing comes before the answer, nor behind that to the end
        for each in read:
            if "ack" in each or "left" in each:
                position = each.get("ack")
            elif "told" not in each:
                assert position is not None
                first, last = each.get("gap") or (each["s"], each["s"])
                assert first == position + 1 or (first == position and each["k"] == "snapshot")
                position = last
        newest = self.pair.desk.hub.position(stream_id(KEY))
        assert position == (newest[1] if newest is not None and self.subscribed else None)


TestPaced = Paced.TestCase
TestPaced.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
