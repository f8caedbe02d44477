"""Several processes behind one port: whichever one a client lands on, it reads the same and is held to the same limits.

The exchange stands still unless told to move, so that what must arrive is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.config import ServerConfig
from gateway.errors import Close
from gateway.limits import Limits
from tests.e2e.client import Client, client_of
from tests.e2e.ordering import RESTING, body_of, ordering
from tests.e2e.position import Stream
from tests.e2e.processes import PATIENT, Exchange, Gateway, Served, config_of, exchange_of, gateway_of, served_of
from tests.e2e.trading import ask, serving, take
from tests.gateway.users import Users
from tests.waiting import until

BTC = "BTC/USDT"
MADE = "S0/USDT"  # of a gateway that makes up its prices
TRADE, DIFF, TICKER = "btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@ticker"
FIRST = 0  # the process that has the streams
DEFAULTS = {name: getattr(Limits(), name) for name in PATIENT}
TRIES = 200  # the kernel spreads connections over the processes by chance


def spread(gateway: Gateway) -> Counter[int]:
    """How many WebSockets each process has."""
    assert gateway.app.workers is not None
    workers = Counter({each["worker"]: each["connections"] for each in gateway.app.workers.told()})
    workers[FIRST] = gateway.app.sessions.connections() - workers.total()
    return workers


@asynccontextmanager
async def client_on(gateway: Gateway, worker: int, **options: Any) -> AsyncIterator[Client]:
    """Connect until it is this process that has taken the connection."""
    async with AsyncExitStack() as others:
        for _ in range(TRIES):
            before = spread(gateway)[worker]
            client = await others.enter_async_context(client_of(gateway.url, **options))
            if spread(gateway)[worker] > before:
                yield client
                return
    raise AssertionError(f"nobody has landed on process {worker}")


@asynccontextmanager
async def several(**limits: Any) -> AsyncIterator[tuple[Exchange, Gateway]]:
    async with exchange_of("--synthetic", "--symbols", "3", "--rate", "0") as exchange:
        config = config_of(exchange, limits=PATIENT | limits)
        config = msgspec.structs.replace(config, server=ServerConfig(port=0, workers=3))
        async with gateway_of(config) as gateway:
            yield exchange, gateway


def lives(pid: int) -> bool:
    """Whether it has anything still: one whose parent is gone too may be there by name for seconds more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Until a process is: as long as it has the port it is given connections, which end with it."""
    await until(lambda: not lives(pid))


def position(stream: Stream) -> dict[str, Any]:
    return {"epoch": stream.epoch, "sequence": stream.sequence}


async def told_trades(exchange: Exchange, client: Client, count: int = 20) -> Stream:
    """The client's stream of trades, once so many have come."""
    stream = await client.join("trades", BTC)
    await exchange.until_subscribed(TRADE)
    await exchange.post("burst", stream=TRADE, count=count)
    await client.reach(stream, count)
    return stream


async def resumes(client: Client, left: Stream, count: int = 20) -> int:
    """The client is told all that came since a stream was left, and how much of it is sent again."""
    ack = await client.subscribe("trades", BTC, resume={BTC: position(left)})
    resumed = client.stream("trades", BTC)
    await client.reach(resumed, count)
    assert (resumed.gaps, resumed.messages[-1]["sequence"]) == ([], left.sequence + count)
    return int(ack["streams"][BTC]["replayed"])


async def watching(stack: AsyncExitStack, folder: Path) -> tuple[Served, list[Client], list[dict[str, Any]]]:
    """A gateway of three processes as one of its own, twelve clients, and what it says of its workers."""
    gateway = await stack.enter_async_context(served_of(None, folder, "--workers", "3"))
    clients = []
    for _ in range(12):
        clients.append(await stack.enter_async_context(client_of(gateway.url)))
        await clients[-1].join("quotes", MADE)
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.base_url}/api/ws/status") as answer:
        told = await answer.json()
    assert told["connections"] == 12
    return gateway, clients, told["workers"]


