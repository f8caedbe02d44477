"""Plain HTTP on the shared port: bodies, pipelining, and the limits uvicorn does not have."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

import pytest

from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import RawClient
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
POST = b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


async def kept_alive(server: Server) -> RawClient:
    client = await RawClient.connect(server.port)
    client.send(GET)
    assert await client.response() == (200, b"/a ")
    return client


async def test_bodies_and_pipelining(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(POST + b"bo")
    client.send(b"dy" + GET + POST + b"next")
    assert await client.response() == (200, b"/b body")
    assert await client.response() == (200, b"/a ")
    assert await client.response() == (200, b"/b next")


async def test_what_is_being_answered_may_end(serve: Serve) -> None:
    server = await serve()
    http = server.listener.http
    assert await http.finish(0)
    client = await RawClient.connect(server.port)
    client.send(POST + b"bo")
    await until(lambda: http._state.tasks)
    assert not await http.finish(0.01)
    finishing = asyncio.create_task(http.finish(5))
    client.send(b"dy")
    assert await finishing
    assert await client.response() == (200, b"/b body")


@pytest.mark.parametrize("later", [b"GET / HTTP/1.1\r\nX: y", POST + b"bo"])
async def test_a_later_request_must_come_in_time(serve: Serve, later: bytes) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(later)
    await until(lambda: len(server.listener.shared.wheel))
    server.pass_time(server.listener.shared.limits.silence_s + 1)
    status, content = await client.response()
    assert (status, json.loads(content)["code"]) == (408, "validation_error")
    assert await client.rest() == b""
    await server.emptied()


@pytest.mark.parametrize("later", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nX: y", GET, UPGRADE])
async def test_what_is_refused_answers_no_request_before_it(serve: Serve, later: bytes) -> None:
    server = await serve(http_requests_per_ip_per_s=0.001, http_requests_per_ip_burst=1)
    client = await RawClient.connect(server.port)
    client.send(GET.replace(b"/a", b"/never") + later)
    await until(lambda: server.listener.counts["accepted"])
    await until(lambda: server.listener.http._state.tasks or not server.listener.sockets)
    server.pass_time(server.listener.shared.limits.silence_s + 1)
    with contextlib.suppress(ConnectionResetError):
        assert await client.rest() == b""
    await server.emptied()
    assert not server.handlers, "nor is it made a WebSocket"


async def test_an_address_without_credentials_has_a_rate_of_requests(serve: Serve) -> None:
    server = await serve(http_requests_per_ip_per_s=1.0, http_requests_per_ip_burst=2)
    good = GET.replace(b"Host", b"X-Api-Key: good\r\nHost").replace(b"/a", b"/mine")
    client = await RawClient.connect(server.port)
    client.send(GET * 2)
    for _ in range(2):
        assert await client.response() == (200, b"/a ")
    for _ in range(9):
        client.send(good)
        assert await client.response() == (200, b"/mine "), "the rate of the key counts"
    for asked in (GET, good.replace(b"good", b"bad")):
        late = await RawClient.connect(server.port)
        late.send(asked)
        status, content = await late.response()
        told = json.loads(content)
        assert (status, told["code"], told["retry_after_ms"]) == (429, "rate_limited", 1000)
        assert await late.rest() == b""
    server.pass_time(1)
    again = await RawClient.connect(server.port)
    again.send(GET)
    assert await again.response() == (200, b"/a ")


async def test_requests_whose_sender_is_found_out_take_nothing_from_others_of_the_address(serve: Serve) -> None:
    server = await serve(http_requests_per_ip_per_s=0.001, http_requests_per_ip_burst=2)
    client = await RawClient.connect(server.port)
    for _ in range(9):
        client.send(GET.replace(b"Host", b"X-Api-Key: good\r\nHost").replace(b"/a", b"/mine"))
        assert await client.response() == (200, b"/mine ")
    for _ in range(2):
        client.send(GET)
        assert await client.response() == (200, b"/a ")
    client.send(GET)
    assert (await client.response())[0] == 429


async def test_who_shows_credentials_where_nobody_asks_for_them_has_the_rate_of_who_shows_none(serve: Serve) -> None:
    server = await serve(http_requests_per_ip_per_s=1.0, http_requests_per_ip_burst=2)
    good = GET.replace(b"Host", b"X-Api-Key: good\r\nHost")
    client = await RawClient.connect(server.port)
    for asked in (GET, GET, good, good):
        client.send(asked)
        assert await client.response() == (200, b"/a ")
    client.send(good)
    status, content = await client.response()
    told = json.loads(content)
    assert (status, told["code"], told["retry_after_ms"]) == (429, "rate_limited", 1000)
    assert await client.rest() == b""
    server.pass_time(1)
    again = await RawClient.connect(server.port)
    for asked in (GET, good):
        again.send(asked)
        assert await again.response() == (200, b"/a ")


CHUNKED = b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000,
        CHUNKED + b"0\r\n" + b"Xabc: def\r\n" * 10_000,
        CHUNKED + b"0\r\nX: " + b"x" * 100_000,
        CHUNKED + b"1;" + b"x" * 100_000,
    ],
    ids=["head", "trailers", "trailer", "extension"],
)
async def test_what_is_not_body_is_bounded(serve: Serve, endless: bytes) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(endless)
    with contextlib.suppress(ConnectionResetError):  # a close with unread bytes may overtake the answer
        assert (await client.rest()).startswith((b"", b"HTTP/1.1 431 "))
    await server.emptied()


async def test_small_chunks_and_many_pipelined_heads_are_not_taken_for_a_large_head(serve: Serve) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(CHUNKED + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n" + GET * 1_000)
    assert await client.response() == (200, b"/c " + b"x" * 10_000)
    for _ in range(1_000):
        assert await client.response() == (200, b"/a ")


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CHUNKED + b"zz\r\n"])
async def test_what_is_not_http_is_refused_with_a_code(serve: Serve, garbage: bytes) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(garbage)
    status, content = await client.response()
    assert (status, json.loads(content)["code"]) == (400, "validation_error")
    await server.emptied()


async def test_who_does_not_read_the_answers_is_dropped_without_a_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.stop_reading()
    client.send((POST.replace(b" 4", b" 60000") + b"x" * 60_000) * 100)
    await until(lambda: any(each.flow.write_paused for each in server.listener.http.connections))
    server.pass_time(server.listener.shared.limits.silence_s + 1)
    await server.emptied()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_large_bodies_are_not_taken_for_heads(serve: Serve) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(b"POST /c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000 + GET)
    assert await client.response() == (200, b"/c " + b"x" * 50_000)
    assert await client.response() == (200, b"/a ")


async def test_an_upgrade_to_something_else_is_plain_http(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
    assert await client.response() == (200, b"/a ")
