"""Private streams over real sockets and a real database: whatever connections do, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.limits import Limits
from gateway.net.private import PrivateService
from oms.model import Permission
from oms.postgres import Embedded
from oms.store import progress
from oms.store.pool import open_pool
from tests.e2e.trading import Follower, ask, serving, take
from tests.gateway.users import Users
from tests.oms import database
from tests.waiting import until

SUBSCRIBE = {"action": "subscribe", "channel": "orders", "account_ids": [1]}


async def test_committed_events_arrive_and_a_new_connection_goes_on(dsn: str) -> None:
    async with serving(dsn) as served:
        await served.trading.commit(40)
        async with served.connect() as client:
            answer = await ask(client, **SUBSCRIBE)
            epoch = answer["data"]["streams"]["1"]["epoch"]
            snapshot = await take(client)
            assert (snapshot["sequence"], len(snapshot["data"]["items"])) == (40, 40)
            await served.trading.commit(2)
            assert [(await take(client))["sequence"] for _ in range(2)] == [41, 42]
        await served.trading.commit(1)
        async with served.connect() as client:
            await ask(client, **SUBSCRIBE, resume={"1": {"epoch": epoch, "sequence": 3}})
            assert [(await take(client))["sequence"] for _ in range(40)] == list(range(4, 44))


async def test_a_confirmation_outlives_the_gateway(dsn: str) -> None:
    async with serving(dsn) as served:
        users = served.users
        async with served.connect() as client:
            await ask(client, **SUBSCRIBE, snapshot=False)
            await served.trading.commit(5)
            for _ in range(5):
                await take(client)
            answer = await ask(client, action="ack", id=1, channel="orders", account_id=1, sequence=3)
            assert answer["type"] == "acked"
        async with await open_pool(dsn) as pool:
            key_id = users.rows["ann"].id
            assert await progress.acks(pool, key_id, 1) == {"orders": 3}
        async with served.connect() as client:
            answer = await ask(client, **SUBSCRIBE, snapshot=False)
            assert answer["data"]["streams"]["1"]["sequence"] == 3
            assert [(await take(client))["sequence"] for _ in range(2)] == [4, 5]


async def test_a_command_that_lost_its_connection_is_done_and_told(dsn: str) -> None:
    async with serving(dsn) as served:
        served.trading.gate.clear()
        async with served.connect() as watcher:
            await ask(watcher, **SUBSCRIBE, snapshot=False)
            async with served.connect() as client:
                await client.send(json.dumps({"action": "command", "id": "c", "payload": {}}))
                assert (await ask(client, action="ping"))["type"] == "pong"
            await until(lambda: len(served.app.sessions.open) == 1)
            served.trading.gate.set()
            assert (await take(watcher))["data"]["event"] == "order_created"
            assert (await ask(watcher, action="command", id="c", payload={}))["type"] in {"order", "command_result"}


async def test_a_shutdown_lets_a_command_end_and_tells_what_came_of_it(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(dsn) as served:
        served.trading.gate.clear()
        finish = PrivateService.finish

        def finishing(service: PrivateService, timeout_s: float) -> Awaitable[bool]:
            asyncio.get_running_loop().call_later(0.05, served.trading.gate.set)  # only while it is waited for
            return finish(service, timeout_s)

        monkeypatch.setattr(PrivateService, "finish", finishing)
        async with served.connect() as client:
            await client.send(json.dumps({"action": "command", "id": "c", "payload": {}}))
            assert (await ask(client, action="ping"))["type"] == "pong"
            draining = asyncio.create_task(served.app.drain())
            assert (await take(client))["type"] == "server_shutdown"
            assert (await take(client))["id"] == "c"
            with pytest.raises(ConnectionClosed):
                await take(client)
            assert client.close_code == 1001
        await draining


async def take_all(client: ClientConnection, got: list[int]) -> None:
    while True:
        got.append((await take(client))["sequence"])


async def test_a_reader_that_stops_is_closed_and_gets_the_rest_when_it_resumes(dsn: str) -> None:
    limits = Limits(private_behind_events_max=200, send_buffer_bytes=4096, queue_append_bytes=65_536)
    async with serving(dsn, limits=limits) as served:
        async with served.connect(max_queue=1) as client:
            answer = await ask(client, **SUBSCRIBE, snapshot=False)
            position = answer["data"]["streams"]["1"]
            async with asyncio.timeout(30):
                while served.app.sessions.open:
                    await served.trading.commit(100)
                    if any(not each.is_open for each in served.app.listener.connections):
                        break
            got: list[int] = []
            with pytest.raises(ConnectionClosed):
                await take_all(client, got)
            assert client.close_code == 4008
        assert got == list(range(1, len(got) + 1))
        newest = served.trading.memory.sequences.orders
        assert len(got) < newest
        async with served.connect() as client:
            resume = {"1": {"epoch": position["epoch"], "sequence": len(got)}}
            await ask(client, **SUBSCRIBE, resume=resume)
            rest = [(await take(client))["sequence"] for _ in range(newest - len(got))]
        assert rest == list(range(len(got) + 1, newest + 1))


async def test_rights_taken_away_end_the_stream_and_not_the_connection(dsn: str) -> None:
    users = Users()
    users.add("ann")
    async with serving(dsn, users) as served, served.connect() as client:
        await ask(client, **SUBSCRIBE, snapshot=False)
        users.change("ann", permissions={1: Permission(account_id=1, strategies=frozenset({7}))})
        ended = await take(client)
        assert (ended["code"], ended["details"]["account_id"]) == ("permission_denied", 1)
        await served.trading.commit(1)
        await served.trading.commit(1, strategy=7)
        await ask(client, **SUBSCRIBE, resume={"1": {"epoch": "e1", "sequence": 0}})
        update = await take(client)
        assert (update["sequence"], update["data"]["prev_sequence"], update["data"]["strategy_id"]) == (2, 0, 7)


async def test_a_lost_database_loses_no_event(dsn: str) -> None:
    """What became durable without anybody hearing so is told when the desk is back."""
    async with serving(dsn) as served:
        here, away = Follower(served, confirms=False), Follower(served, confirms=True)
        for follower in (here, away):
            await follower.come()
        await served.trading.commit(3)
        await away.go(rudely=True)
        for _ in range(5):
            await served.trading.lose_database(dsn)
            await served.trading.commit(2)
        newest = served.trading.memory.sequences.orders
        await away.come()
        for follower in (here, away):
            await follower.reached(newest)
            assert follower.taken == list(range(1, newest + 1))
            await follower.go(rudely=False)


FOLLOWERS = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("come"), st.integers(0, FOLLOWERS - 1), st.just(0)),
        st.tuples(st.just("go"), st.integers(0, FOLLOWERS - 1), st.integers(0, 1)),
        st.tuples(st.just("confirm"), st.integers(0, FOLLOWERS - 1), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(0, 20), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=8)
@given(steps=STEPS)
def test_each_client_takes_each_event_once_and_in_order(postgres: Embedded, steps: list[tuple[str, int, int]]) -> None:
    """Random commits, disconnects, resumes and confirmations, with more events than memory keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.net.private_stream.SLICE_EVENTS", 7)  # so that few events make many reads
        uvloop.run(play(postgres, steps))


async def play(postgres: Embedded, steps: list[tuple[str, int, int]]) -> None:
    dsn = await database.make_database(postgres.dsn)
    users = Users()
    for name in ("ann", "bob", "cid"):
        users.add(name)
    async with serving(dsn, users) as served:
        followers = [
            Follower(served, confirms=number > 0, name=name) for number, name in enumerate(("ann", "bob", "cid"))
        ]
        for follower in followers:
            await follower.come()
        commits: list[asyncio.Task[None]] = []
        for name, first, second in steps:
            if name == "commit":
                commits.append(asyncio.create_task(served.trading.commit(first)))
            elif name == "come":
                await followers[first].come()
            elif name == "go":
                await followers[first].go(rudely=bool(second))
            elif name == "confirm":
                await followers[first].confirm(second)
            else:
                await asyncio.sleep(first / 1000)
        await asyncio.gather(*commits)
        await served.trading.commit(1)
        newest = served.trading.memory.sequences.orders
        for follower in followers:
            await follower.come()
        for follower in followers:
            await follower.reached(newest)
            assert follower.taken == list(range(1, newest + 1))
            await follower.go(rudely=False)
    await database.drop_database(postgres.dsn, dsn)
