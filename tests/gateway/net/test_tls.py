"""TLS on the port: which versions, what is spoken through it, who does not read, and how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.net.certificate import Certificate
from gateway.net.tls import OWED_BYTES_MAX, TlsTransport
from tests import certificates
from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import CLOSE, HANDSHAKE, PING, PONG, TEXT, Frame, RawClient, frame
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]
ALERT, FATAL, HANDSHAKE_FAILURE, PROTOCOL_VERSION = 21, 2, 40, 70  # RFC 8446, section 6


@pytest.fixture(name="tls")
async def _tls(serve: Serve, tmp_path: Path) -> tuple[Certificate, Callable[..., Awaitable[Server]]]:
    certificate = Certificate(*certificates.issue(tmp_path))

    async def start(**limits: Any) -> Server:
        return await serve(tls=lambda: certificate.context, **limits)

    return certificate, start


Tls = tuple[Certificate, Callable[..., Awaitable[Server]]]


def client_hello(version: bytes) -> bytes:
    """The shortest one without extensions, which knows nothing above this version (RFC 5246, section 7.4.1.2)."""
    body = version + bytes(range(32)) + b"\0" + b"\x00\x04\xc0\x2f\x00\x2f" + b"\x01\0"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize(
    ("version", "alert"),
    [
        (b"\x03\x00", HANDSHAKE_FAILURE),
        (b"\x03\x01", PROTOCOL_VERSION),
        (b"\x03\x02", PROTOCOL_VERSION),
        (b"\x03\x03", PROTOCOL_VERSION),
    ],
    ids=["SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"],
)
async def test_every_version_before_1_3_is_refused_by_an_alert(tls: Tls, version: bytes, alert: int) -> None:
    server = await tls[1]()
    client = await RawClient.connect(server.port)
    client.send(client_hello(version))
    record = await asyncio.wait_for(client.reader.readexactly(7), 5)
    assert (record[0], record[5], record[6]) == (ALERT, FATAL, alert)
    assert await client.rest() == b""
    client.drop()
    await server.emptied()
    assert server.listener.counts["tls_failed"] == 1
    assert server.listener.counts["timed_out"] == 0


async def test_a_client_that_ends_at_1_2_is_refused_and_one_of_today_gets_1_3(tls: Tls) -> None:
    server = await tls[1]()
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        await RawClient.connect(server.port, tls=certificates.client(ssl.TLSVersion.TLSv1_2))
    client = await RawClient.open(server.port, tls=certificates.client())
    assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_http_and_websocket_are_spoken_through_it(tls: Tls) -> None:
    server = await tls[1]()
    plain = await RawClient.connect(server.port, tls=certificates.client())
    for body in (b"", b"x" * 3_000_000):  # the second is more than uvicorn wants to hold: reading pauses
        plain.send(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert await plain.response() == (200, b"/a " + body)
    plain.send(HANDSHAKE + b"\r\n")  # on the same connection
    assert (await plain.head()).startswith(b"HTTP/1.1 101 ")
    stream = await RawClient.open(server.port, tls=certificates.client())
    for each in (plain, stream):
        each.send(frame(PING, b"p") + b"".join(frame(TEXT, b"%d" % n + b"x" * 20_000) for n in range(30)))
        assert await each.frame() == Frame(PONG, b"p")
        for number in range(30):
            assert await each.frame() == Frame(TEXT, b"%d" % number + b"x" * 20_000)
        each.send(frame(CLOSE, b"\x03\xe8"))
        assert (await each.frame()).opcode == CLOSE
        assert await each.rest() == b""
        each.drop()
    await server.emptied()


async def test_a_refusal_arrives_whole(tls: Tls) -> None:
    server = await tls[1](connections_max=1, connections_per_ip_max=1)
    await RawClient.open(server.port, tls=certificates.client())
    late = await RawClient.connect(server.port, tls=certificates.client())
    late.send(HANDSHAKE + b"\r\n")
    status, body = await late.response()
    assert (status, json.loads(body)["code"]) == (429, "too_many_connections")
    assert await late.rest() == b""


async def test_who_breaks_the_protocol_reads_our_close(tls: Tls) -> None:
    server = await tls[1]()
    client = await RawClient.open(server.port, tls=certificates.client())
    client.send(b"\x8f\x80mask" + b"x" * 100_000)
    await client.closed_with(1002)
    client.drop()
    await server.emptied()


async def test_the_server_closes(tls: Tls) -> None:
    server = await tls[1]()
    client = await RawClient.open(server.port, tls=certificates.client())
    server.handlers[0].conn.close(1001, "bye")
    await client.closed_with(1001)
    client.drop()
    await server.emptied()


async def test_what_waits_for_who_does_not_read_is_bounded_and_ends_with_4008(tls: Tls) -> None:
    server = await tls[1](queue_bytes_max=200_000, queue_append_bytes=100_000, queue_state_bytes=50_000)
    client = await RawClient.open(server.port, tls=certificates.client())
    client.stop_reading()
    outbox = server.handlers[0].conn.outbox
    sent = 0
    while not outbox.blocked:  # the kernel of either side holds some
        server.handlers[0].conn.send(b"x" * 10_000)
        sent += 1
        await asyncio.sleep(0)
    transport = server.handlers[0].conn._transport
    held_bytes = transport.get_write_buffer_size()
    assert 0 < held_bytes < 11_000, "no more than was being sent when the socket was full"
    peaks = []
    for _ in range(100):
        server.handlers[0].conn.send(b"x" * 10_000)
        peaks.append(outbox.queued_bytes)
    await until(lambda: outbox.finished)
    assert max(peaks) <= 200_000
    assert transport.get_write_buffer_size() == held_bytes
    client.read_on()
    for _ in range(sent):
        assert await client.frame() == Frame(TEXT, b"x" * 10_000)
    await client.closed_with(4008)


async def test_who_takes_too_long_to_shake_hands_is_dropped(tls: Tls) -> None:
    server = await tls[1]()
    client = await RawClient.connect(server.port)
    client.send(client_hello(b"\x03\x03")[:20])
    await until(lambda: server.listener.entrances)
    server.pass_time(server.listener.shared.limits.handshake_timeout_s + 1)
    await server.emptied()
    assert server.listener.counts["timed_out"] == 1


@pytest.mark.parametrize("said", [b"", client_hello(b"\x03\x03")[:20]])
async def test_who_leaves_before_the_handshake_is_done_is_forgotten(tls: Tls, said: bytes) -> None:
    server = await tls[1]()
    client = await RawClient.connect(server.port)
    client.send(said)
    client.writer.write_eof()
    assert await client.rest() == b""
    await server.emptied()


async def test_plain_http_is_not_answered(tls: Tls) -> None:
    server = await tls[1]()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE + b"\r\n")
    assert b"HTTP" not in await client.rest()
    assert server.handlers == []


async def test_what_was_changed_on_the_way_ends_the_connection(tls: Tls) -> None:
    server = await tls[1]()
    client = await RawClient.open(server.port, tls=certificates.client())
    sock = socket.socket(fileno=client.writer.get_extra_info("socket").fileno())
    try:
        sock.send(b"\x17\x03\x03\x00\x20" + b"?" * 32)  # past the client's TLS
    finally:
        sock.detach()
    await asyncio.wait_for(server.handlers[0].closed.wait(), 5)
    assert server.handlers[0].messages == []


async def test_a_new_connection_gets_the_new_certificate_and_an_old_one_lives_on(tls: Tls, tmp_path: Path) -> None:
    server = await tls[1]()

    async def connect() -> tuple[RawClient, int]:
        client = await RawClient.open(server.port, tls=certificates.client())
        return client, client.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]

    old, first = await connect()
    certificates.issue(tmp_path)
    assert tls[0].reload()
    _, second = await connect()
    assert second != first
    old.send(frame(TEXT, b"still here"))
    assert await old.frame() == Frame(TEXT, b"still here")


class Talkative:
    """TLS that answers each record by itself, as it does to key updates (RFC 8446, section 4.6.3)."""

    def wrap_bio(self, _incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_side: bool) -> Talkative:
        assert server_side
        self.outgoing = outgoing
        return self

    def do_handshake(self) -> None:
        pass

    def read(self, _size: int) -> bytes:
        self.outgoing.write(b"x" * 1_000)
        raise ssl.SSLWantReadError


class Socket:
    """The transport below."""

    def __init__(self) -> None:
        self.written = 0
        self.aborted = False

    def set_protocol(self, _protocol: asyncio.BaseProtocol) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def test_answers_of_tls_itself_to_who_does_not_read_are_bounded() -> None:
    below = Socket()
    transport = TlsTransport(
        cast("asyncio.Transport", below), cast("ssl.SSLContext", Talkative()), asyncio.Protocol(), lambda _: None
    )
    for _ in range(1_000):
        transport.data_received(b"read")
    assert (below.written, below.aborted) == (1_000_000, False)
    transport.pause_writing()
    while not below.aborted:
        transport.data_received(b"not read")
    assert below.written <= 1_000_000 + OWED_BYTES_MAX
