"""One port for HTTP and WebSocket: who gets in, who is refused and how, what a slow head costs, and the end."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from _speedups.fanout import Fanout
from gateway.limits import Limits
from gateway.net.head import Refusal
from gateway.net.listener import Listener
from tests.gateway.net.conftest import Server, http_app
from tests.gateway.net.raw import HANDSHAKE, TEXT, Frame, RawClient, frame
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def refused(client: RawClient, status: int, code: str) -> None:
    found, body = await client.response()
    assert (found, json.loads(body)["code"]) == (status, code)
    assert await client.rest() == b""
    client.writer.close()


async def test_http_and_websocket_on_one_port(serve: Serve) -> None:
    server = await serve()
    plain, stream = await RawClient.connect(server.port), await RawClient.open(server.port)
    for _ in range(2):  # kept alive
        plain.send(GET)
        assert await plain.response() == (200, b"/healthz ")
    stream.send(frame(TEXT, b"hi"))
    assert await stream.frame() == Frame(TEXT, b"hi")
    assert (len(server.listener.connections), server.listener.sockets) == (1, 2)
    plain.drop()
    stream.drop()
    await server.emptied()


async def test_a_websocket_after_other_requests_on_one_connection(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(GET)
    assert await client.response() == (200, b"/healthz ")
    client.send(HANDSHAKE + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"permessage-deflate" in head
    client.send(frame(TEXT, b"hi"))
    assert await client.frame() == Frame(TEXT, b"hi")
    client.drop()
    await server.emptied()


async def test_a_late_handshake_can_be_refused(serve: Serve) -> None:
    server = await serve()
    server.refusal = Refusal(403, "permission_denied", "no")
    client = await RawClient.connect(server.port)
    client.send(GET)
    await client.response()
    client.send(HANDSHAKE + b"\r\n")
    await refused(client, 403, "permission_denied")


async def test_a_late_handshake_whose_peer_is_gone(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(GET)
    await client.response()
    client.send(HANDSHAKE + b"\r\n")
    client.drop()
    await server.emptied()


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_head_in_pieces(serve: Serve, size: int) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    head = HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade") + b"\r\n"
    for at in range(0, len(head), size):
        client.send(head[at : at + size])
        await asyncio.sleep(0)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")


async def test_what_the_handler_learns(serve: Serve) -> None:
    server = await serve()
    await RawClient.open(server.port, b"X-Api-Key: k")
    head = server.handlers[0].head
    assert (head.path, head.peer, head.headers["x-api-key"]) == ("/v1/stream", "127.0.0.1", "k")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 8") + b"\r\n", 426),
        (HANDSHAKE.replace(b"dGhlIHNh", b"") + b"\r\n", 400),
        (HANDSHAKE.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_bad_requests(serve: Serve, raw: bytes, status: int) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(raw)
    await refused(client, status, "validation_error")
    await server.emptied()
    assert server.listener.counts["refused"] == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_the_router_refuses(serve: Serve, status: int) -> None:
    server = await serve()
    server.refusal = Refusal(status, "not_authenticated", "who are you?")
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE + b"\r\n")
    await refused(client, status, "not_authenticated")


async def test_a_failing_router(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE.replace(b"/v1/stream", b"/raise") + b"\r\n")
    await refused(client, 500, "internal_error")


async def test_a_refused_peer_that_stays_is_dropped(serve: Serve) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(b"nonsense\r\n\r\n")
    await client.response()
    client.send(HANDSHAKE + b"\r\n")
    server.pass_time(server.listener.shared.limits.handshake_timeout_s + 1)
    await server.emptied()
    assert (server.handlers, server.listener.counts["timed_out"]) == ([], 0)


@pytest.mark.parametrize("start", [b"", b"GET / HT", HANDSHAKE])
async def test_a_slow_head_is_cut(serve: Serve, start: bytes) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(start)
    await until(lambda: server.listener.doors)
    server.pass_time(server.listener.shared.limits.handshake_timeout_s - 1)
    assert server.listener.sockets == 1
    server.pass_time(2)
    await server.emptied()
    assert server.listener.counts["timed_out"] == 1


async def test_connections_are_limited(serve: Serve) -> None:
    server = await serve(connections_max=2, connections_per_ip_max=2)
    clients = [await RawClient.open(server.port) for _ in range(2)]
    late = await RawClient.connect(server.port)
    late.send(HANDSHAKE + b"\r\n")
    await refused(late, 429, "too_many_connections")
    plain = await RawClient.connect(server.port)
    plain.send(GET)
    assert (await plain.response())[0] == 200
    clients[0].drop()
    await asyncio.wait_for(server.handlers[0].closed.wait(), 5)
    await RawClient.open(server.port)


async def test_connections_of_one_address_are_limited(serve: Serve) -> None:
    server = await serve(connections_per_ip_max=1)
    await RawClient.open(server.port)
    late = await RawClient.connect(server.port)
    late.send(HANDSHAKE + b"\r\n")
    await refused(late, 429, "too_many_connections")


async def test_sockets_are_limited_even_before_they_speak(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.listener.SPARE_SOCKETS", 0)
    server = await serve(connections_max=1, connections_per_ip_max=1)
    await RawClient.open(server.port)
    late = await RawClient.connect(server.port)
    assert await late.rest() == b""
    assert server.listener.counts["dropped"] == 1


async def test_no_new_connections_at_the_end(serve: Serve) -> None:
    server = await serve()
    stream, waiting = await RawClient.open(server.port), await RawClient.connect(server.port)
    await until(lambda: server.listener.doors)
    server.listener.close_accepting()
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(server.port)
    waiting.send(HANDSHAKE + b"\r\n")
    await refused(waiting, 503, "exchange_unavailable")
    for connection in list(server.listener.connections):
        connection.close(1001, "shutdown")
    await stream.closed_with(1001)
    await server.emptied()


async def test_a_taken_port_says_so(serve: Serve) -> None:
    server = await serve()
    loop = asyncio.get_running_loop()
    other = Listener(server.route, http_app, Limits(), Fanout(loop.call_soon, loop.call_later), Counter())
    with pytest.raises(OSError, match="in use") as caught:
        await other.start("127.0.0.1", server.port)
    assert caught.value.errno == errno.EADDRINUSE


async def test_socket_options(serve: Serve) -> None:
    server = await serve(send_buffer_bytes=65_536)
    await RawClient.open(server.port)
    sock = socket.socket(fileno=server.handlers[0].conn._transport.get_extra_info("socket").fileno())
    try:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 65_536  # the kernel doubles it
    finally:
        sock.detach()


def test_the_loop_of_the_standard_library_will_do() -> None:
    async def run() -> None:
        server = Server(Limits())
        await server.listener.start("::1" if socket.has_dualstack_ipv6() else "127.0.0.1", 0)
        host = "::1" if socket.has_dualstack_ipv6() else "127.0.0.1"
        client = RawClient(*await asyncio.open_connection(host, server.port))
        client.send(HANDSHAKE + b"\r\n" + frame(TEXT, b"hi"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.frame() == Frame(TEXT, b"hi")
        server.handlers[0].conn.close(1000)
        await client.closed_with(1000)
        client.writer.close()
        server.listener.close()
        await server.emptied()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
