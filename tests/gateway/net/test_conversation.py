"""The order of requests, their rates, and what becomes of one that fails; spoken in the stream dialect."""

from __future__ import annotations

import asyncio

from gateway.errors import Close
from gateway.limits import Limits
from tests.gateway.net.fakes import Rig


async def test_requests_keep_their_order_while_an_exchange_is_slow() -> None:
    rig = Rig()
    client = rig.connect()
    client.conn.take()
    rig.sim.gate.clear()
    client.say(action="subscribe", id=1, channel="quotes", symbols=["BTC/USDT"])
    client.say(action="unsubscribe", id=2, channel="quotes", symbols=["BTC/USDT"])
    client.say(action="ping", id=3)
    client.say(action="subscribe", id=4, channel="trades", symbols=["BTC/USDT"])
    client.say(action="nonsense", id=5)
    client.say(action="list", id=6)
    assert client.conn.take() == []
    rig.sim.gate.set()
    await client.settle()
    replies = client.conn.take()
    assert [reply["id"] for reply in replies] == [1, 2, 3, 4, 5, 6]
    assert replies[1]["data"]["symbols"] == ["BTC/USDT"]
    assert [each["channel"] for each in replies[5]["data"]["subscriptions"]] == ["trades"]
    assert client.session._worker is None, "no task stays behind"


async def test_a_client_that_leaves_while_an_exchange_is_slow_subscribes_to_nothing() -> None:
    rig = Rig()
    client = rig.connect()
    rig.sim.gate.clear()
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT"])
    client.say(action="ping")
    worker = client.session._worker
    assert worker is not None
    client.leave()
    rig.sim.gate.set()
    await asyncio.wait({worker})
    assert worker.cancelled()
    assert rig.sim.watched == {}
    assert rig.sessions.connections() == 0


async def test_a_client_closed_while_an_exchange_is_slow_subscribes_to_nothing() -> None:
    rig = Rig()
    client = rig.connect()
    rig.sim.gate.clear()
    client.say(action="subscribe", channel="quotes", symbols=["BTC/USDT"])
    client.say(action="subscribe", channel="trades", symbols=["BTC/USDT"])
    client.session.close(1001, "shutting down")
    rig.sim.gate.set()
    await client.settle()
    assert rig.sim.watched == {}


async def test_too_many_requests_are_refused_and_then_closed() -> None:
    rig = Rig(Limits(requests_per_s=0.001, requests_burst=3))
    client = rig.connect()
    client.conn.take()
    for number in range(6):
        client.say(action="ping", id=number)
    replies = client.conn.take()
    assert [reply["type"] for reply in replies] == ["pong"] * 3 + ["error"] * 3
    assert [reply["id"] for reply in replies] == list(range(6))
    assert {reply["code"] for reply in replies[3:]} == {"rate_limited"}
    assert all(reply["retry_after_ms"] > 0 for reply in replies[3:])
    assert client.conn.closed is None
    client.say(action="ping", id=6)
    assert client.conn.closed == (Close.RATE_LIMITED, "rate limited")


async def test_what_waits_behind_a_slow_exchange_is_bounded() -> None:
    rig = Rig(Limits(requests_waiting_bytes_max=100))
    client = rig.connect()
    client.conn.take()
    rig.sim.gate.clear()
    client.say(action="subscribe", id=0, channel="quotes", symbols=["BTC/USDT"])
    for number in range(1, 9):
        client.say(action="ping", id=number)
    refused = client.conn.take()
    assert [(reply["id"], reply["code"]) for reply in refused] == [(each, "rate_limited") for each in range(4, 9)]
    rig.sim.gate.set()
    await client.settle()
    assert [reply["id"] for reply in client.conn.take()] == [0, 1, 2, 3]
