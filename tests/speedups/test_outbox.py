"""An outbox on its own: order of replies, data and CLOSE; blocking; overflow; a real socket."""

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.fanout import Fanout, Stream
from _speedups.frame import encode
from tests.frames import whole
from tests.speedups.fanout_parts import JsonForm, ManualLoop, Peer


@pytest.fixture
def fanout(loop: ManualLoop) -> Fanout:
    return Fanout(loop.call_soon, loop.call_later, queue_bytes_max=1000, queue_state_bytes=200, queue_append_bytes=400)


def stream_of(fanout: Fanout, delivery: int = 0) -> Stream:
    return Stream(fanout, None, "e1", delivery=delivery)


def test_a_reply_leaves_at_once_and_before_waiting_data(loop: ManualLoop, fanout: Fanout) -> None:
    peer, stream = Peer(fanout), stream_of(fanout)
    stream.attach(peer.outbox, JsonForm())
    stream.publish(b"1", None, 0)
    peer.outbox.reply(encode(1, b'{"reply":1}'))
    assert peer.read() == [{"reply": 1}]
    loop.settle()
    assert [message["s"] for message in peer.read()] == [1]


def test_a_reply_takes_what_waits_along_in_one_call_and_it_is_not_sent_again(loop: ManualLoop, fanout: Fanout) -> None:
    peer, stream = Peer(fanout), stream_of(fanout)
    stream.publish(b"1", None, 0)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.reply(encode(1, b'{"reply":1}'))  # the ack of a subscribe, in front of its snapshot
    assert [message.get("reply") for message in peer.read()] == [1, None]
    assert fanout.counters()["sends"] == 1
    loop.settle()
    assert (peer.read(), peer.outbox.queued_bytes) == ([], 0)


def test_replies_kept_back_by_a_blocked_socket_leave_first_and_in_order(loop: ManualLoop, fanout: Fanout) -> None:
    peer, stream = Peer(fanout), stream_of(fanout)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.pause()
    stream.publish(b"1", None, 0)
    loop.settle()
    for number in range(100):
        peer.outbox.reply(encode(1, b'{"reply":%d}' % number)) if number < 20 else None
    assert not peer.written
    assert peer.outbox.queued_bytes > 0
    peer.wake()
    messages = peer.read()
    assert [message.get("reply") for message in messages] == [*range(20), None]
    assert peer.outbox.queued_bytes == 0


def test_finish_sends_the_close_behind_what_waits_and_takes_nothing_more(loop: ManualLoop, fanout: Fanout) -> None:
    peer, stream = Peer(fanout), stream_of(fanout)
    stream.attach(peer.outbox, JsonForm())
    stream.publish(b"1", None, 0)
    loop.turn()
    stream.publish(b"2", None, 0)  # numbered, but this one leaves the stream before it is distributed
    peer.outbox.finish(b"\x88\x00")
    peer.outbox.reply(b"late")
    loop.settle()
    assert [frame.first for frame in whole(bytes(peer.written))] == [0x81, 0x88]
    assert stream.subscribers == 0
    assert peer.outbox.finished
    with pytest.raises(ValueError, match="takes nothing more"):
        stream.attach(peer.outbox, JsonForm())


def test_finish_with_drop_sends_only_the_close_once_the_socket_is_free(loop: ManualLoop, fanout: Fanout) -> None:
    peer, stream = Peer(fanout), stream_of(fanout)
    stream.attach(peer.outbox, JsonForm())
    peer.outbox.pause()
    stream.publish(b"1", None, 0)
    peer.outbox.reply(b"reply")
    loop.settle()
    peer.outbox.finish(b"\x88\x00", drop=True)
    assert peer.outbox.queued_bytes == 2
    assert not peer.written
    peer.wake()
    assert bytes(peer.written) == b"\x88\x00"


def test_replies_nobody_reads_are_bounded_and_reported_once(loop: ManualLoop, fanout: Fanout) -> None:
    peer = Peer(fanout)
    peer.outbox.pause()
    for _ in range(100):
        peer.outbox.reply(b"x" * 100)
    loop.settle()
    assert peer.outbox.queued_bytes <= 1000
    assert peer.overflowed == 1
    assert fanout.counters()["overflows"] == 1


def test_one_large_reply_is_taken_whatever_the_limit(loop: ManualLoop, fanout: Fanout) -> None:
    peer = Peer(fanout)
    peer.outbox.pause()
    peer.outbox.reply(b"x" * 5000)
    loop.settle()
    assert peer.overflowed == 0
    assert peer.outbox.queued_bytes == 5000


