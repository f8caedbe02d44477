"""Where a private stream starts, and how it goes on over a socket that takes no more."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest

from gateway.limits import Limits
from gateway.net.private_stream import SLICE_EVENTS, find_start, told
from gateway.wire.stream import Position, StreamState
from oms.errors import OmsError
from oms.model import Permission
from tests.frames import whole
from tests.gateway.net.accounts import Channel, FakeAccounts, FakeView
from tests.gateway.net.fakes import Client
from tests.gateway.net.test_private import Scene, brief
from tests.waiting import until

ALL = Permission(account_id=1)


def view(events: int, kind: str = "orders") -> FakeView:
    channel = Channel()
    channel.commit(*[0] * events)
    return FakeView(FakeAccounts(), channel, kind, (1, ALL))


async def test_where_a_stream_starts() -> None:
    async def start(position: Position | None, confirmed: int | None, *, state: bool = True) -> tuple[Any, ...]:
        found = await find_start(view(5), position, confirmed, wants_state=state)
        return (*found[:2], found.snapshot and found.snapshot.sequence)

    def at(sequence: int, recovered: bool | None, replayed: int = 0) -> StreamState:
        return StreamState("e1", sequence, recovered, replayed)

    assert await start(None, None) == (at(5, None), (), 5)
    assert await start(None, None, state=False) == (at(5, None), (), None)
    assert await start(None, 2) == (at(2, None, 3), (), 5)
    assert await start(None, 2, state=False) == (at(2, None, 3), (), None)
    assert await start(None, 9) == (at(5, None), (), 5)
    assert await start(Position("e1", 2), 4) == (at(2, True, 3), (), None)
    assert await start(Position("e1", 5), None) == (at(5, True), (), None)
    assert await start(Position("e1", 0), None) == (at(0, True, 5), (), None)
    given_again = (("e1", 6, 8, "e1"), ("e1", 1, 5, None))
    assert await start(Position("e1", 8), None, state=False) == (at(5, False), given_again, 5)
    emptied = await find_start(view(0), Position("e1", 1), None, wants_state=False)
    assert emptied.gaps == (("e1", 1, 1, "e1"),)
    gaps = (("e0", 4, 4, "e1"), ("e1", 1, 5, None))
    assert await start(Position("e0", 3), None) == (at(5, False), gaps, 5)
    fresh = await find_start(view(0), Position("e0", 3), None, wants_state=False)
    assert fresh.gaps == (("e0", 4, 4, "e1"),)


async def test_refusals_of_the_room_are_ours_and_faults_are_not() -> None:
    async def failing(error: Exception) -> None:
        raise error

    with pytest.raises(Exception, match="why") as refused:
        await told(failing(OmsError("account_not_found", "why")))
    assert type(refused.value).__name__ == "TickwireError"
    with pytest.raises(RuntimeError):
        await told(failing(RuntimeError()))


async def test_an_old_epoch_is_said_to_have_ended() -> None:
    scene = Scene()
    scene.room.orders.commit(0, 0)
    client = scene.connect()
    resume = {"1": {"epoch": "e0", "sequence": 7}}
    answer, ended, missing, state = await scene.subscribe(client, snapshot=False, resume=resume)
    assert answer["data"]["streams"]["1"] == {"epoch": "e1", "sequence": 2, "recovered": False, "replayed": 0}
    assert ended == {
        "type": "gap", "channel": "orders", "account_id": 1, "epoch": "e0", "from": 8, "to": 8, "reason": "resync",
        "new_epoch": "e1",
    }  # fmt: skip
    assert (missing["epoch"], missing["from"], missing["to"]) == ("e1", 1, 2)
    assert (state["kind"], state["sequence"]) == ("snapshot", 2)


def sent(client: Client) -> list[dict[str, Any]]:
    """Everything that left, without asking the fan-out for more."""
    wire = bytes(client.conn.socket.written)
    client.conn.socket.written.clear()
    return [json.loads(frame.payload) for frame in whole(wire)]


async def test_a_long_replay_waits_for_the_socket() -> None:
    scene = Scene(queue_state_bytes=1_000, queue_append_bytes=2_000)
    scene.room.orders.commit(*[0] * (4 * SLICE_EVENTS))
    client = scene.connect()
    client.conn.outbox.pause()
    client.say(action="subscribe", channel="orders", account_ids=[1], resume={"1": {"epoch": "e1", "sequence": 0}})
    await scene.settle()
    slice_bytes = SLICE_EVENTS * 300  # and no more waits at any time
    assert 0 < client.conn.outbox.queued_bytes < slice_bytes
    got: list[dict[str, Any]] = []
    for _ in range(5):
        client.conn.outbox.resume()
        client.conn.outbox.pause()
        assert client.conn.on_writable is not None
        client.conn.on_writable()
        await scene.settle()
        got += sent(client)
        assert client.conn.outbox.queued_bytes < slice_bytes
    assert brief(got) == ["subscribed", *[("update", number) for number in range(1, 4 * SLICE_EVENTS + 1)]]
    assert client.conn.closed is None


async def test_a_reader_that_had_caught_up_and_falls_far_behind_is_closed() -> None:
    scene = Scene(queue_state_bytes=1_000, queue_append_bytes=2_000, private_behind_events_max=300)
    client = scene.connect()
    await scene.subscribe(client)
    client.conn.outbox.pause()
    scene.room.orders.commit(*[0] * SLICE_EVENTS)
    await scene.settle()
    scene.room.orders.commit(*[0] * 300)
    await scene.settle()
    assert client.conn.closed is None
    scene.room.orders.commit(0)
    assert client.conn.closed is not None
    assert client.conn.closed[0] == 4008
    await scene.settle()


async def test_one_that_is_still_catching_up_is_not() -> None:
    scene = Scene(queue_state_bytes=1_000, queue_append_bytes=2_000, private_behind_events_max=10)
    scene.room.orders.commit(*[0] * (4 * SLICE_EVENTS))
    client = scene.connect()
    client.conn.outbox.pause()
    await scene.subscribe(client, resume={"1": {"epoch": "e1", "sequence": 0}})
    scene.room.orders.commit(*[0] * 100)
    await scene.settle()
    assert client.conn.closed is None


async def test_a_database_that_goes_ends_the_stream_in_band() -> None:
    scene = Scene()
    client = scene.connect()
    await scene.subscribe(client)
    for fault, code, retry_after_ms in (
        (OmsError("engine_unavailable", "gone", retry_after_ms=1000), "engine_unavailable", 1000),
        (RuntimeError("a secret"), "internal_error", None),
    ):
        await scene.subscribe(client)
        scene.room.fault = fault
        scene.room.orders.commit(0)
        await until(lambda: client.session.subscriptions == 0)
        (ended,) = [each for each in client.conn.take() if each["type"] == "error"]
        assert (ended["code"], ended.get("retry_after_ms")) == (code, retry_after_ms)
        assert ended["details"]["channel"] == "orders"
        scene.room.fault = None
    assert not scene.room.orders.listeners


async def test_forms_are_as_of_market_data() -> None:
    scene = Scene()
    client = scene.connect()
    client.say(action="subscribe", channel="orders", account_ids=[1], encoding="msgpack")
    await scene.settle()
    answer, state = client.conn.take_frames()
    assert (answer[0], state[0]) == (1, 2)
    assert Limits().private_behind_events_max > SLICE_EVENTS


async def test_a_stream_whose_connection_has_gone_is_freed_without_the_collector() -> None:
    """What is cancelled keeps where it stood. Collected objects are frozen, so what only the collector frees stays."""
    scene = Scene()
    client = scene.connect()
    gc.disable()
    try:
        await scene.subscribe(client)
        [stream] = client.session._private._streams.values()  # type: ignore[union-attr]  # it has one
        gone = weakref.ref(stream)
        del stream
        client.leave()
        await scene.settle()
        assert gone() is None
    finally:
        gc.enable()
