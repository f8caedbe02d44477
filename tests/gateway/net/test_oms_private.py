"""What accounts tell an oms connection: what is open, then every event, for who may see it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oms.errors import OmsError
from oms.model import Permission
from tests.gateway.net.fakes import OmsClient
from tests.gateway.net.test_oms import ONE, Scene, events
from tests.waiting import until


async def listen(scene: Scene, client: OmsClient, *account_ids: int, **options: Any) -> list[dict[str, Any]]:
    return await scene.ask(client, "subscribe", {"account_ids": list(account_ids or (1,)), **options})


async def test_what_is_open_comes_first_and_then_each_event_in_its_channel() -> None:
    scene = Scene()
    scene.room.orders.commit(0, 0)
    scene.room.channels[1, "positions"].commit(0, event="position_updated")
    client = scene.connect()
    told = await listen(scene, client, with_snapshot=True)
    assert events(told) == ["subscribed", "snapshot_open_orders", "snapshot_open_positions", "snapshot_done"]
    assert {message["id"] for message in told} == {1}
    orders, positions = told[1]["payload"], told[2]["payload"]
    assert (orders["account_id"], len(orders["items"]), len(positions["items"])) == (1, 2, 1)
    scene.room.orders.commit(0, event="order_updated")
    scene.room.channels[1, "deals"].commit(0, event="deal_created")
    scene.room.channels[1, "positions"].commit(0, event="position_closed")
    await scene.settle()
    following = client.conn.take()
    assert {(each["event"], each["channel"], each["seq"], each["epoch"]) for each in following} == {
        ("order_updated", "orders", 3, "e1"),
        ("deal_created", "deals", 1, "e1"),
        ("position_closed", "positions", 2, "e1"),
    }
    assert following[0]["namespace"] == "position"
    assert following[0]["payload"] == {"id": following[0]["seq"], "strategy_id": 0}


@pytest.mark.parametrize(
    "event", ["order_created", "order_updated", "command_failed", "risk_changed", "cancel_all_after"]
)
async def test_every_event_has_its_own_name(event: str) -> None:
    scene = Scene()
    client = scene.connect()
    assert events(await listen(scene, client)) == ["subscribed"]
    scene.room.orders.commit(0, event=event)
    await scene.settle()
    assert events(client.conn.take()) == [event]


async def test_nothing_is_told_twice_or_left_out_between_the_snapshot_and_the_events() -> None:
    scene = Scene()
    client = scene.connect()
    for number in range(20):
        scene.room.orders.commit(number)
        client.say(action="subscribe", payload={"account_ids": [1], "with_snapshot": True})
        scene.room.orders.commit(number)
        await scene.settle()
        told = client.conn.take()
        items = next(each["payload"]["items"] for each in told if each["event"] == "snapshot_open_orders")
        done = events(told).index("snapshot_done")
        after = [each["seq"] for each in told[done:] if each["event"] == "order_created"]
        assert [*(each["id"] for each in items), *after] == list(range(1, 2 * number + 3))


async def test_one_account_that_may_not_be_read_refuses_the_request_whole() -> None:
    scene = Scene()
    client = scene.connect("bob")
    (refused,) = await listen(scene, client, 1, 2)
    assert (refused["ok"], refused["event"], refused["payload"]["code"]) == (False, "error", "permission_denied")
    assert refused["payload"]["details"] == {"account_id": 2}
    assert client.session.subscriptions == 0
    assert events(await listen(scene, client, 1)) == ["subscribed"]


async def test_unsubscribing_ends_it() -> None:
    scene = Scene()
    client = scene.connect()
    await listen(scene, client, 1, 2)
    assert client.session.subscriptions == 6
    (answer,) = await scene.ask(client, "unsubscribe", {"account_ids": [1, 3]})
    assert (answer["event"], answer["payload"]) == ("unsubscribed", {"removed": 1})
    scene.room.orders.commit(0)
    scene.room.channels[2, "orders"].commit(0)
    await scene.settle()
    assert len(client.conn.take()) == 1
    assert not scene.room.orders.listeners


async def test_subscribing_again_replaces() -> None:
    scene = Scene()
    client = scene.connect()
    await listen(scene, client)
    await listen(scene, client)
    scene.room.orders.commit(0)
    await scene.settle()
    assert len(client.conn.take()) == 1
    assert len(scene.room.orders.listeners) == 1


async def test_a_key_that_may_see_less_is_told_so_and_nothing_more() -> None:
    scene = Scene()
    client = scene.connect()
    await listen(scene, client, 1, 2)
    scene.users.change("ann", permissions=ONE)
    scene.guards.tick()
    (over,) = client.conn.take()
    assert (over["event"], over["ok"], over["payload"]["code"]) == ("error", False, "permission_denied")
    assert over["payload"]["details"] == {"account_id": 2}
    scene.room.channels[2, "orders"].commit(0)
    scene.room.orders.commit(0)
    await scene.settle()
    assert len(client.conn.take()) == 1


async def test_who_sees_some_strategies_is_told_which_number_came_before() -> None:
    scene = Scene()
    scene.users.change("ann", permissions={1: Permission(account_id=1, strategies=frozenset({7}))})
    client = scene.connect()
    await listen(scene, client)
    scene.room.orders.commit(7, 8, 7)
    await scene.settle()
    assert [(each["seq"], each["prev_seq"]) for each in client.conn.take()] == [(1, 0), (3, 1)]


async def test_a_lost_database_ends_the_account_with_a_reason() -> None:
    scene = Scene()
    client = scene.connect()
    await listen(scene, client)
    scene.room.fault = OmsError("engine_unavailable", "the order database is not available", retry_after_ms=1_000)
    scene.room.orders.commit(0)
    await scene.settle()
    (over,) = client.conn.take()
    assert (over["payload"]["code"], over["payload"]["retry_after_ms"]) == ("engine_unavailable", 1_000)
    assert client.session.subscriptions == 0


async def test_leaving_frees_every_stream() -> None:
    scene = Scene()
    before = asyncio.all_tasks()
    clients = [scene.connect() for _ in range(20)]
    for client in clients:
        await listen(scene, client, 1, 2)
    for client in clients:
        client.leave()
    await until(lambda: asyncio.all_tasks() <= before)
    assert not any(channel.listeners for channel in scene.room.channels.values())


async def test_streams_of_a_connection_are_bounded() -> None:
    scene = Scene(subscriptions_per_connection_max=5)
    client = scene.connect()
    (refused,) = await listen(scene, client, 1, 2)
    assert refused["payload"]["code"] == "too_many_subscriptions"
    assert events(await listen(scene, client, 1)) == ["subscribed"]


async def test_a_replay_of_many_events_is_told_whole() -> None:
    scene = Scene()
    client = scene.connect()
    await listen(scene, client)
    scene.room.orders.commit(*range(1_000))
    got: list[int] = []
    while len(got) < 1_000:
        await scene.settle()
        got += [each["seq"] for each in client.conn.take()]
    assert got == list(range(1, 1_001))