def test_a_discarded_outbox_leaves_every_stream_and_writes_nothing(loop: ManualLoop, fanout: Fanout) -> None:
    peer, streams = Peer(fanout), [stream_of(fanout) for _ in range(3)]
    for stream in streams:
        stream.attach(peer.outbox, JsonForm())
        stream.publish(b"1", None, 0)
    loop.turn()
    peer.written.clear()
    for stream in streams:
        stream.publish(b"2", None, 0)
    peer.outbox.discard()
    peer.outbox.discard()
    peer.outbox.reply(b"late")
    peer.outbox.finish(b"late")
    loop.settle()
    assert [stream.subscribers for stream in streams] == [0, 0, 0]
    assert not peer.written
    assert peer.outbox.queued_bytes == 0
    assert peer.outbox.streams() == []


def test_a_transport_that_raises_stops_nobody_else(loop: ManualLoop, fanout: Fanout) -> None:
    class Broken(Peer):
        def write(self, data: bytes) -> None:
            raise RuntimeError("broken transport")

    broken, sound, stream, form = Broken(fanout), Peer(fanout), stream_of(fanout), JsonForm()
    stream.attach(broken.outbox, form)
    stream.attach(sound.outbox, form)
    stream.publish(b"1", None, 0)
    loop.turn()
    assert [message["s"] for message in sound.read()] == [1]
    with pytest.raises(RuntimeError, match="broken transport"):  # it reaches the loop's exception handler
        loop.settle()


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


def test_a_real_socket_gets_frames_by_send_and_the_transport_only_the_remainder(
    loop: ManualLoop, fanout: Fanout, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    with ours, theirs:
        peer = Peer(fanout, ours.fileno())
        peer.slow = True
        peer.outbox.reply(b"hello")
        assert theirs.recv(100) == b"hello"
        assert not peer.written
        big = bytes(range(256)) * 4096
        peer.outbox.reply(big)
        assert peer.outbox.blocked
        taken = len(big) - len(peer.written)
        assert 0 < taken < len(big)
        assert big.endswith(bytes(peer.written))
        assert fanout.counters()["partial_sends"] == 1


def test_many_chunks_leave_in_one_call_and_in_order(
    loop: ManualLoop, fanout: Fanout, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    with ours, theirs:
        peer, form = Peer(fanout, ours.fileno()), JsonForm()
        for number in range(10):
            stream = stream_of(fanout)
            stream.attach(peer.outbox, form)
            stream.publish(b"%d" % number, None, 0)
        loop.settle()
        assert [frame.payload.split(b'"d":')[1] for frame in whole(theirs.recv(10000))] == [
            b"%d}" % number for number in range(10)
        ]
        assert fanout.counters()["sends"] == 1
        assert fanout.counters()["messages"] == 10


def test_a_peer_that_is_gone_is_left_alone(
    loop: ManualLoop, fanout: Fanout, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.close()
    with ours:
        peer = Peer(fanout, ours.fileno())
        peer.outbox.reply(b"hello")
        peer.outbox.reply(b"hello")
        assert fanout.counters()["send_errors"] == 1
        assert not peer.written


@given(
    st.lists(st.sampled_from([1, 100, 30_000, 65_000, 65_600, 70_000, 200_000]), max_size=12),
    st.lists(st.sampled_from([2, 40_000, 65_536, 65_537]), max_size=6),
)
def test_frames_of_any_size_leave_whole_in_order_and_replies_first(sizes: list[int], replies: list[int]) -> None:
    loop = ManualLoop()
    fanout = Fanout(loop.call_soon, loop.call_later, queue_append_bytes=10_000_000, queue_bytes_max=10_000_000)
    peer, form = Peer(fanout), JsonForm()
    peer.outbox.pause()
    for size in sizes:
        stream = stream_of(fanout, delivery=1)
        stream.attach(peer.outbox, form)
        stream.publish(b'"' + b"x" * size + b'"', None, 0)
    loop.settle()
    for size in replies:
        peer.outbox.reply(encode(1, b'"' + b"r" * size + b'"'))
    peer.wake()
    messages = [json.loads(frame.payload) for frame in whole(bytes(peer.written))]
    assert [len(message) for message in messages[: len(replies)]] == replies
    assert [len(message["d"]) for message in messages[len(replies) :]] == sizes
    assert peer.outbox.queued_bytes == 0
    assert fanout.counters()["bytes"] == len(peer.written)
    assert fanout.counters()["messages"] == len(sizes)
