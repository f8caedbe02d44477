"""Everybody who is connected: counted, told, waited for and closed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.errors import Close
from gateway.limits import Limits
from gateway.net import sessions
from gateway.net.sessions import Sessions
from gateway.stats import Tally
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


class Timed:
    """A session that notes when it is closed."""

    subscriptions = 0
    principal = None

    def __init__(self, times: list[float], now: SimpleNamespace, busy_s: float) -> None:
        self._times = times
        self._now = now
        self._busy_s = busy_s

    def announce_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> None:
        raise AssertionError("not here")

    def close(self, code: int, reason: str) -> None:
        assert (code, reason) == (1001, "shutting down")
        self._times.append(self._now.s)
        self._now.s += self._busy_s


@pytest.mark.parametrize(
    ("span_s", "busy_s", "wanted_ms"),
    [
        (10.0, 0.0, [0, 1, 2, 3, 4]),  # a millisecond apart, however long it may take
        (0.002, 0.0, [0, 0.4, 0.8, 1.2, 1.6]),  # closer, where there is less time
        (0.0, 0.0, [0, 0, 0, 0, 0]),
        (10.0, 0.0015, [0, 1.5, 3, 4.5, 6]),  # what closing takes is not waited for on top
    ],
)
async def test_closes_are_spread_over_time(
    monkeypatch: pytest.MonkeyPatch, span_s: float, busy_s: float, wanted_ms: list[float]
) -> None:
    now, times = SimpleNamespace(s=100.0), list[float]()

    async def sleep(seconds: float) -> None:
        assert seconds > 0
        now.s += seconds

    clock = SimpleNamespace(get_running_loop=lambda: SimpleNamespace(time=lambda: now.s), sleep=sleep)
    room = Sessions(Limits(), Tally())
    room.open = {Timed(times, now, busy_s) for _ in range(5)}
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "asyncio", clock)
        await room.close_all(Close.GOING_AWAY, "shutting down", span_s)
    assert [round((each - 100) * 1000, 6) for each in times] == wanted_ms