async def test_every_process_tells_the_same_numbers_from_one_watch_and_resumes_what_another_told() -> None:
    async with several() as (exchange, gateway), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_on(gateway, worker)) for worker in range(3)]
        trades = [await client.join("trades", BTC) for client in clients]
        slow = [await client.join("book", BTC, depth=5, throttle_ms=100) for client in clients]
        await exchange.until_subscribed(TRADE, DIFF)
        await exchange.post("burst", stream=TRADE, count=40)
        await until(lambda: all(stream.sequence for stream in slow))
        await exchange.post("burst", stream=DIFF, count=30)
        for client, stream in zip(clients, trades, strict=True):
            await client.reach(stream, 40)
        assert trades[0].messages[-1]["sequence"] == 40
        numbered = [
            [(each["epoch"], each["sequence"], each["t_in"], each["data"]) for each in stream.messages]
            for stream in trades
        ]
        assert numbered[0] == numbered[1] == numbered[2]
        await until(lambda: len({tuple(position(stream).values()) for stream in slow}) == 1 and slow[0].sequence > 1)
        assert slow[0].book is not None
        assert {str(stream.book and stream.book.sides()) for stream in slow} == {str(slow[0].book.sides())}

        await clients[1].leave()
        await exchange.post("burst", stream=TRADE, count=10)
        await clients[2].reach(trades[2], 50)
        async with client_on(gateway, 2) as again:
            assert await resumes(again, trades[1], 10) == 10
            assert await again.resend(again.stream("trades", BTC), 45, 50) == 6
        streams = await exchange.subscribers()
        assert (streams[TRADE], streams[DIFF]) == (1, 1)


async def test_a_stalled_reader_of_a_worker_is_told_what_it_missed_and_its_neighbour_misses_nothing() -> None:
    async with several(**DEFAULTS) as (exchange, gateway):
        workers = gateway.app.workers
        assert workers is not None
        async with (
            client_on(gateway, 1) as reader,
            client_on(gateway, 1, rcvbuf_bytes=4_096, max_queue=1) as stalled,
        ):
            live, late = await reader.join("trades", BTC), await stalled.join("trades", BTC)
            await exchange.until_subscribed(TRADE)
            stalled.stall()
            while not workers.counters()["skipped"]:  # as its report says, each second
                await exchange.post("burst", stream=TRADE, count=250)
                await reader.reach(live, live.count + 250)
            stalled.wake()
            await stalled.until(lambda: bool(late.gaps))
            await exchange.post("burst", stream=TRADE, count=1)
            await reader.reach(live, live.count + 1)
            await stalled.until(lambda: late.sequence == live.sequence)
            assert {gap.reason for gap in late.gaps} == {"slow_consumer"}
            assert live.gaps == []


async def test_a_worker_that_is_killed_is_started_again_and_its_clients_resume_elsewhere() -> None:
    async with several() as (exchange, gateway):
        workers = gateway.app.workers
        assert workers is not None
        async with client_on(gateway, 1) as client, client_on(gateway, FIRST) as other:
            stays = await other.join("trades", BTC)
            stream = await told_trades(exchange, client)
            killed = workers.told()[0]["pid"]
            os.kill(killed, signal.SIGKILL)
            assert await client.closed() == Close.LOST
            await gone(killed)
            await exchange.post("burst", stream=TRADE, count=20)
            await other.reach(stays, 40)
            await until(lambda: workers.told()[0]["starts"] == 2 and workers.are_up())
            async with client_on(gateway, 1) as again:
                await resumes(again, stream)
            assert stays.gaps == []
        assert (await exchange.subscribers())[TRADE] == 1


