"""Plain HTTP on the shared port: bodies, pipelining, and the limits uvicorn does not have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import RawClient, until

Serve = Callable[..., Awaitable[Server]]
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
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


@pytest.mark.parametrize("later", [b"GET / HTTP/1.1\r\nX: y", POST + b"bo"])
async def test_a_later_request_must_come_in_time(serve: Serve, later: bytes) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(later)
    await until(lambda: len(server.listener.shared.wheel))
    server.pass_time(server.listener.shared.limits.silence_s + 1)
    assert await client.rest() == b""
    await server.emptied()


async def test_a_later_head_is_bounded(serve: Serve) -> None:
    server = await serve()
    client = await kept_alive(server)
    client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
    with pytest.raises(ConnectionResetError):
        await client.rest()


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
