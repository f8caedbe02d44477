"""The whole product for a test of orders: the simulated exchange as a process of its own, a real PostgreSQL, a gateway
that can be stopped and started again, and users who send commands over HTTP or WebSocket.

Holds how these are made and asked. Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from gateway.app import App, serving
from gateway.config import AuthConfig, Config, OmsConfig, ServerConfig
from oms import keys, signing
from oms.model import Permission, Role, Scope
from oms.postgres import Embedded
from oms.store import admin
from oms.store.pool import open_pool
from oms.vault import Vault, new_master_key
from tests.e2e.processes import Exchange, config_of, exchange_of
from tests.leaks import VENUE_SECRET
from tests.plain_http import NO_TLS

ACCOUNTS = {"ann": 1, "bob": 2}  # whose account is which; `root` is an admin
WAIT_S = 20.0
POLL_S = 0.02
STALE_MS = 1_500  # a silent exchange is noticed after this


class Ordering:
    """A gateway with orders, and its users by name."""

    def __init__(self, exchange: Exchange, config: Config, keys_of: dict[str, str]) -> None:
        self.exchange = exchange
        self.config = config
        self.keys = keys_of
        self._stack = AsyncExitStack()
        self._app: App | None = None

    @property
    def app(self) -> App:
        assert self._app is not None, "it is stopped"
        return self._app

    async def start(self) -> None:
        self._app = await self._stack.enter_async_context(serving(self.config))
        await self.until(lambda rows: all(row["status"] == "ok" for row in rows), self._reconciled)

    async def stop(self) -> None:
        if self._app is not None:
            await self._app.drain()
        self._app = None
        await self._stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def _reconciled(self) -> list[dict[str, Any]]:
        return [(await self.ask("root", "GET", f"/oms/reconcile/{number}/status"))[1] for number in ACCOUNTS.values()]

    async def until(self, holds: Callable[[Any], Any], look: Callable[[], Any]) -> Any:
        """Wait until what is looked at is as awaited; returns it."""
        async with asyncio.timeout(WAIT_S):
            while not holds(seen := await look()):  # noqa: ASYNC110  # over HTTP nothing wakes us
                await asyncio.sleep(POLL_S)
        return seen

    # HTTP

    async def ask(self, user: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and body of an answer."""
        headers = {"x-api-key": self.keys[user], "content-type": "application/json", **headers}
        async with httpx.AsyncClient(
            verify=NO_TLS, base_url=f"http://127.0.0.1:{self.app.port}", timeout=WAIT_S
        ) as client:
            content = None if body is None else json.dumps(body).encode()
            answer = await client.request(method, path, content=content, headers=headers)
            return answer.status_code, answer.json()

    async def command(self, user: str, name: str, *, request_id: str | None = None, **payload: Any) -> dict[str, Any]:
        """What became of one command."""
        _, answer = await self.ask(user, "POST", "/oms/commands", body_of(user, name, request_id, payload))
        (result,) = answer["results"]
        return dict(result)

    async def send(self, user: str = "ann", **changes: Any) -> dict[str, Any]:
        """One order; unless told otherwise it rests, far below the market."""
        return await self.command(user, "send_order", **{**RESTING, **changes})

    async def order(self, order_id: int, user: str = "ann") -> dict[str, Any]:
        status, answer = await self.ask(user, "GET", f"/oms/orders/{order_id}")
        assert (status, answer["missing"]) == (200, [])
        return dict(answer["items"][0])

    async def until_order(self, order_id: int, **fields: Any) -> dict[str, Any]:
        """The order, once it is as awaited."""

        async def look() -> dict[str, Any]:
            return await self.order(order_id)

        return dict(await self.until(lambda order: fields.items() <= order.items(), look))

    async def positions(self, user: str = "ann") -> list[dict[str, Any]]:
        _, answer = await self.ask(user, "GET", f"/oms/positions/open?account_ids={ACCOUNTS[user]}")
        return list(answer["items"])

    async def events(self, user: str = "ann", after: int = 0) -> list[dict[str, Any]]:
        query = f"account_id={ACCOUNTS[user]}&after_sequence={after}&limit=500"
        _, answer = await self.ask(user, "GET", f"/oms/events?{query}")
        return list(answer["items"])

    async def limits(self, user: str = "ann", **risk: Any) -> None:
        status, answer = await self.ask(user, "PATCH", f"/oms/risk/{ACCOUNTS[user]}", risk)
        assert status == 200, answer

    # WebSocket

    @asynccontextmanager
    async def connect(self, user: str = "ann") -> AsyncIterator[Stream]:
        url = f"ws://127.0.0.1:{self.app.port}/v1/stream"
        async with connect(url, additional_headers={"x-api-key": self.keys[user]}) as socket:
            stream = Stream(socket, user)
            assert (await stream.take())["type"] == "connected"
            yield stream

    # The exchange

    async def market(self, side: str, size: str) -> None:
        """Somebody else's market order."""
        await self.exchange.post("trade", symbol="BTCUSDT", side=side, size=size)

    async def bid(self) -> Decimal:
        book = await self.exchange.get("/api/v3/depth", symbol="BTCUSDT", limit=5)
        return Decimal(book["bids"][0][0])


