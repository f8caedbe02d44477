"""Everybody who is connected: counted, told, waited for and closed."""

from __future__ import annotations

import asyncio

from gateway.errors import Close
from gateway.limits import Limits
from tests.gateway.net.fakes import Rig


async def test_shutdown_is_told_to_every_session() -> None:
    rig = Rig(Limits(drain_ms=1234))
    clients = [rig.connect(), rig.connect()]
    for client in clients:
        client.conn.take()
    rig.sessions.announce_shutdown(250)
    for client in clients:
        assert client.conn.take() == [{"type": "server_shutdown", "deadline_ms": 1234, "reconnect_after_ms": 250}]


async def test_waiting_for_the_last_session_to_end() -> None:
    rig = Rig()
    assert await rig.sessions.emptied_within(0)
    clients = [rig.connect(), rig.connect()]
    assert not await rig.sessions.emptied_within(0)
    waiting = asyncio.create_task(rig.sessions.emptied_within(5))
    clients[0].leave()
    await asyncio.sleep(0)
    assert not waiting.done()
    clients[1].leave()
    assert await waiting


async def test_closes_are_spread_and_reach_everybody() -> None:
    rig = Rig()
    clients = [rig.connect() for _ in range(5)]
    await rig.sessions.close_all(Close.GOING_AWAY, "shutting down", 0.001)
    assert [client.conn.closed for client in clients] == [(1001, "shutting down")] * 5
