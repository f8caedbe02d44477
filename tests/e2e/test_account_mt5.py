"""Accounts at MetaTrader 5 on the whole product: a real RPyC server, killed under those who watch and started again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from gateway.app import App, serving
from gateway.config import AuthConfig, Config, OmsConfig, ServerConfig
from gateway.sources.config import ExchangeConfig
from oms import keys
from oms.model import Permission, Scope
from oms.store import admin
from oms.store.pool import open_pool
from oms.vault import Vault, new_master_key
from tests.oms.venues.terminal import LOGIN, PASSWORD
from tests.oms.venues.terminal_server import TerminalServer
from tests.waiting import until


@asynccontextmanager
async def watched(dsn: str, server: TerminalServer) -> AsyncIterator[tuple[App, str]]:
    """A gateway with an account `fx` at the terminal, and the key of its owner."""
    master, made = new_master_key(), keys.make()
    async with await open_pool(dsn) as pool:
        user = await admin.add_user(pool, "ann")
        key = await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset({Scope.READ}))
        account = await admin.add_account(pool, "fx", "broker", epoch="e1")
        opens = {"login": str(LOGIN), "password": PASSWORD}
        await admin.set_credentials(pool, account.id, Vault([master]).seal(account.id, opens))
        await admin.grant(pool, key.id, Permission(account_id=account.id))
    config = Config(
        server=ServerConfig(port=0),
        exchanges={"broker": ExchangeConfig(klass="mt5", options=server.options)},
        auth=AuthConfig(master_keys=[master]),
        oms=OmsConfig(database_url=dsn),
    )
    async with serving(config) as app:
        yield app, made.text


@asynccontextmanager
async def watching(app: App, key: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{app.port}/ws/account/fx", additional_headers={"x-api-key": key}) as socket:
        assert (await take(socket))["type"] == "connected"
        yield socket


async def take(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(socket.recv(), 30)))


async def until_told(socket: ClientConnection, **wanted: Any) -> tuple[dict[str, Any], str]:
    """The first message that has these, and as it came."""
    while True:
        raw = str(await asyncio.wait_for(socket.recv(), 30))
        message: dict[str, Any] = json.loads(raw)
        if wanted.items() <= message.items():
            return message, raw


@pytest.fixture
def server() -> Iterator[TerminalServer]:
    made = TerminalServer()
    made.start()
    yield made
    made.kill()


async def test_a_terminal_is_lost_under_those_who_watch_and_found_again(dsn: str, server: TerminalServer) -> None:
    server.do("bench.positions = [position(1), position(2)]")
    async with watched(dsn, server) as (app, key), watching(app, key) as one, watching(app, key) as other:
        async with httpx.AsyncClient() as http:
            ready = (await http.get(f"http://127.0.0.1:{app.port}/readyz")).json()
        assert ready["checks"]["sources"], "there is no market data to wait for"
        for socket in (one, other):
            begun, _ = await until_told(socket, type="account_update", snapshot=True)
            assert begun["changes"]["balance"]["new"] == 1000.0
            assert [(await take(socket))["position"]["ticket"] for _ in range(2)] == [1, 2]
        server.do(
            "bench.positions = [position(1, sl=1.08)]; bench.figures = {'balance': 1150.0, 'equity': 1160.1}; "
            "bench.deals = {2: [deal(5, 0), deal(6, 1, price=1.0865, profit=150.0)]}"
        )
        closed, raw = await until_told(one, type="position_closed")
        assert (closed["ticket"], closed["close_price"], closed["profit"]) == (2, 1.0865, 150.0)
        assert (await until_told(other, type="position_closed"))[1] == raw, "the same bytes"
        modified, _ = await until_told(one, type="position_modified")
        assert (modified["ticket"], modified["changes"]) == (1, {"sl": {"old": 0.0, "new": 1.08}})
        updated, _ = await until_told(one, type="account_update")
        assert updated["changes"]["balance"] == {"old": 1000.0, "new": 1150.0, "diff": 150.0}
        assert updated["changes"]["equity"] == {"old": 1000.0, "new": 1160.1}

        server.kill()
        lost, _ = await until_told(one, type="error")
        assert (lost["error_code"], lost["retry_in_seconds"]) == ("CONNECTION_LOST", 1)
        stale = await take(one)
        assert (stale["stale"], stale["changes"]["balance"]["new"]) == (True, 1150.0)
        async with watching(app, key) as late:
            cached = await take(late)
            assert (cached["stale"], cached["changes"]["equity"]["new"]) == (True, 1160.1)
            assert (await take(late))["position"]["ticket"] == 1
        server.start(
            "bench.positions = [position(1, sl=1.08), position(3)]; "
            "bench.figures = {'balance': 1150.0, 'equity': 1161.1}"
        )
        opened, raw = await until_told(one, type="position_opened")
        assert opened["position"]["ticket"] == 3
        fresh, last = await until_told(one, type="account_update")
        assert (fresh["changes"], fresh["stale"]) == ({"equity": {"old": 1160.1, "new": 1161.1}}, False)
        assert (await until_told(other, type="position_opened"))[1] == raw
        assert (await until_told(other, type="account_update"))[1] == last
    await until(lambda: not terminals())


async def test_a_hundred_who_come_and_go_leave_no_descriptor_task_or_thread(dsn: str, server: TerminalServer) -> None:
    async with watched(dsn, server) as (app, key):
        async with watching(app, key) as socket:
            await until_told(socket, snapshot=True)
        before = held()
        for number in range(100):
            await look(app, key, number)
        await until(lambda: not app.watching._tasks and not terminals())
        # The database's connections come and go by themselves: a few, where a leak would be a hundred.
        await until(lambda: all(now < then + 20 for now, then in zip(held(), before, strict=True)))


async def look(app: App, key: str, number: int) -> None:
    """Some leave before anything was read, some after."""
    async with watching(app, key) as socket:
        if number % 2:
            await take(socket)


def terminals() -> int:
    return sum(each.name == "mt5" for each in threading.enumerate())


def held() -> tuple[int, int, int]:
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()), threading.active_count()
