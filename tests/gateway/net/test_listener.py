"""One port for HTTP and WebSocket: who gets in, who is refused and how, what a slow head costs, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from _speedups.fanout import Fanout
from gateway.limits import Limits
from gateway.net.addresses import Proxies
from gateway.net.certificate import Certificate
from gateway.net.head import Refusal
from gateway.net.listener import Listener
from gateway.net.port import ACCEPTS_PER_TURN
from tests import certificates
from tests.gateway.net.conftest import Server, http_app
from tests.gateway.net.raw import HANDSHAKE, TEXT, Frame, RawClient, frame
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def refused(client: RawClient, status: int, code: str, words: str = "") -> None:
    found, body = await client.response()
    assert (found, json.loads(body)["code"]) == (status, code)
    assert words in json.loads(body)["message"]
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
    server = await serve(close_timeout_s=1.0)
    client = await RawClient.connect(server.port)
    client.send(b"nonsense\r\n\r\n")
    await client.response()
    client.send(HANDSHAKE + b"\r\n")
    server.pass_time(2.0)
    await server.emptied()
    assert (server.handlers, server.listener.counts["timed_out"]) == ([], 0)


@pytest.mark.parametrize("start", [b"", b"GET / HT", HANDSHAKE])
async def test_a_slow_head_is_cut(serve: Serve, start: bytes) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    client.send(start)
    await until(lambda: any(bytes(entrance._data) == start for entrance in server.listener.entrances))
    server.pass_time(server.listener.shared.limits.handshake_timeout_s - 1)
    assert server.listener.sockets == 1
    server.pass_time(2)
    if start:
        status, body = await client.response()
        assert (status, json.loads(body)["code"]) == (408, "validation_error")
        assert server.listener.sockets == 1, "they are to read it"
        server.pass_time(server.listener.shared.limits.close_timeout_s + 1)
    await server.emptied()
    assert (server.listener.counts["timed_out"], server.listener.counts["refused"]) == (1, 0)


async def test_connections_are_limited(serve: Serve) -> None:
    server = await serve(connections_max=2, connections_per_ip_max=2)
    clients = [await RawClient.open(server.port) for _ in range(2)]
    late = await RawClient.connect(server.port)
    late.send(HANDSHAKE + b"\r\n")
    await refused(late, 429, "too_many_connections", "the server holds its 2")
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


async def test_a_storm_of_handshakes_is_told_when_to_come_again(serve: Serve) -> None:
    server = await serve(handshakes_per_ip_per_s=0.1, handshakes_per_ip_burst=2)
    for _ in range(2):
        (await RawClient.open(server.port)).drop()
    client = await RawClient.connect(server.port)
    client.send(HANDSHAKE + b"\r\n")
    assert b"Retry-After: 10\r\n" in (head := await client.head()), head
    assert head.startswith(b"HTTP/1.1 429 ")
    assert json.loads(await client.rest())["code"] == "rate_limited"
    client.writer.close()


@pytest.mark.parametrize("plain", [False, True], ids=["at once", "after a request"])
async def test_a_page_of_another_site_is_refused_before_the_upgrade(serve: Serve, plain: bool) -> None:
    server = await serve()
    client = await RawClient.connect(server.port)
    if plain:
        client.send(GET)
        await client.response()
    client.send(HANDSHAKE + b"Origin: https://evil.example\r\n\r\n")
    await refused(client, 403, "permission_denied")
    await RawClient.open(server.port, b"Origin: http://localhost:3000")
    assert len(server.handlers) == 1


async def test_clients_of_a_proxy_are_counted_by_what_it_says_of_them(serve: Serve) -> None:
    server = await serve(proxies=Proxies(["127.0.0.1"]), connections_per_ip_max=1)
    await RawClient.open(server.port, b"X-Forwarded-For: 203.0.113.9, 198.51.100.7")
    await RawClient.open(server.port, b"X-Forwarded-For: 203.0.113.9, 198.51.100.8")
    assert [handler.head.peer for handler in server.handlers] == ["198.51.100.7", "198.51.100.8"]
    late = await RawClient.connect(server.port)
    late.send(GET)
    assert (await late.response())[0] == 200, "one connection of a proxy carries requests of many"
    late.send(HANDSHAKE + b"X-Forwarded-For: 198.51.100.7\r\n\r\n")
    await refused(late, 429, "too_many_connections")


async def test_nobody_else_is_believed(serve: Serve) -> None:
    server = await serve(proxies=Proxies(["10.0.0.0/8"], with_header=True))
    await RawClient.open(server.port, b"X-Forwarded-For: 198.51.100.7")
    assert server.handlers[0].head.peer == "127.0.0.1"
    liar = await RawClient.connect(server.port)
    liar.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n" + HANDSHAKE + b"\r\n")
    await refused(liar, 400, "validation_error")


HEADERS = [
    b"PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 192, 0, 2, 1, 0, 1, 0, 2]),
]


@pytest.mark.parametrize("header", HEADERS, ids=["version 1", "version 2"])
async def test_a_proxy_header_says_whom_a_connection_is_from(serve: Serve, header: bytes) -> None:
    server = await serve(proxies=Proxies(["127.0.0.1"], with_header=True), connections_per_ip_max=1)
    client = await RawClient.connect(server.port)
    for at in range(len(header)):
        client.send(header[at : at + 1])
        await asyncio.sleep(0)
    client.send(HANDSHAKE + b"\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    assert server.handlers[0].head.peer == "198.51.100.7"
    late = await RawClient.connect(server.port)
    late.send(header + GET)
    assert (await late.response())[0] == 200
    late.send(HANDSHAKE + b"\r\n")
    await refused(late, 429, "too_many_connections")


async def test_a_proxy_header_comes_before_tls(serve: Serve, tmp_path: Path) -> None:
    certificate = Certificate(*certificates.issue(tmp_path))
    proxies = Proxies(["127.0.0.1"], with_header=True)
    server = await serve(proxies=proxies, tls=lambda: certificate.context)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(HEADERS[0])
        sock.setblocking(False)
        client = RawClient(
            *await asyncio.open_connection(sock=sock, ssl=certificates.client(), server_hostname="localhost")
        )
        client.send(HANDSHAKE + b"\r\n" + frame(TEXT, b"hi"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.frame() == Frame(TEXT, b"hi")
        assert server.handlers[0].head.peer == "198.51.100.7"
        client.drop()
        await server.emptied()


async def test_a_proxy_that_does_not_say_whom_it_speaks_for_is_dropped(serve: Serve) -> None:
    server = await serve(proxies=Proxies(["127.0.0.1"], with_header=True))
    client = await RawClient.connect(server.port)
    client.send(GET)
    with contextlib.suppress(ConnectionResetError):
        assert await client.rest() == b""
    await server.emptied()
    assert server.listener.counts["dropped"] == 1


async def test_who_begins_tls_too_often_is_dropped(serve: Serve, tmp_path: Path) -> None:
    certificate = Certificate(*certificates.issue(tmp_path))
    server = await serve(tls=lambda: certificate.context, handshakes_per_ip_per_s=0.1, handshakes_per_ip_burst=1)
    for _ in range(2):
        await RawClient.connect(server.port, tls=certificates.client())
    with pytest.raises(ConnectionResetError):
        await RawClient.connect(server.port, tls=certificates.client())
    assert server.listener.counts["dropped"] == 1


async def test_sockets_are_limited_even_before_they_speak(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.admission.SPARE_SOCKETS", 0)
    server = await serve(connections_max=1, connections_per_ip_max=1)
    await RawClient.open(server.port)
    late = await RawClient.connect(server.port)
    assert await late.rest() == b""
    assert server.listener.counts["dropped"] == 1


async def test_no_new_connections_at_the_end(serve: Serve) -> None:
    server = await serve()
    stream, waiting = await RawClient.open(server.port), await RawClient.connect(server.port)
    await until(lambda: server.listener.entrances)
    server.listener.close_accepting()
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(server.port)
    waiting.send(HANDSHAKE + b"\r\n")
    head = await waiting.head()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert json.loads(await waiting.rest())["code"] == "exchange_unavailable"
    waiting.writer.close()
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


async def test_many_are_let_in_within_one_turn_of_the_loop_but_not_all(serve: Serve) -> None:
    server = await serve()
    with contextlib.ExitStack() as stack:
        for _ in range(2 * ACCEPTS_PER_TURN):
            client = stack.enter_context(socket.socket())
            client.connect(("127.0.0.1", server.port))
        counted = [0]
        while counted[-1] < 2 * ACCEPTS_PER_TURN:
            await asyncio.sleep(0)
            counted.append(server.listener.counts["accepted"])
        a_turn = [after - before for before, after in itertools.pairwise(counted)]
        assert max(a_turn) == ACCEPTS_PER_TURN
    await until(lambda: not server.listener.entrances)


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