class Stream:
    """A connection of one user."""

    def __init__(self, socket: ClientConnection, user: str) -> None:
        self._socket = socket
        self._user = user

    async def take(self) -> dict[str, Any]:
        return dict(json.loads(await asyncio.wait_for(self._socket.recv(), WAIT_S)))

    async def tell(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def subscribe(self, channel: str, **options: Any) -> dict[str, Any]:
        """Where the user's account is in this channel."""
        number = ACCOUNTS[self._user]
        await self.tell(action="subscribe", channel=channel, account_ids=[number], **options)
        answer = await self.take()
        assert answer["type"] == "subscribed", answer
        return dict(answer["data"]["streams"][str(number)])

    async def command(self, name: str, *, request_id: str | None = None, **payload: Any) -> dict[str, Any]:
        """What became of one command; for a connection that listens to nothing."""
        await self.tell(action="command", id="c", payload=body_of(self._user, name, request_id, payload))
        answer = await self.take()
        assert (answer["type"], answer["id"]) == ("command_result", "c"), answer
        return dict(answer["data"]["results"][0])


RESTING = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "50000"}


def body_of(user: str, name: str, request_id: str | None, payload: dict[str, Any]) -> dict[str, Any]:
    """Of a command; what is given as None is left out."""
    given = {field: value for field, value in payload.items() if value is not None}
    named = {} if request_id is None else {"request_id": request_id}
    return {"account_id": ACCOUNTS.get(user, 1), "command": name, "payload": given, **named}


async def lose_database(server: Embedded) -> None:
    """At once, as a crash does it; `server.ensure` starts it again."""
    await asyncio.to_thread(server._run, "pg_ctl", "-D", server.data, "-m", "immediate", "-w", "stop")


@asynccontextmanager
async def ordering(dsn: str, *arguments: str, workers: int = 1) -> AsyncIterator[Ordering]:
    """All of it, on a migrated database without rows. `arguments` are the exchange's."""
    async with exchange_of("--symbols", "1", *arguments) as exchange:
        master_key = new_master_key()
        texts = await _prepare(dsn, exchange, Vault([master_key]))
        stale = {"quotes": STALE_MS}
        config = msgspec.structs.replace(
            config_of(exchange, limits={"drain_ms": 2_000}, stale_after_ms=stale),
            server=ServerConfig(port=0, workers=workers),
            auth=AuthConfig(master_keys=[master_key]),
            oms=OmsConfig(database_url=dsn),
        )
        made = Ordering(exchange, config, texts)
        try:
            await made.start()
            yield made
        finally:
            await made.stop()


async def _prepare(dsn: str, exchange: Exchange, vault: Vault) -> dict[str, str]:
    """Users, each with a key for an account, which has one of its own at the exchange; the keys by user."""
    texts: dict[str, str] = {}
    async with await open_pool(dsn) as pool:
        for name in (*ACCOUNTS, "root"):
            user = await admin.add_user(pool, name, Role.ADMIN if name == "root" else Role.TRADER)
            made = keys.make()
            key = await admin.add_key(
                pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope),
                sealed_signing=vault.seal_key(made.prefix, signing.secret_of(made.text)),
            )  # fmt: skip
            texts[name] = made.text
            if name == "root":
                continue
            account = await admin.add_account(pool, name, "sim", epoch=f"epoch-{name}")
            assert account.id == ACCOUNTS[name]
            opens = {"apiKey": f"{name}-at-the-venue", "secret": f"{VENUE_SECRET}-{name}"}
            funds = {"USDT": "1000000", "BTC": "10"}
            await exchange.post(
                "account", name=name, api_key=opens["apiKey"], secret=opens["secret"], funds=funds
            )  # fmt: skip
            await admin.set_credentials(pool, account.id, vault.seal(account.id, opens))
            permission = Permission(
                account_id=account.id, can_trade=True, can_close_position=True, can_risk_manage=True
            )  # fmt: skip
            await admin.grant(pool, key.id, permission)
    return texts
