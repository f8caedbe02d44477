"""A worker on real sockets, with a first process that only says what the test wants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from structlog.testing import capture_logs

from gateway.config import ServerConfig
from gateway.core.key import stream_id
from gateway.limits import Limits
from gateway.net.head import Refusal
from gateway.net.links import Link
from gateway.net.worker import Settings, Worker
from gateway.wire import link
from gateway.wire.link import LinkForm
from tests.gateway.core.hub_parts import TRADES
from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import HANDSHAKE, RawClient
from tests.waiting import until


class First(asyncio.Protocol):
    """The first process: keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.transport: Any = None
        self._reader = link.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said += [link.up(payload) for payload in self._reader.feed(data)]

    def tell(self, message: link.Down) -> None:
        self.transport.write(link.control(message))

    def heard(self, kind: type) -> list[Any]:
        return [each for each in self.said if isinstance(each, kind)]


async def begun(**limits: Any) -> tuple[First, Worker]:
    """A worker that listens."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    inherited = socket.create_server(("127.0.0.1", 0))
    inherited.setblocking(False)
    first, worker = First(), Worker(inherited)
    await loop.create_unix_connection(lambda: first, sock=ours)
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    settings = msgspec.json.encode(Settings(ServerConfig(), Limits(**limits)))
    first.tell(link.Welcome(1, 0, settings))
    await until(lambda: first.heard(link.Listening))
    return first, worker


async def linked(server: Server) -> tuple[Link, Worker]:
    """A worker that listens for a listener."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    inherited = socket.create_server(("127.0.0.1", 0))
    inherited.setblocking(False)
    begun, listener = asyncio.Event(), server.listener
    to, worker = Link(listener, listener.shared.fanout, {}, LinkForm(), begun.set, loop.call_later), Worker(inherited)
    await loop.create_unix_connection(lambda: to, sock=ours)
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    to.send(link.control(link.Welcome(1, 0, msgspec.json.encode(Settings(ServerConfig(), listener.shared.limits)))))
    await asyncio.wait_for(begun.wait(), 5)
    return to, worker


async def ended(first: First, worker: Worker) -> None:
    first.transport.close()
    await asyncio.wait_for(worker.ended.wait(), 5)
    await worker.goodbye()
    RawClient.drop_all()
    await asyncio.sleep(0)


async def test_what_a_client_says_is_passed_on_and_what_it_is_told_is_written() -> None:
    first, worker = await begun()
    assert worker.port is not None
    client = await RawClient.connect(worker.port.port)
    assert not first.heard(link.Opened), "who says nothing is not worth a word"
    client.send(b"GET / HTTP/1.1\r\n")
    await until(lambda: first.heard(link.Bytes))
    (opened,) = first.heard(link.Opened)
    assert (opened.peer, opened.secured) == ("127.0.0.1", False)
    assert first.heard(link.Bytes) == [link.Bytes(opened.conn, b"GET / HTTP/1.1\r\n")]
    first.transport.write(link.carried(opened.conn, b"answer"))
    assert await client.reader.readexactly(6) == b"answer"
    first.tell(link.Shut(opened.conn, "close"))
    assert await client.reader.read() == b""
    await until(lambda: first.heard(link.Lost))
    (report,) = first.heard(link.Report)[:1]
    assert report.connections == 0
    await ended(first, worker)


async def test_streams_are_written_to_who_was_given_them() -> None:
    first, worker = await begun()
    assert worker.port is not None
    client = await RawClient.connect(worker.port.port)
    client.send(b"x")
    await until(lambda: first.heard(link.Opened))
    conn = first.heard(link.Opened)[0].conn
    first.tell(link.Upgraded(conn))
    first.tell(link.Follow(7, stream_id(TRADES), "e", 4, None))
    first.tell(link.Attach(conn, 7, 0, "e", 4, None, True))
    first.transport.write(link.carried(conn, b"\x81\x02{}"))
    first.transport.write(link.framed(b'U7 5 update null 1 {"a":1}') + link.framed(b"U8 1 update null 1 {}"))
    told = await client.reader.readuntil(b"}}")
    assert told.startswith(b"\x81\x02{}\x81")
    assert b'"sequence":5' in told
    first.tell(link.Gap(7, 9, "slow_consumer", None))
    assert b'"from":6,"to":9,"reason":"resync"' in await client.reader.readuntil(b"}")
    first.tell(link.Gap(7, 10, "upstream", "f"))
    assert b'"new_epoch":"f"' in await client.reader.readuntil(b"}")
    first.tell(link.Unfollow(7))
    await until(lambda: not worker.mirrors)
    ending = asyncio.create_task(ended(first, worker))
    assert b"server_shutdown" in await client.reader.read()
    client.drop()
    await ending


