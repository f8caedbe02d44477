"""What outlives every gateway: one exchange and one PostgreSQL, each a process, and where gateways come from.

Holds how they are started, and how a run gets a database and an account of its own. Must not know what a run does.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import aiohttp

from oms import keys
from oms.model import Account, Permission, PositionMode, Role, Scope
from oms.postgres import Embedded
from oms.store import admin, history
from oms.store.pool import connect, open_pool
from oms.vault import Vault, new_master_key
from tests.crash.agreement import Books
from tests.crash.client import Client
from tests.crash.gateway import Spec, serve
from tests.e2e.processes import Exchange, exchange_of
from tests.forks import CONTEXT
from tests.leaks import known, leaked
from tests.oms import database

START_S: Final = 30.0
FUNDS: Final = {"USDT": "5000000", "BTC": "50", "ETH": "50"}
_numbers = itertools.count(1)


class World:
    """Shared by all runs of a process; one run at a time."""

    def __init__(self, postgres: Embedded, exchange: Exchange, folder: Path) -> None:
        self.postgres = postgres
        self.exchange = exchange
        self.folder = folder
        self.vault_key = new_master_key()
        self.context = CONTEXT  # a restart costs what the gateway does, not its imports

    @asynccontextmanager
    async def scene(self, mode: PositionMode) -> AsyncIterator[Scene]:
        """A new database with an account that has funds at the exchange, and whoever may trade on it.

        At its end what its gateways have logged is searched for secrets.
        """
        dsn = await database.make_database(self.postgres.dsn)
        made = keys.make()
        name = f"crash{next(_numbers)}-{os.getpid()}"
        opened = await self.exchange.post("account", name=name, funds=FUNDS)
        known.update({self.vault_key, opened["secret"]})  # which nobody notes when this runs without pytest
        async with await open_pool(dsn, size_max=1) as pool:
            user = await admin.add_user(pool, "ann", Role.ADMIN)
            scopes = frozenset(Scope)
            key = await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=scopes)
            account = await admin.add_account(pool, name, "sim", epoch=name, position_mode=mode)
            await admin.grant(pool, key.id, Permission(account_id=account.id, can_trade=True))
            credentials = {"apiKey": opened["api_key"], "secret": opened["secret"]}
            await admin.set_credentials(pool, account.id, Vault([self.vault_key]).seal(account.id, credentials))
        async with aiohttp.ClientSession() as http:
            scene = Scene(self, dsn, account, made.text, http)
            try:
                yield scene
                assert not scene.leaked(), "a gateway has logged a secret"
            finally:
                await self.exchange.fault("clear")
                await asyncio.to_thread(self.postgres.ensure)
                await database.drop_database(self.postgres.dsn, dsn)


class Scene:
    """Of one run."""

    def __init__(self, world: World, dsn: str, account: Account, key: str, http: aiohttp.ClientSession) -> None:
        self.world = world
        self.dsn = dsn
        self.account = account
        self.key = key
        self.http = http
        self.log_file = world.folder / f"{account.name}.log"

    def leaked(self) -> list[str]:
        """The secrets that are in the log of its gateways."""
        return leaked(self.log_file.read_text(errors="replace")) if self.log_file.exists() else []

    def spec(self, **more: Any) -> Spec:
        return Spec(
            state=self.world.postgres.folder.parent,
            dsn=self.dsn,
            exchange_url=self.world.exchange.base_url,
            master_key=self.world.vault_key,
            log_file=self.log_file,
            **more,
        )

    @asynccontextmanager
    async def gateway(self, **more: Any) -> AsyncIterator[Gateway]:
        """A gateway that has begun, or has died in that already."""
        receiver, sender = self.world.context.Pipe(duplex=False)
        process = self.world.context.Process(target=serve, args=(self.spec(**more), sender))
        await asyncio.to_thread(process.start)
        sender.close()
        gateway = Gateway(process)
        try:
            await gateway.begin(receiver)
            yield gateway
        finally:
            await gateway.kill()
            receiver.close()

    def client(self, gateway: Gateway) -> Client:
        client = Client(self.http, self.key, self.account.id)
        client.url = gateway.url
        return client

    async def ledger(self) -> dict[str, list[dict[str, Any]]]:
        return dict(await self.world.exchange.get("/admin/ledger", account=self.account.name))

    async def books(self) -> Books:
        """All that is stored, as of one moment."""
        connection = await connect(self.dsn)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                return await _books(connection, self.account)
        finally:
            await connection.close()


async def _books(db: Any, account: Account) -> Books:
    async def whole(read: Any) -> list[Any]:
        rows: list[Any] = []
        while True:
            wanted = history.Filter(
                accounts={account.id: ()}, after_id=rows[-1].id if rows else 0, page_size=history.PAGE_MAX
            )
            page = await read(db, wanted)
            rows += page
            if len(page) < history.PAGE_MAX:
                return rows

    row = await db.fetchrow("SELECT * FROM accounts WHERE id = $1", account.id)
    return Books(
        account=account,
        orders=await whole(history.orders),
        deals=await whole(history.deals),
        positions=await whole(history.positions),
        events=await history.events_after(db, account.id, 0, limit=100_000),
        sequences={name: row[f"{name}_sequence"] for name in ("event", "orders", "deals", "positions")},
        commands=[dict(each) for each in await db.fetch("SELECT * FROM oms_commands ORDER BY id")],
    )


class Gateway:
    """A process that may die at any moment."""

    def __init__(self, process: ForkServerProcess) -> None:
        self.url = ""
        self.ended = asyncio.Event()
        self._process = process
        asyncio.get_running_loop().add_reader(process.sentinel, self._on_end)

    async def begin(self, port: Connection) -> None:
        """Wait until it listens, or is dead."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(port.fileno(), told.set)
        waiting = {asyncio.create_task(told.wait()), asyncio.create_task(self.ended.wait())}
        try:
            _, late = await asyncio.wait(waiting, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            assert len(late) < 2, "the gateway does not begin"
        finally:
            loop.remove_reader(port.fileno())
            for task in waiting:
                task.cancel()
        try:
            if port.poll():
                self.url = f"http://127.0.0.1:{port.recv()}"
        except EOFError:
            return

    async def stop(self) -> None:
        """The end, in order."""
        self._process.terminate()
        await asyncio.wait_for(self.ended.wait(), START_S)

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    async def kill(self) -> None:
        """The end, whatever it is doing."""
        if not self.ended.is_set():
            self._process.kill()
        await asyncio.wait_for(self.ended.wait(), START_S)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self.ended.set()


@asynccontextmanager
async def world_of(folder: Path) -> AsyncIterator[World]:
    """The servers of all runs; logs of gateways go to the folder."""
    with database.embedded() as postgres:
        await database.make_template(postgres.dsn)
        async with exchange_of("--symbols", "2", "--rate", "0") as exchange:
            yield World(postgres, exchange, folder)
