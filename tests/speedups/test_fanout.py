"""The fan-out case by case: shared bytes, one write a socket, slices, windows, slow readers, losses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from _speedups.fanout import Fanout, Stream
from _speedups.outbox import Outbox
from tests.speedups.fanout_parts import APPEND, CRITICAL, PAD, STATE, JsonForm, ManualLoop, Peer


def test_subscribers_of_one_form_get_the_very_same_bytes(loop: ManualLoop, fanout: Fanout) -> None:
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(50)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    for number in range(3):
        stream.publish(b"%d" % number, None, 0)
    loop.settle()
    assert {bytes(peer.written) for peer in peers} == {bytes(peers[0].written)}
    assert fanout.counters()["messages"] == 150


def test_one_reader_may_have_a_stream_in_several_forms_and_leave_one(loop: ManualLoop, fanout: Fanout) -> None:
    stream, forms, peer = Stream(fanout, None, "e1", delivery=APPEND), [JsonForm(), JsonForm()], Peer(fanout)
    for form in forms:
        stream.attach(peer.outbox, form)
    with pytest.raises(ValueError, match="already subscribed"):
        stream.attach(peer.outbox, forms[1])
    stream.publish(b"0", None, 0)
    loop.settle()
    assert len(peer.read()) == 2
    stream.publish(b"1", None, 0)
    assert stream.detach(peer.outbox, forms[0])
    loop.settle()
    assert [message["d"] for message in peer.read()] == [1], "what waited in the form that was left is not sent"
    assert not stream.detach(peer.outbox, forms[0])
    assert stream.subscribers == 1
    assert stream.detach(peer.outbox)


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


def test_what_is_settled_leaves_before_the_next_turn_and_once(loop: ManualLoop, fanout: Fanout) -> None:
    stream, peer = Stream(fanout, None, "e1", delivery=APPEND), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    fanout.settle()
    assert fanout.counters()["flushes"] == 0, "nothing was due"
    stream.publish(b"0", None, 0)
    fanout.settle()
    assert [message["d"] for message in peer.read()] == [0]
    loop.turn()
    assert fanout.counters()["flushes"] == 1, "the turn that it was due in finds nothing"
    stream.publish(b"1", None, 0)
    loop.turn()
    assert [message["d"] for message in peer.read()] == [1]


@pytest.mark.parametrize(("settle_us", "together"), [(3_600_000_000, 1), (0, 2)])
def test_where_flushes_follow_each_other_what_is_settled_still_gathers_for_a_turn(
    loop: ManualLoop, settle_us: int, together: int
) -> None:
    """The last flush was just now, or wrote several messages a socket."""
    fanout = Fanout(loop.call_soon, loop.call_later, settle_us=settle_us)
    stream, peer = Stream(fanout, None, "e1", delivery=APPEND), Peer(fanout)
    stream.attach(peer.outbox, JsonForm())
    for _ in range(together):
        stream.publish(b"0", None, 0)
    loop.turn()
    assert len(peer.read()) == together
    stream.publish(b"1", None, 0)
    fanout.settle()
    assert not peer.written
    loop.turn()
    assert len(peer.read()) == 1


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


HOUR_NS = 3_600_000_000_000


def written_by_turn(loop: ManualLoop, turns: int, **limits: int) -> Iterator[tuple[Fanout, int]]:
    """The fan-out, and of 40 sockets that are due how many have been written by each of so many turns."""
    fanout = Fanout(loop.call_soon, loop.call_later, slice_sends=10, urgent_slice_sends=2, **limits)
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(40)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    stream.publish(b"0", None, 0)
    yield fanout, 0
    for _ in range(turns):
        loop.turn()
        yield fanout, sum(bool(peer.written) for peer in peers)


def test_slices_are_short_while_an_answer_takes_several_turns_and_whole_when_none_does(loop: ManualLoop) -> None:
    written, more = [], iter((2, -1, 0, -1, 0))
    for fanout, count in written_by_turn(loop, 5, send_ns=HOUR_NS, urgent_max_us=HOUR_NS):
        fanout.urge(next(more, 0))
        written.append(count)
    assert written == [0, 2, 4, 6, 16, 26]


def test_a_short_slice_is_at_least_as_long_as_what_the_loop_did_before_it(loop: ManualLoop) -> None:
    written = []
    for fanout, count in written_by_turn(loop, 3, send_ns=1, urgent_max_us=HOUR_NS):
        fanout.urge(1)
        written.append(count)
    assert written == [0, 2, 12, 22], "ten sends fit into ten ns; before the first there was nothing to send"


def test_who_waits_for_long_waits_for_something_else_than_turns(loop: ManualLoop) -> None:
    written = []
    for fanout, count in written_by_turn(loop, 2, send_ns=HOUR_NS, urgent_max_us=0):
        fanout.urge(1)
        written.append(count)
    assert written == [0, 10, 20]


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


def test_a_stream_that_goes_on_here_begins_behind_its_number_and_skips_what_does_not_come(
    loop: ManualLoop, fanout: Fanout
) -> None:
    stream, form = Stream(fanout, None, "e1", delivery=STATE, sequence=7), JsonForm()
    peer, slow = Peer(fanout), Peer(fanout)
    for each in (peer, slow):
        stream.attach(each.outbox, form)
    assert stream.oldest == 8
    stream.publish(b"8", None, 0)
    loop.settle()
    slow.slow = True
    stream.publish_whole(b"9", None, 0)
    stream.skip(20, "resync")
    with pytest.raises(ValueError, match="have been given"):
        stream.skip(20, "resync")
    stream.publish(b"21", None, 0)
    loop.settle()
    slow.wake()
    loop.settle()
    for each in (peer, slow):
        told = [(m.get("s") or m["gap"], m.get("k")) for m in each.read()]
        assert told == [(8, "update"), (9, "snapshot"), ([10, 20], None), (21, "update")]
    assert stream.oldest == 21


def test_a_reader_with_room_holds_more_and_is_not_counted(loop: ManualLoop) -> None:
    fanout = Fanout(loop.call_soon, loop.call_later)
    stream, form = Stream(fanout, None, "e1", delivery=APPEND), JsonForm()

    class Roomy(Peer):
        def __init__(self) -> None:
            super().__init__(fanout)
            self.outbox = Outbox(fanout, -1, self, self, room=4, counts_messages=False, counts_bytes=False)

    roomy = Roomy()
    stream.attach(roomy.outbox, form)
    roomy.outbox.pause()
    data = b'"' + b"x" * 1_000 + b'"'
    for _ in range(2_000):
        stream.publish(data, None, 0)
        loop.settle()
    assert 3 * 262_144 < roomy.outbox.queued_bytes <= 4 * 262_144
    roomy.wake()
    loop.settle()
    counters = fanout.counters()
    assert (counters["messages"], counters["bytes"], counters["sends"]) == (0, 0, 0)
