"""A client's socket in a worker: order of what it is sent, how it ends, and who is read when nobody listens."""

from __future__ import annotations

from typing import Any, cast

from structlog.testing import capture_logs

from gateway.core.key import stream_id
from gateway.limits import Limits
from gateway.net.held import Held
from gateway.wire import link
from tests.frames import whole
from tests.gateway.core.hub_parts import KEY, TRADES
from tests.gateway.net.linked import Client, Pair, Wire


def test_what_streams_bring_waits_for_the_answer() -> None:
    pair = Pair()
    peer = pair.desk.peer()
    pair.desk.hub.subscribe(peer.outbox, KEY, form=pair.desk.form)
    pair.desk.publish(1)
    client = Client(pair)
    pair.desk.hub.subscribe(client.outbox, KEY, form=pair.desk.form)
    pair.carry()
    assert client.read() == []
    client.outbox.reply(b"\x81\x02{}")
    pair.carry()
    assert [each.get("s") for each in client.read()] == [None, 1]


def test_a_socket_ends_when_all_is_sent() -> None:
    pair = Pair()
    client = Client(pair)
    pair.carry()
    client.wire.slow = True
    client.outbox.reply(b"\x81\x02{}")
    client.outbox.reply(b"\x81\x02[]")
    pair.carry()
    assert client.happened == ["paused"]
    client.outbox.finish(b"\x88\x00")
    client.transport.close()
    pair.carry()
    assert client.wire.ends == []
    client.wire.wake()
    pair.carry()
    assert [frame.payload for frame in whole(client.wire.take())] == [b"{}", b"[]", b""]
    assert client.wire.ends == ["close"]


def test_our_half_is_ended_or_all_of_it_at_once() -> None:
    pair = Pair()
    half, all_of_it = Client(pair), Client(pair)
    half.transport.write_eof()
    all_of_it.held.told(link.Shut(1, "abort"))
    pair.carry()
    assert (half.wire.ends, all_of_it.wire.ends) == (["eof"], ["abort"])


def test_what_comes_behind_the_end_of_our_half_is_not_written() -> None:
    pair = Pair()
    wire = Wire()
    held = Held(pair.worker, cast("Any", wire), pair.port, "192.0.2.1", None)
    wire.protocol = held
    held.told(link.Shut(1, "eof"))
    held.write(b"late")
    assert (wire.take(), wire.ends) == (b"", ["eof"])


def test_a_client_is_not_read_while_the_first_process_takes_nothing() -> None:
    pair = Pair()
    client = Client(pair)
    pair.carry()
    pair.worker.pause_writing()
    assert client.wire.reads
    client.held.data_received(b"one")
    assert not client.wire.reads, "what it has said is passed on, and no more is taken"
    pair.worker.resume_writing()
    assert client.wire.reads
    client.transport.pause_reading()
    pair.carry()
    assert not client.wire.reads
    client.held.read_on()
    assert not client.wire.reads
    client.transport.resume_reading()
    pair.carry()
    assert client.wire.reads


def test_who_is_left_behind_is_told_and_closed() -> None:
    pair = Pair()
    client = Client(pair)
    client.subscribe(KEY)
    pair.carry()
    assert (client.read(), pair.worker.mirrors[1].stream.subscribers) == ([{"ack": 0}], 1)
    client.held.goodbye(b"\x81\x02{}")
    frames = whole(client.wire.take())
    assert [frame.opcode for frame in frames] == [1, 8]
    assert frames[1].payload[:2] == (1001).to_bytes(2)
    assert client.wire.ends == ["eof"]
    assert client.held.eof_received() is False, "nobody else would close it"
    assert pair.worker.mirrors[1].stream.subscribers == 0
    assert pair.worker.mirrors[1].id == stream_id(KEY)


def test_one_that_had_not_become_a_websocket_is_dropped() -> None:
    pair = Pair()
    client = Client(pair)
    client.held.goodbye(b"\x81\x02{}")
    assert client.wire.ends == ["abort"]


def test_what_fails_for_one_socket_ends_that_one_and_not_the_worker() -> None:
    pair = Pair()
    bad, other = Client(pair), Client(pair)
    pair.desk.hub.subscribe(other.outbox, TRADES, form=pair.desk.form)
    other.outbox.reply(b"\x81\x02{}")
    pair.carry()
    with capture_logs() as logs:
        pair.worker.data_received(link.control(link.Attach(1, 1, 7, "e", 0, None, True)))  # a form that is not there
        pair.desk.publish(1, TRADES)
        pair.carry()
    assert (bad.wire.ends, other.wire.ends, pair.up.ends) == (["abort"], [], [])
    assert [each.get("s") for each in other.read()] == [None, 1]
    assert [entry["event"] for entry in logs] == ["a socket failed: it is dropped"]