async def test_a_worker_and_the_first_process_count_the_sockets_of_an_address_alike(
    serve: Callable[..., Awaitable[Server]],
) -> None:
    server = await serve()
    to, worker = await linked(server)
    assert worker.port is not None
    port, ports = worker.port, (server.listener, worker.port)

    async def alike(held: int, refused: int) -> None:
        counts = held, held, refused
        await until(
            lambda: all(
                (each.admission.held("127.0.0.1"), each.sockets - len(each.refused), len(each.refused)) == counts
                for each in ports
            )
        )

    websocket = await RawClient.open(port.port)
    asking = await RawClient.connect(port.port)
    asking.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await asking.response())[0] == 200
    await alike(2, 0)
    senseless = await RawClient.connect(port.port)
    senseless.send(b"no HTTP\r\n\r\n")
    assert b" 400 " in await senseless.head()
    await alike(2, 1)
    server.refusal = Refusal(404, "unsupported_action", "as asked")
    asking.send(HANDSHAKE + b"\r\n")
    assert b" 404 " in await asking.head()
    await alike(1, 2)
    for client, left in ((asking, (1, 1)), (websocket, (0, 1)), (senseless, (0, 0))):
        client.drop()
        await alike(*left)
    assert [each.admission.addresses for each in ports] == [0, 0]
    to.close()
    await asyncio.wait_for(worker.ended.wait(), 5)
    await worker.goodbye()


async def test_a_first_process_that_makes_no_sense_ends_the_worker() -> None:
    first, worker = await begun()
    first.transport.write(link.framed(b"?"))
    await asyncio.wait_for(worker.ended.wait(), 5)
    await worker.goodbye()


async def test_a_worker_without_a_certificate_that_can_be_used_ends(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    first, worker = First(), Worker()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: first, sock=ours)
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    server = ServerConfig(tls_certificate=str(tmp_path / "none.pem"), tls_key=str(tmp_path / "none.key"))
    first.tell(link.Welcome(1, 0, msgspec.json.encode(Settings(server, Limits()))))
    await asyncio.wait_for(worker.ended.wait(), 5)
    await worker.goodbye()
    assert not first.heard(link.Listening)
    first.transport.close()


async def test_a_worker_that_cannot_begin_for_whatever_reason_says_why_and_ends() -> None:
    ours, theirs = socket.socketpair()
    first, worker = First(), Worker()
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: first, sock=ours)
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    with capture_logs() as logs:
        first.tell(link.Welcome(1, 0, b"no settings"))
        await asyncio.wait_for(worker.ended.wait(), 5)
    assert [entry["event"] for entry in logs] == ["a worker cannot begin"]
    await worker.goodbye()
    first.transport.close()


async def test_who_is_told_to_stop_before_it_has_begun_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    first, worker = First(), Worker()
    await loop.create_unix_connection(lambda: first, sock=ours)
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    settings = msgspec.json.encode(Settings(ServerConfig(), Limits()))
    first.transport.write(link.control(link.Welcome(1, 0, settings)) + link.control(link.Stop()))  # in one read
    await until(lambda: worker.port is not None)
    assert worker.port is not None
    first.transport.close()
    await asyncio.wait_for(worker.ended.wait(), 5)
    assert worker.port.port == 0, "which it opens at once, or not at all"
    await worker.goodbye()


async def test_no_new_connection_is_taken_once_told_so() -> None:
    first, worker = await begun()
    assert worker.port is not None
    first.tell(link.Reload())
    first.tell(link.Stop())
    port = worker.port.port

    async def refused() -> bool:
        try:
            (await RawClient.connect(port)).drop()
        except OSError:
            return True
        return False

    async with asyncio.timeout(5):
        while not await refused():
            pass
    await ended(first, worker)
