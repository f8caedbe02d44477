"""A gateway on real sockets with a real journal, and a client of its private streams that goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.app import App
from gateway.config import AuthConfig, Config, ServerConfig
from gateway.core.private import Signature
from gateway.limits import Limits
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.journal import Journal, open_journal
from oms.memory import Memory
from oms.model import Principal
from oms.outbox import Outbox
from oms.publications.service import Accepted, Publications
from oms.store import rows
from oms.store.pool import connect as connect_database
from oms.store.pool import open_pool
from oms.writes import Sequences
from tests.e2e.client import small_socket
from tests.gateway.users import Users
from tests.oms import full_rows
from tests.oms.full_rows import T


class Trading:
    """What the desk does, as far as it is told: orders are created, and their events committed."""

    def __init__(self, journal: Journal, outbox: Outbox, publications: Publications) -> None:
        self.outbox = outbox
        self.publications = publications
        self.journal = journal
        self.memory = Memory(1, Sequences(), 10)
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, count: int, strategy: int = 0) -> None:
        for _ in range(count):
            number = self.memory.sequences.orders + 1
            self.memory.put_order(full_rows.order(number, strategy_id=strategy), "order_created", T, None)
        await self.journal.append(self.memory.take())

    async def lose_database(self, dsn: str) -> None:
        """While something is being written every connection ends; then the desk begins again, as after a restart."""
        writing = asyncio.create_task(self.commit(5))
        other = await connect_database(dsn)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with contextlib.suppress(OmsError):  # it may have been durable, or not
            await writing
        self.journal = await open_journal(dsn, on_committed=self.outbox.committed, on_lost=lambda _: None)
        (row,) = await other.fetch("SELECT * FROM accounts WHERE id = 1")
        await other.close()
        self.memory = Memory(1, rows.sequences_of(row), 10)
        self.outbox.reset()

    def exchange_of(self, _principal: Principal, _account_id: int) -> str:
        return "sim"

    async def publish(self, principal: Principal, channel: str, body: bytes) -> Accepted:
        return await self.publications.publish_json(principal, channel, body)

    def readable(self, _principal: Principal) -> list[int]:
        return [1]

    def signer(self, _principal: Principal, _connection_id: str) -> Callable[[bytes], str]:
        raise OmsError("permission_denied", "nothing is signed here")

    async def execute(
        self, principal: Principal, body: object, *, signature: Signature | None = None
    ) -> Sequence[CommandResult]:
        await self.gate.wait()
        await self.commit(1)
        return [CommandResult(ok=True, command_id=1, order_id=self.memory.sequences.orders)]


class Served(msgspec.Struct):
    app: App
    users: Users
    trading: Trading

    @asynccontextmanager
    async def connect(self, name: str = "ann", **options: Any) -> AsyncIterator[ClientConnection]:
        async with self.greeted(name, **options) as (client, _):
            yield client

    @asynccontextmanager
    async def greeted(
        self, name: str = "ann", *, rcvbuf_bytes: int | None = None, **options: Any
    ) -> AsyncIterator[tuple[ClientConnection, str]]:
        """And the connection's id; `rcvbuf_bytes`: a small kernel buffer."""
        url = f"ws://127.0.0.1:{self.app.port}/v1/stream"
        if rcvbuf_bytes is not None:
            options["sock"] = small_socket(url, rcvbuf_bytes)
        async with connect(url, additional_headers={"x-api-key": self.users.texts[name]}, **options) as client:
            hello = await take(client)
            assert hello["type"] == "connected"
            yield client, hello["connection_id"]


