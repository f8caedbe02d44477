"""A port that is shared with our own processes is nobody else's; who is refused takes nobody's place.

What else becomes of sockets: tests of the listener.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest

from gateway.net.port import claim
from tests.gateway.net.conftest import Server
from tests.gateway.net.raw import HANDSHAKE, RawClient
from tests.waiting import until

Serve = Callable[..., Awaitable[Server]]


def test_a_port_that_somebody_listens_on_is_not_claimed_even_when_they_share_it() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other, pytest.raises(OSError, match="in use"):
        claim("127.0.0.1", other.getsockname()[1])
    claim("127.0.0.1", 0)
    claim("::1" if socket.has_dualstack_ipv6() else "127.0.0.1", 0)


async def test_of_a_storm_as_many_are_let_in_as_there_is_room_for_while_who_is_refused_stays(serve: Serve) -> None:
    server = await serve(connections_per_ip_max=1)
    storm = [await RawClient.connect(server.port) for _ in range(3)]
    await until(lambda: len(server.listener.entrances) == 3)
    for late in storm[:2]:
        late.send(HANDSHAKE + b"\r\n")
        assert (await late.response())[0] == 429
    storm[2].send(HANDSHAKE + b"\r\n")
    assert (await storm[2].head()).startswith(b"HTTP/1.1 101 ")
    assert server.listener.sockets == 3


async def test_who_is_refused_and_stays_keeps_nobody_from_an_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.net.admission.SPARE_SOCKETS", 1)
    server = await serve(connections_max=1, connections_per_ip_max=1)
    await RawClient.open(server.port)
    for count in (1, 2):
        late = await RawClient.connect(server.port)
        late.send(HANDSHAKE + b"\r\n")
        assert (await late.response())[0] == 429
        assert len(server.listener.refused) == count


async def test_only_so_many_who_are_refused_may_stay(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.admission.REFUSED_MAX", 1)
    server = await serve(connections_per_ip_max=1)
    await RawClient.open(server.port)
    for _ in range(3):
        late = await RawClient.connect(server.port)
        late.send(HANDSHAKE + b"\r\n")
        assert (await late.response())[0] == 429
        assert await late.rest() == b""
        await until(lambda: len(server.listener.refused) == 1)
    assert server.listener.sockets == 2