async def test_a_worker_that_hangs_is_killed_and_its_clients_resume_elsewhere() -> None:
    async with several(worker_silence_s=2.0) as (exchange, gateway):
        workers = gateway.app.workers
        assert workers is not None
        async with client_on(gateway, 1) as client:
            stream = await told_trades(exchange, client)
            hung = workers.told()[0]["pid"]
            os.kill(hung, signal.SIGSTOP)
            assert await client.closed() == Close.LOST
            await gone(hung)
            async with client_on(gateway, 2) as again:
                await exchange.post("burst", stream=TRADE, count=20)
                await resumes(again, stream)
            await until(workers.are_up)
            assert [each["starts"] for each in workers.told()] == [2, 1]


async def test_the_end_of_the_first_process_ends_all_and_tells_every_client(tmp_path: Path) -> None:
    """When it is killed: tests/gateway/net/test_worker.py."""
    async with AsyncExitStack() as stack:
        gateway, clients, workers = await watching(stack, tmp_path)
        assert sum(each["connections"] for each in workers) > 0
        gateway.process.send_signal(signal.SIGTERM)
        codes = [await client.closed() for client in clients]
        assert (set(codes), sum(len(client.notices) for client in clients)) == ({Close.GOING_AWAY}, 12)
        assert await gateway.process.wait() == 0
        await until(lambda: not any(Path(f"/proc/{each['pid']}").exists() for each in workers))


async def test_the_death_of_the_first_process_ends_all_and_tells_every_client(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway, clients, workers = await watching(stack, tmp_path)
        gateway.process.kill()
        codes = Counter([await client.closed() for client in clients])
        assert codes.keys() <= {Close.GOING_AWAY, Close.LOST}
        assert sum(len(client.notices) for client in clients) == codes[Close.GOING_AWAY] > 0
        for each in workers:
            await gone(each["pid"])


async def test_an_order_is_taken_and_told_over_a_connection_that_a_worker_has(dsn: str) -> None:
    async with ordering(dsn, "--synthetic", "--rate", "0", workers=2) as gateway:
        workers = gateway.app.workers
        assert workers is not None
        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(gateway.connect())
            while not workers.told()[0]["connections"]:
                stream = await stack.enter_async_context(gateway.connect())
            await stream.subscribe("orders")
            order = {**RESTING, "client_order_id": "w"}
            await stream.tell(
                action="command",
                id="c",
                payload=body_of("ann", "send_order", None, order),
            )
            taken = [await stream.take()]
            while taken[-1].get("data", {}).get("state") != "SUBMITTED":
                taken.append(await stream.take())
            assert "command_result" in {each["type"] for each in taken} or (await stream.take())["data"]["results"]
            (order,) = (await gateway.exchange.get("/admin/ledger", account="ann"))["orders"]
            assert (order["status"], order["client_order_id"]) == ("NEW", "w")


async def test_limits_and_credentials_hold_for_all_processes_together(dsn: str) -> None:
    users = Users()
    users.add("ann")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            serving(dsn, users, limits=Limits(connections_per_user_max=12), workers=3)
        )
        workers = gateway.app.workers
        assert workers is not None
        url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
        clients = [await stack.enter_async_context(gateway.connect("ann")) for _ in range(12)]
        assert 0 < sum(each["connections"] for each in workers.told()) < 13
        statuses = set()
        for key in (users.texts["ann"], "tw_000000000000_nobody"):
            for _ in range(4):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url, additional_headers={"x-api-key": key})
                statuses.add((key == users.texts["ann"], refused.value.response.status_code))
        assert statuses == {(True, 429), (False, 401)}
        for client in clients:
            assert (await ask(client, action="subscribe", channel="orders", account_ids=[1]))["type"] == "subscribed"
        await clients[0].send(json.dumps({"action": "command", "id": "c", "payload": {}}))
        for number, client in enumerate(clients):
            told = {(await take(client))["type"] for _ in range(1 if number else 2)}
            assert told == ({"order"} if number else {"order", "command_result"})
        users.change("ann", expires_ns=1)
        for client in clients:
            await asyncio.wait_for(client.wait_closed(), 10)
            assert client.close_code == Close.TOKEN_EXPIRED
