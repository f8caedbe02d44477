"""Users for a gateway under test, with the real table of keys; and a gateway that has them, as its clients see it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import App
from oms import keys
from oms.auth import Auth
from oms.model import ApiKey, Permission, Role, Scope, User
from oms.token_keys import new_signing_key
from oms.tokens import Tokens
from tests.plain_http import NO_TLS


class Users:
    """Keys by the name of their user; a change of one is a new table, as in production."""

    def __init__(self) -> None:
        self.auth = Auth(Tokens(new_signing_key(), started_s=0))
        self.rows: dict[str, ApiKey] = {}
        self.texts: dict[str, str] = {}

    def add(self, name: str, role: Role = Role.TRADER, **fields: Any) -> str:
        """A new user with a key, which may read and trade account 1 unless told otherwise; returns the key."""
        made = keys.make()
        number = len(self.rows) + 1
        fields.setdefault("permissions", {1: Permission(account_id=1, can_trade=True)})
        fields.setdefault("scopes", frozenset(Scope))
        self.rows[name] = ApiKey(
            id=number + 100, user=User(id=number, name=name, role=role), prefix=made.prefix, hash=made.hash,
            created_ns=time.time_ns(), **fields,
        )  # fmt: skip
        self.texts[name] = made.text
        self.auth.replace(self.rows.values())
        return made.text

    def change(self, name: str, **fields: Any) -> None:
        row = self.rows[name]
        self.rows[name] = type(row)(**{field: getattr(row, field) for field in row.__struct_fields__} | fields)
        self.auth.replace(self.rows.values())

    def now_ns(self) -> int:
        return self.auth._clock_ns()

    def token(self, name: str) -> str:
        return self.auth.token(self.auth.authenticate(self.texts[name], "x-api-key")).token

    def old_token(self, name: str) -> str:
        """One that has expired."""
        return self.auth._tokens.issue(
            sub=name, kid=self.rows[name].id, accounts=None, scope="read", now_s=int(time.time()) - 100
        ).token


class Gateway:
    """A gateway with users."""

    def __init__(self, app: App, users: Users) -> None:
        self.app = app
        self.users = users
        self.ahead_s = 0.0
        assert app.guards is not None
        app.guards.clock = lambda: time.monotonic() + self.ahead_s

    def pass_time(self, seconds: float) -> None:
        """Let the deadlines of authentication come."""
        self.ahead_s += seconds
        assert self.app.guards is not None
        self.app.guards.tick()

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.app.port}/v1/stream{query}"

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            return await client.get(f"http://127.0.0.1:{self.app.port}{path}", headers=headers)

    @asynccontextmanager
    async def open(self, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
        async with connect(self.url(query), **options) as client:
            assert (await say(client))["type"] == "connected"
            yield client

    async def refused(self, query: str = "", **options: Any) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        with pytest.raises(InvalidStatus) as raised:
            await connect(self.url(query), **options)
        response = raised.value.response
        return response.status_code, json.loads(response.body or b""), response.headers

    def principals(self) -> list[str | None]:
        return [each.principal.user_name if each.principal else None for each in self.app.sessions.open]


async def say(client: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send a request, if there is one, and take the next message."""
    if message:
        await client.send(json.dumps(message))
    return dict(json.loads(await asyncio.wait_for(client.recv(), 5)))


async def closed_with(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(client.recv(), 5)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code
