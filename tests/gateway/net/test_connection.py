"""One WebSocket, byte by byte: messages, violations, closing, heartbeat, compression, and what a peer may not cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import websockets

from gateway.net.connection import ENDS_PER_TURN, TURN_BYTES
from gateway.net.deflate import compress, inflate
from tests.gateway.net.conftest import Recorder, Server
from tests.gateway.net.raw import BINARY, CLOSE, HANDSHAKE, PING, PONG, TEXT, Frame, RawClient, frame
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate"


async def opened(serve: Serve, *headers: bytes, **limits: float) -> tuple[Server, RawClient, Recorder]:
    server = await serve(**limits)
    client = await RawClient.open(server.port, *headers)
    return server, client, server.handlers[0]


async def test_text_comes_back_as_text_and_binary_as_binary(serve: Serve) -> None:
    _, client, handler = await opened(serve)
    client.send(frame(TEXT, "grüße".encode()) + frame(BINARY, b"\xff"))
    assert await client.frame() == Frame(TEXT, "grüße".encode())
    assert await client.frame() == Frame(BINARY, b"\xff")
    assert handler.messages == ["grüße", b"\xff"]
    assert handler.conn.head is None  # nobody pays for it while the connection lives


async def test_frames_behind_the_handshake_in_one_segment(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE + b"\r\n" + frame(TEXT, b"early") + frame(CLOSE))
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    assert await client.frame() == Frame(TEXT, b"early")
    assert await client.frame() == Frame(CLOSE, b"")
    assert await client.rest() == b""


async def test_what_is_said_first_leaves_in_one_call_with_the_answer_to_the_handshake(serve: Serve) -> None:
    server = await serve()
    server.greeting = b"hello"
    client = await RawClient.open(server.port)
    assert await client.frame() == Frame(TEXT, b"hello")
    assert server.listener.shared.fanout.counters()["sends"] == 1


async def test_pings_between_fragments_are_answered_first(serve: Serve) -> None:
    _, client, handler = await opened(serve)
    client.send(frame(TEXT, b"a", fin=False) + frame(PING, b"1") + frame(PING, b"2") + frame(PONG) + frame(0, b"b"))
    assert [await client.frame() for _ in range(3)] == [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"ab")]
    assert handler.messages == ["ab"]


async def test_when_the_peer_pinged_last_is_known_and_a_pong_is_no_ping(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    opened_s = handler.conn.pinged_s
    server.listener.shared.clock = lambda: opened_s + 7
    client.send(frame(PONG) + frame(TEXT, b"a"))
    assert await client.frame() == Frame(TEXT, b"a")
    assert handler.conn.pinged_s == opened_s
    client.send(frame(PING))
    assert await client.frame() == Frame(PONG, b"")
    assert handler.conn.pinged_s == opened_s + 7


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", rsv=0x40), 1002),
        (frame(3), 1002),
        (frame(0, b"x"), 1002),
        (frame(CLOSE, b"\x03\xed"), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0", fin=False), 1007),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(BINARY, bytes(65_537)), 1009),
        (frame(BINARY, bytes(40_000), fin=False) + frame(0, bytes(40_000)), 1009),
    ],
)
async def test_a_violation_is_named_after_what_came_before_it(serve: Serve, data: bytes, code: int) -> None:
    _, client, handler = await opened(serve)
    client.send(frame(TEXT, b"fine") + data + frame(TEXT, b"late"))
    assert await client.frame() == Frame(TEXT, b"fine")
    await client.closed_with(code)
    client.writer.close()
    await asyncio.wait_for(handler.closed.wait(), 5)
    assert handler.messages == ["fine"]
    assert handler.conn.close_code == code


async def test_the_close_arrives_though_the_peer_goes_on_sending(serve: Serve) -> None:
    _, client, _ = await opened(serve, message_bytes_max=1000)
    client.send(frame(BINARY, bytes(20_000_000)))
    await client.closed_with(1009)


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0f\xa0bye"])
async def test_a_close_is_echoed_with_its_code(serve: Serve, payload: bytes) -> None:
    server, client, handler = await opened(serve)
    client.send(frame(CLOSE, payload) + frame(PING) + frame(TEXT, b"late"))
    assert await client.frame() == Frame(CLOSE, payload[:2])
    assert await client.rest() == b""
    await server.emptied()
    assert handler.messages == []
    assert handler.conn.close_code == (int.from_bytes(payload[:2], "big") if payload else 1005)


async def test_our_close_waits_for_the_answer(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    handler.conn.send(b"last")
    handler.conn.close(4013, "full")
    handler.conn.send(b"too late")
    handler.conn.close(1000)
    assert not handler.conn.is_open
    assert await client.frame() == Frame(TEXT, b"last")
    assert await client.frame() == Frame(CLOSE, (4013).to_bytes(2, "big") + b"full")
    client.send(frame(TEXT, b"ignored") + frame(PING) + frame(CLOSE, (4013).to_bytes(2, "big")))
    assert await client.rest() == b""
    await server.emptied()
    assert handler.messages == []
    assert handler.conn.close_code == 4013


async def test_who_does_not_answer_our_close_is_dropped(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    handler.conn.close(1001)
    assert (await client.frame()).opcode == CLOSE
    server.pass_time(server.listener.shared.limits.close_timeout_s + 1)
    assert await client.rest() == b""
    await asyncio.wait_for(handler.closed.wait(), 5)


async def test_a_violation_while_our_close_waits(serve: Serve) -> None:
    _, client, handler = await opened(serve)
    handler.conn.close(1001)
    client.send(frame(3))
    assert await client.frame() == Frame(CLOSE, (1001).to_bytes(2, "big"))
    assert await client.rest() == b""


async def test_abort_leaves_no_word(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    handler.conn.abort()
    handler.conn.abort()
    assert await client.rest() == b""
    await server.emptied()
    assert handler.conn.close_code == 1006


async def test_a_peer_that_only_stops_sending_is_gone(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    client.send(frame(TEXT, b"last"))
    client.writer.write_eof()
    assert await client.frame() == Frame(TEXT, b"last")
    assert await client.rest() == b""
    await server.emptied()
    assert handler.conn.close_code == 1006


async def test_a_peer_that_vanishes(serve: Serve) -> None:
    server, client, handler = await opened(serve)
    client.drop()
    await asyncio.wait_for(handler.closed.wait(), 5)
    assert handler.conn.close_code == 1006
    handler.conn.send(b"into the void")
    handler.conn.close(1000)
    await server.emptied()


async def test_of_many_that_are_lost_at_once_some_handlers_are_told_in_each_turn(serve: Serve) -> None:
    server = await serve()
    for _ in range(ENDS_PER_TURN + 8):
        await RawClient.open(server.port)
    for connection in list(server.listener.connections):
        connection.abort()
    told = [0]
    while told[-1] < len(server.handlers):
        await asyncio.sleep(0)
        told.append(sum(handler.closed.is_set() for handler in server.handlers))
    assert [count for count in dict.fromkeys(told) if count] == [ENDS_PER_TURN, ENDS_PER_TURN + 8]
    await server.emptied()


async def test_heartbeat(serve: Serve) -> None:
    server, client, handler = await opened(serve, heartbeat_s=30, silence_s=90)
    server.pass_time(29)
    server.pass_time(2)
    assert await client.frame() == Frame(PING, b"")
    client.send(frame(PONG))
    client.send(frame(TEXT, b"here"))
    assert await client.frame() == Frame(TEXT, b"here")
    for _ in range(2):
        server.pass_time(31)
        assert await client.frame() == Frame(PING, b"")
    assert handler.conn.is_open
    server.pass_time(31)
    await client.closed_with(4408)
    await server.emptied()


async def test_a_connection_may_be_pinged_at_its_own_pace(serve: Serve) -> None:
    server, client, handler = await opened(serve, heartbeat_s=30, silence_s=90)
    handler.conn.ping_every(10)
    for _ in range(2):
        server.pass_time(11)
        assert await client.frame() == Frame(PING, b"")
    client.send(frame(PONG))
    client.send(frame(TEXT, b"here"))
    assert await client.frame() == Frame(TEXT, b"here")
    handler.conn.ping_every(100)
    server.pass_time(91)
    await client.closed_with(4408)  # whoever is never pinged is given up all the same
    await server.emptied()


async def test_a_failing_handler_costs_its_connection_only(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server, client, _ = await opened(serve)
    other = await RawClient.open(server.port)
    client.send(frame(TEXT, b"raise") + frame(TEXT, b"late"))
    found = await client.frame()
    assert (found.opcode, found.payload[:2]) == (CLOSE, (1011).to_bytes(2, "big"))
    other.send(frame(TEXT, b"still here"))
    assert await other.frame() == Frame(TEXT, b"still here")


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["pings", "pongs"])
async def test_a_flood_of_control_frames_ends_the_connection(serve: Serve, opcode: int) -> None:
    server, client, handler = await opened(serve, control_frames_per_s=1.0, control_frames_burst=3)
    client.send(frame(opcode) * 3 + frame(TEXT, b"in time"))
    for _ in range(3 if opcode == PING else 0):
        assert (await client.frame()).opcode == PONG
    assert await client.frame() == Frame(TEXT, b"in time")
    server.clock.now_s += 2
    client.send(frame(opcode) * 2 + frame(TEXT, b"still"))
    while (found := await client.frame()).opcode == PONG:
        pass
    assert found == Frame(TEXT, b"still")
    client.send(frame(opcode) + frame(TEXT, b"too late"))
    await client.closed_with(4029)
    assert handler.messages == ["in time", "still"]


async def test_after_a_large_read_the_others_get_a_turn(serve: Serve) -> None:
    _, client, handler = await opened(serve, control_frames_burst=1_000_000)
    transport = handler.conn._transport
    handler.conn.data_received(frame(PING) * (TURN_BYTES // 6 + 1))
    assert not transport.is_reading()
    await until(transport.is_reading)
    client.send(frame(TEXT, b"next"))
    found = Frame(PONG, b"")
    while found.opcode == PONG:
        found = await client.frame()
    assert found == Frame(TEXT, b"next")
    handler.conn.data_received(frame(PING) * (TURN_BYTES // 6 + 1))
    handler.conn.abort()  # reading is not resumed on a socket that is gone
    await asyncio.wait_for(handler.closed.wait(), 5)


async def test_a_reader_that_stops_is_closed_and_costs_no_more_than_its_queue(serve: Serve) -> None:
    _, client, handler = await opened(serve, queue_bytes_max=262_144, control_frames_burst=1_000_000)
    client.stop_reading()
    flood = frame(PING, bytes(125)) * 1000
    async with asyncio.timeout(10):
        while handler.conn.is_open:
            client.send(flood)
            await asyncio.sleep(0)
            assert handler.conn.outbox.queued_bytes <= 262_144 + 130_000
    assert handler.conn.close_code == 4008
    client.read_on()
    found = Frame(PONG, b"")
    while found.opcode == PONG:  # whole frames, and then the CLOSE
        found = await client.frame()
    assert (found.opcode, found.payload[:2]) == (CLOSE, (4008).to_bytes(2, "big"))


async def test_a_reader_that_never_comes_back_is_dropped(serve: Serve) -> None:
    server, client, handler = await opened(serve, queue_bytes_max=262_144)
    client.stop_reading()
    for _ in range(100):
        handler.conn.send(bytes(100_000), BINARY)
    await asyncio.sleep(0)
    assert not handler.conn.is_open
    server.pass_time(server.listener.shared.limits.close_timeout_s + 1)
    await asyncio.wait_for(handler.closed.wait(), 5)


async def test_what_is_queued_leaves_before_the_close(serve: Serve) -> None:
    _, client, handler = await opened(serve)
    payload = bytes(range(256)) * 2000
    for _ in range(2):
        handler.conn.send(payload, BINARY)
    handler.conn.close(1001)
    assert handler.conn.outbox.blocked
    for _ in range(2):
        assert await client.frame() == Frame(BINARY, payload)
    await client.closed_with(1001)


async def test_it_is_told_when_the_socket_takes_bytes_again(serve: Serve) -> None:
    _, client, handler = await opened(serve)
    writable = asyncio.Event()
    handler.conn.on_writable = writable.set
    payload = bytes(1_000_000)
    for _ in range(2):
        handler.conn.send(payload, BINARY)
    assert handler.conn.outbox.blocked
    assert not writable.is_set()
    for _ in range(2):
        await client.frame()
    await asyncio.wait_for(writable.wait(), 5)


async def test_compression_where_it_is_worth_it(serve: Serve) -> None:
    _, client, handler = await opened(serve, DEFLATE)
    assert handler.conn.deflate
    text = b"tick " * 400
    client.send(frame(TEXT, compress(text), rsv=0x40) + frame(TEXT, text[:1000]))
    found = await client.frame()
    assert (found.opcode, found.rsv, inflate(found.payload, 9000)) == (TEXT, 0x40, text)
    assert await client.frame() == Frame(TEXT, text[:1000])
    packed = compress(b"in pieces")
    client.send(frame(BINARY, packed[:3], rsv=0x40, fin=False) + frame(PING) + frame(0, packed[3:]))
    assert await client.frame() == Frame(PONG, b"")
    assert await client.frame() == Frame(BINARY, b"in pieces")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, compress(bytes(20_000_000)), rsv=0x40), 1009),
        (frame(BINARY, b"\xff\xff\xff\xff", rsv=0x40), 1002),
        (frame(TEXT, compress(b"\xff"), rsv=0x40), 1007),
        (frame(TEXT, b"", fin=False) + frame(0, b"x", rsv=0x40), 1002),
        (frame(TEXT, b"x", rsv=0x20), 1002),
        (frame(PING, b"x", rsv=0x40), 1002),
    ],
)
async def test_bad_compressed_messages(serve: Serve, data: bytes, code: int) -> None:
    _, client, handler = await opened(serve, DEFLATE)
    client.send(data)
    await client.closed_with(code)
    assert handler.messages == []


async def test_a_smaller_window_gets_no_shared_frames(serve: Serve) -> None:
    _, client, handler = await opened(serve, DEFLATE + b"; server_max_window_bits=9")
    assert not handler.conn.deflate
    client.send(frame(BINARY, bytes(5000)))
    found = await client.frame()
    assert (found.rsv, inflate(found.payload, 5000)) == (0x40, bytes(5000))


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_usual_client(serve: Serve, compression: str | None) -> None:
    server = await serve()
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    async with websockets.connect(url, compression=compression) as client:
        for message in ("hi", b"\x00\x01", "é" * 5000, bytes(60_000), ["in", " pieces"]):
            await client.send(message)
            expected = "".join(message) if isinstance(message, list) else message
            assert await client.recv() == expected
        await (await client.ping())
        assert bool(client.protocol.extensions) == (compression is not None)
    assert client.close_code == 1000
    await server.emptied()