@asynccontextmanager
async def serving(
    dsn: str, users: Users | None = None, *, limits: Limits | None = None, workers: int = 1
) -> AsyncIterator[Served]:
    """A gateway without an exchange, for account 1 of a new database."""
    users = users or Users()
    if not users.rows:
        users.add("ann")
    async with await open_pool(dsn) as pool:
        await full_rows.make_account(pool)
        outbox = Outbox(pool, ring_events=16)
        journal = await open_journal(dsn, on_committed=outbox.committed, on_lost=lambda _: None)
        server = ServerConfig(port=0, workers=workers)
        config = Config(server=server, exchanges={}, auth=AuthConfig(), limits=limits or Limits())
        app = App(config, authenticator=users.auth)
        trading = Trading(journal, outbox, Publications(pool))
        app.serve_accounts(trading)
        await app.start()
        try:
            yield Served(app, users, trading)
        finally:
            await app.close()
            await trading.journal.close()


async def take(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(client.recv(), 10)))


async def ask(client: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send a request and take the next message."""
    await client.send(json.dumps(message))
    return await take(client)


def _is_away(message: dict[str, Any]) -> bool:
    """The database is, for the moment."""
    errors = message.get("data", {}).get("errors") or {}
    return "engine_unavailable" in {message.get("code"), *errors.values()}


class Follower:
    """Follows account 1 across connections, and holds what it was told against the rules of docs/protocol.md.

    One that `confirms` lets the gateway remember where it was, another keeps its position and resumes.
    """

    def __init__(self, served: Served, *, confirms: bool, name: str = "ann") -> None:
        self.confirms = confirms
        self.taken: list[int] = []
        self.again = 0
        self.position: dict[str, Any] | None = None
        self._served = served
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._client: ClientConnection | None = None
        self._joined = asyncio.Event()

    async def come(self) -> None:
        """Connect and subscribe, unless it is there."""
        if self._task is None:
            self._joined.clear()
            self._task = asyncio.create_task(self._follow())
            await asyncio.wait({self._task, asyncio.create_task(self._joined.wait())}, return_when="FIRST_COMPLETED")

    async def go(self, *, rudely: bool) -> None:
        """Leave, at once when rudely."""
        if self._task is None or self._client is None:
            return
        if rudely:
            self._client.transport.abort()
        else:
            await self._client.close()
        await self._task
        self._task = None

    async def confirm(self, back: int) -> None:
        """Confirm all but the last few, when there is a connection to do it on."""
        if self._client is not None and self._task is not None and len(self.taken) > back:
            request = {"action": "ack", "channel": "orders", "account_id": 1, "sequence": self.taken[-1 - back]}
            await self._client.send(json.dumps(request))

    async def reached(self, number: int) -> None:
        async with asyncio.timeout(20):
            while not self.taken or self.taken[-1] < number:
                assert self._task is not None
                if self._task.done():
                    await self._task
                    raise AssertionError("the connection ended")
                await asyncio.sleep(0.002)

    async def _follow(self) -> None:
        async with self._served.connect(self._name) as client:
            self._client = client
            await self._subscribe(client)
            try:
                while True:
                    message = json.loads(await client.recv())
                    if _is_away(message):  # under a read, which ends the stream: it may be asked for again
                        await self._subscribe(client)
                    else:
                        self._heed(message)
            except ConnectionClosed:
                return

    async def _subscribe(self, client: ClientConnection) -> None:
        resume = {} if self.confirms or self.position is None else {"resume": {"1": self.position}}
        await client.send(json.dumps({"action": "subscribe", "channel": "orders", "account_ids": [1], **resume}))

    def _heed(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribed":
            state = message["data"]["streams"]["1"]
            assert state["recovered"] in ({None} if self.confirms or self.position is None else {True})
            if not state["recovered"]:
                self.position = {"epoch": state["epoch"], "sequence": state["sequence"]}
            self._joined.set()
            return
        assert message["type"] == "order", message
        assert self.position is not None
        number = message["sequence"]
        if message["kind"] == "snapshot":
            assert number == self.position["sequence"]
            assert len(message["data"]["items"]) == number
            return
        assert number == self.position["sequence"] + 1, "each number of a connection follows the one before"
        assert message["data"]["id"] == number
        self.position = {"epoch": message["epoch"], "sequence": number}
        if self.taken and number <= self.taken[-1]:
            self.again += 1
        else:
            self.taken.append(number)
