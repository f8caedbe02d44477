"""What is meant to harm: each ends with a clear answer or close, and costs no more than the limits say.

More of it is beside what it is about; docs/security.md has the table.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.wire.codec import AccountId
from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import BINARY, HANDSHAKE, TEXT, Frame, RawClient, frame
from tests.gateway.net.test_listener import Serve

POST = b"POST /a HTTP/1.1\r\nHost: h\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
BODY = b"0\r\n\r\n"


def resident_bytes() -> int:
    """Of this process, as the kernel counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# What two servers on the way could take for requests that begin and end in different places (RFC 9112 section 11.2).
AMBIGUOUS = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + BODY,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 35\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 35\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a length without end": b"Content-Length: 18446744073709551616\r\n\r\n",
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "a coding behind chunked": b"Transfer-Encoding: chunked, identity\r\n\r\n" + BODY,
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + BODY,
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n" + BODY,
    "a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + BODY,
    "lines without CR": b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
    "a chunk without end": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "a chunk below nothing": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk that is longer": b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n" + BODY,
    "two hosts": b"Host: another\r\nContent-Length: 0\r\n\r\n",
    "two hosts and a body": b"Host: another\r\nContent-Length: 35\r\n\r\n",
    "an extension with a line": b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n" + BODY,
}


async def told(server: Server, raw: bytes, *, later: bool) -> bytes:
    """All that comes back for this, on a new connection or one that was used before."""
    client = await RawClient.connect(server.port)
    if later:
        client.send(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.response())[0] == 200
    client.send(raw)
    answer = await client.rest()
    client.writer.close()
    return answer


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_may_begin_elsewhere_for_somebody_else_is_refused(serve: Serve, name: str, later: bool) -> None:
    server = await serve()
    answer = await told(server, POST + AMBIGUOUS[name] + SMUGGLED, later=later)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1, "and nothing behind it is answered"
    assert b"smuggled" not in answer
    await server.emptied()


# A proxy that takes the upgrade for done lets everything through: what follows a refusal must not be a request.
UPGRADES = {
    "a body": (HANDSHAKE + b"Content-Length: 35\r\n\r\n", 400),
    "chunks": (HANDSHAKE + b"Transfer-Encoding: chunked\r\n\r\n" + BODY, 400),
    "another version": (HANDSHAKE.replace(b"Version: 13", b"Version: 777") + b"\r\n", 426),
    "no key": (HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n", 400),
    "two hosts": (HANDSHAKE + b"Host: another\r\n\r\n", 400),
}


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("name", UPGRADES)
async def test_nothing_is_answered_behind_a_refused_upgrade(serve: Serve, name: str, later: bool) -> None:
    raw, status = UPGRADES[name]
    server = await serve()
    answer = await told(server, raw + SMUGGLED, later=later)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert server.handlers == []


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n ", b"\x00", b"\x0b\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("header", [b"Sec-WebSocket-Protocol: bearer.a", b"Sec-WebSocket-Extensions: a", b"Origin: a"])
async def test_no_header_is_put_into_an_answer(serve: Serve, header: bytes, end: bytes) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE + header + end + b"Set-Cookie: x=1\r\n\r\n")
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nset-cookie" not in head.lower()


async def test_a_line_break_in_a_path_is_a_part_of_the_path(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE.replace(b"/v1/stream", b"/v1/stream%0d%0aSet-Cookie:%20x=1") + b"\r\n")
    assert b"Set-Cookie" not in await client.head()
    assert server.handlers[0].head.path == "/v1/stream\r\nSet-Cookie: x=1"


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "one byte"])
async def test_many_small_fragments_cost_what_they_hold(serve: Serve, payload: bytes) -> None:
    """The frames around them are 1.2 MB."""
    server = await serve(message_bytes_max=100_000)
    client = await RawClient.open(server.port)
    count = 200_000 if not payload else 99_998
    before = resident_bytes()
    client.send(frame(TEXT, payload, fin=False) + frame(0, payload, fin=False) * count + frame(0, payload))
    assert await client.frame() == Frame(TEXT, payload * (count + 2))
    assert resident_bytes() - before < 16_000_000


async def test_fragments_that_never_end_are_a_message_too_large(serve: Serve) -> None:
    server = await serve(message_bytes_max=1000)
    client = await RawClient.open(server.port)
    client.send(frame(BINARY, b"x", fin=False) + frame(0, b"x", fin=False) * 5_000)
    await client.closed_with(1009)


async def test_a_frame_that_is_not_masked_ends_the_connection(serve: Serve) -> None:
    """RFC 6455 section 5.1: so no page can make a proxy in between take its bytes for a request."""
    server = await serve()
    client = await RawClient.open(server.port)
    client.send(b"\x81\x05hello")
    await client.closed_with(1002)


def test_numbers_that_are_keys_cannot_be_made_to_collide() -> None:
    """Python's hash of an integer is its rest by 2^61 - 1, and no secret: of those that may be keys four are alike.
    Texts are hashed with a secret of the process."""
    (limits,) = AccountId.__metadata__  # type: ignore[attr-defined]  # of an Annotated
    alike = [number for number in range(7, limits.le, 2**61 - 1) if hash(number) == 7]
    assert len(alike) <= 3
    assert sys.flags.hash_randomization