def test_more_than_may_wait_is_told_to_who_decides() -> None:
    pair = Pair()
    client = Client(pair)
    pair.carry()
    client.held.outbox.pause()
    client.held.write(b"x" * 10)
    client.held.write(b"x" * (1 << 20))
    pair.clock.settle()
    assert [type(said) for said in pair.said_by_worker()] == [link.Overflowed]


def marks(pair: Pair) -> int:
    """How many were confirmed since the last call."""
    return sum(isinstance(said, link.Marked) for said in pair.said_by_worker())


def test_a_mark_is_confirmed_once_little_waits() -> None:
    pair = Pair(Limits(queue_state_bytes=1_000, queue_append_bytes=1_000))
    client = Client(pair)
    pair.carry()
    client.held.told(link.Mark(1))
    assert marks(pair) == 1
    client.wire.slow = True
    for size in (100, 600, 600, 600):  # the first is with the socket, and blocks it
        client.held.write(b"x" * size)
    client.held.told(link.Mark(1))
    client.held.told(link.Mark(1))
    assert marks(pair) == 0
    client.wire.protocol.resume_writing()  # which takes what one call takes, and no more
    assert client.held.outbox.queued_bytes == 0
    assert marks(pair) == 1
    client.wire.protocol.resume_writing()
    assert marks(pair) == 0


def test_an_answer_over_http_is_confirmed_when_it_is_with_the_socket() -> None:
    pair = Pair()
    wire = Wire()
    wire.protocol = held = Held(pair.worker, cast("Any", wire), pair.port, "192.0.2.1", None)
    wire.slow = True
    held.write(b"x")
    held.told(link.Mark(1))
    assert marks(pair) == 0
    wire.wake()
    assert marks(pair) == 1


def test_a_socket_that_is_full_again_at_once_is_last_said_to_be_so() -> None:
    pair = Pair()
    client = Client(pair)
    pair.carry()
    client.wire.slow = True
    client.held.write(b"one")
    client.held.write(b"two")
    client.held.resume_writing()
    assert [said.on for said in pair.said_by_worker() if isinstance(said, link.Blocked)] == [True, False, True]


def test_one_that_waits_to_be_let_in_is_forgotten_with_its_socket() -> None:
    pair = Pair()
    first, gone, parted, stays = (Client(pair) for _ in range(4))
    first.subscribe(KEY)
    pair.carry()
    (mirror,) = pair.worker.mirrors.values()
    for each in (gone, parted, stays):
        each.held.told(link.Attach(0, 1, 0, mirror.stream.epoch, 7, None, True))  # which is to come
    parted.held.told(link.Detach(0, 1, 0))
    for each in (gone, parted):
        each.held.connection_lost(None)
    assert mirror.stream.subscribers == 1
    mirror.skip(7)
    assert mirror.stream.subscribers == 2


def test_the_answer_goes_first_also_when_the_socket_takes_more_again_before_it_comes() -> None:
    pair = Pair()
    peer = pair.desk.peer()
    pair.desk.hub.subscribe(peer.outbox, KEY, form=pair.desk.form)
    pair.desk.publish(1)
    client = Client(pair)
    pair.carry()
    client.held.pause_writing()
    pair.carry()
    client.subscribe(KEY)  # whose answer waits in the first process for the socket
    pair.worker.data_received(pair.down.take())
    client.held.resume_writing()
    pair.clock.settle()
    assert client.read() == []
    pair.carry()
    assert [each.get("s") for each in client.read()] == [None, 1]


def test_an_answer_over_http_may_be_larger_than_what_may_wait_of_frames() -> None:
    pair = Pair()
    wire = Wire()
    held = Held(pair.worker, cast("Any", wire), pair.port, "192.0.2.1", None)
    wire.protocol = held
    wire.slow = True
    for _ in range(3):
        held.write(b"x" * (1 << 20))
    held.told(link.Shut(1, "close"))
    assert len(wire.written) == 3 << 20
    assert link.Overflowed not in map(type, pair.said_by_worker())
    assert wire.ends == []
    wire.wake()
    assert wire.ends == ["close"]
