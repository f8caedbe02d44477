"""Resuming: what a known, an old, an unknown position gets, and how much of it may wait for one socket."""

from __future__ import annotations

from typing import Any

import pytest

from _speedups.fanout import Fanout, Stream
from _speedups.frame import encode
from tests.speedups.fanout_parts import APPEND, PAD, STATE, JsonForm, Listener, ManualLoop, Message, Peer


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


@pytest.mark.parametrize("deltas", [False, True])
@pytest.mark.parametrize("is_slow", [False, True])
def test_who_wants_no_replay_is_told_all_before_the_newest_state(fanout: Fanout, deltas: bool, is_slow: bool) -> None:
    stream = Stream(fanout, None, "e1", delivery=STATE, deltas=deltas, snapshot=lambda: (b"7", None, 0))
    for _ in range(5):
        stream.publish(PAD, None, 0)
    peer = Peer(fanout)
    if is_slow:
        peer.outbox.pause()
        peer.outbox.reply(encode(1, b'{"pad":%b}' % (b'"' + b"x" * 500 + b'"')))
    assert stream.attach(peer.outbox, JsonForm(), epoch="e1", sequence=2, replay=False) == (False, 0)
    stream.publish(b"7", None, 0)
    fanout.flush_now()
    peer.wake()
    told = [message for message in peer.read() if "pad" not in message]
    careful = Listener("e1", 2)
    careful.take(told)
    assert (careful.sequence, careful.newest) == (6, 7)
    assert [(message["gap"], message["why"]) for message in told if "gap" in message] == [
        ([3, 5 if is_slow else 4], "slow_consumer")
    ]


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
