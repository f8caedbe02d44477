"""What reaches a transport, and in how many writes."""

import asyncio
from collections import Counter

import pytest

from loadtest.exchange import streams as module
from loadtest.exchange.streams import BACKLOG_BYTES_MAX, BUFFERED_BYTES_MAX, Connection, Streams, frame
from tests.loadtest.exchange.tools import FakeTransport, payload


def _join(streams: Streams, *, combined: bool = False) -> tuple[Connection, FakeTransport]:
    transport = FakeTransport()
    return streams.join(transport, combined=combined), transport  # type: ignore[arg-type]  # a transport's few methods


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 70000])
def test_frames_of_every_length(length: int) -> None:
    finished = frame(b"x" * length)
    assert finished[0] == 0x81
    assert payload(finished) == b"x" * length
    if length >= 126:
        size = finished[2 : 4 if length < 65536 else 10]
        assert int.from_bytes(size) == length
    else:
        assert finished[1] == length


async def test_one_turn_of_the_loop_is_one_write() -> None:
    streams = Streams()
    connection, transport = _join(streams)
    streams.subscribe(connection, "a@trade")
    for number in range(100):
        streams.topic("a@trade").publish(b"%d" % number)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"".join(frame(b"%d" % number) for number in range(100))]
    assert streams.counters["writes"] == 1
    assert streams.counters["messages_sent"] == 100


async def test_raw_and_combined_connections() -> None:
    streams = Streams()
    raw, raw_transport = _join(streams)
    combined, combined_transport = _join(streams, combined=True)
    for connection in (raw, combined):
        streams.subscribe(connection, "a@trade")
    streams.topic("a@trade").publish(b'{"p":1}')
    streams.topic("a@trade").publish(b'{"p":2}', b"as recorded")
    await asyncio.sleep(0)
    assert raw_transport.writes == [frame(b'{"p":1}') + frame(b'{"p":2}')]
    assert combined_transport.writes == [frame(b'{"stream":"a@trade","data":{"p":1}}') + frame(b"as recorded")]


async def test_counts_of_subscribers_and_subscribes() -> None:
    streams = Streams()
    first, _ = _join(streams)
    second, _ = _join(streams)
    for connection in (first, second):
        streams.subscribe(connection, "a@trade")
    assert streams.status() == {"a@trade": {"subscribers": 2, "subscribes": 2, "messages": 0}}
    streams.unsubscribe(first, "a@trade")
    streams.unsubscribe(first, "a@trade")
    streams.leave(second)
    assert streams.status() == {"a@trade": {"subscribers": 0, "subscribes": 2, "messages": 0}}
    assert list(streams.connections.values()) == [first]


async def test_silence_loses_what_is_sent_and_ends() -> None:
    connection, transport = _join(Streams())
    connection.silent = True
    connection.send(b"lost")
    connection.pong(b"lost too")
    connection.answers_pings = True
    connection.pong(b"pong ")
    connection.speak()
    connection.send(b"heard")
    await asyncio.sleep(0)
    assert b"".join(transport.writes) == b"pong heard"


async def test_delay_keeps_the_order() -> None:
    connection, transport = _join(Streams())
    connection.delay_s = 0.02
    began = asyncio.get_running_loop().time()
    connection.send(b"1")
    connection.send(b"2")
    connection.hurry()
    connection.send(b"3")
    await transport.until(b"123")
    assert asyncio.get_running_loop().time() - began > 0.018
    connection.send(b"4")
    await asyncio.sleep(0)
    assert b"".join(transport.writes) == b"1234"


async def test_skip_and_hold() -> None:
    streams = Streams()
    connection, transport = _join(streams)
    streams.subscribe(connection, "a@trade")
    topic = streams.topic("a@trade")
    topic.skip_count = 1
    topic.publish(b"skipped")
    topic.hold_count = 2
    topic.publish(b"1")
    await asyncio.sleep(0)
    assert transport.writes == []
    topic.publish(b"2")
    topic.publish(b"3")
    await asyncio.sleep(0)
    assert transport.writes == [frame(b"1") + frame(b"2") + frame(b"3")]


async def test_a_reader_far_behind_is_cut() -> None:
    streams = Streams()
    connection, transport = _join(streams)
    transport.buffered_bytes = BUFFERED_BYTES_MAX + 1
    connection.send(b"x")
    await asyncio.sleep(0)
    assert transport.aborted
    assert streams.counters["slow_readers_cut"] == 1
    connection.send(b"y")
    await asyncio.sleep(0)
    assert transport.writes == [b"x"]


async def test_drained_waits_for_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams()
    _, transport = _join(streams)
    transport.buffered_bytes = BACKLOG_BYTES_MAX + 1
    waiting = asyncio.ensure_future(streams.drained())
    done, _ = await asyncio.wait([waiting], timeout=0.02)
    assert not done
    transport.buffered_bytes = 0
    await waiting
    assert not transport.aborted

    monkeypatch.setattr(module, "BACKLOG_PATIENCE_S", 0.0)
    transport.buffered_bytes = BACKLOG_BYTES_MAX + 1
    await streams.drained()
    assert transport.aborted
    assert isinstance(streams.counters, Counter)
