"""Which dialect a connection speaks: every rule on its own, against the others, and on a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from multidict import CIMultiDict
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from _speedups.fanout import Fanout
from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.errors import Close
from gateway.limits import Limits
from gateway.net.connection import Connection, Handler
from gateway.net.dialects import Dialects, Name, by_frame, by_handshake
from gateway.net.guard import Guard, Guards
from gateway.net.head import Head, Refusal
from gateway.net.listener import Listener
from gateway.net.sessions import Sessions
from gateway.stats import Tally
from tests.gateway.net.conftest import http_app
from tests.gateway.users import Users
from tests.waiting import until

NOTHING: dict[str, str] = {}


def head_of(path: str = "/ws", query: dict[str, str] = NOTHING, **headers: str) -> Head:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Head("GET", path, dict(query), CIMultiDict(named), "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "dialect"),
    [("/v1/stream", "stream"), ("/ws/account/7", "account"), ("/ws/account/acc-7", "account"), ("/ws", None)],
)
def test_the_path_decides_first(path: str, dialect: str | None) -> None:
    everything = {"x_api_key": "k", "Sec_WebSocket_Protocol": "tickwire.oms"} if dialect else {}
    assert by_handshake(head_of(path, {"client_id": "c"} if dialect else {}, **everything)) == dialect


@pytest.mark.parametrize("path", ["/", "/ws/", "/ws/account", "/ws/account/", "/ws/other", "/wsx", "/v1/stream/"])
def test_other_paths_are_nobodys(path: str) -> None:
    refusal = by_handshake(head_of(path))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (404, "unsupported_action")


@pytest.mark.parametrize(
    ("headers", "query", "dialect"),
    [
        ({"Sec_WebSocket_Protocol": "tickwire.oms"}, {"client_id": "c"}, "oms"),
        ({"Sec_WebSocket_Protocol": "tickwire.dashboard", "x_api_key": "k"}, {}, "dashboard"),
        ({"Sec_WebSocket_Protocol": "tickwire.dashboard", "Authorization": "Bearer k"}, {}, "dashboard"),
        ({"Sec_WebSocket_Protocol": "chat, tickwire.oms, tickwire.dashboard"}, {}, "oms"),
        ({"Sec_WebSocket_Protocol": "tickwire.dashboard, tickwire.oms"}, {}, "dashboard"),
        ({"Sec_WebSocket_Protocol": "bearer.a.b.c"}, {}, None),
        ({"Sec_WebSocket_Protocol": "chat"}, {"client_id": "c"}, "dashboard"),
        ({"X_API_Key": "k"}, {}, "oms"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, {}, "oms"),
        ({"x_api_key": "k"}, {"client_id": "c"}, "oms"),
        ({"authorization": "Bearer k"}, {"client_id": "c"}, "oms"),
        ({}, {"client_id": "c"}, "dashboard"),
        ({}, {"client_id": ""}, "dashboard"),
        ({}, {"token": "t"}, None),
        ({}, {"token": "t", "client_id": "c"}, "dashboard"),
        ({"Origin": "http://localhost", "Cookie": "client_id=c"}, {}, None),
    ],
)
def test_subprotocol_then_header_then_query_whatever_their_order(
    headers: dict[str, str], query: dict[str, str], dialect: str | None
) -> None:
    for each in itertools.permutations(headers.items()):
        for pairs in itertools.permutations(query.items()):
            assert by_handshake(head_of(query=dict(pairs), **dict(each))) == dialect


@pytest.mark.parametrize(
    ("frame", "dialect"),
    [
        ('{"action":"auth","payload":{}}', "oms"),
        (b'{"action":"ping"}', "oms"),
        ('{"type":"ping"}', "dashboard"),
        ('{"type":"subscribe","action":"subscribe"}', "oms"),
        ('{"action":null}', "oms"),
        ("{}", "dashboard"),
        ("[]", "dashboard"),
        ('["action"]', "dashboard"),
        ('"action"', "dashboard"),
        ("hello", "dashboard"),
        ("", "dashboard"),
        (b"\xff\xfe", "dashboard"),
        ("[" * 60_000, "dashboard"),
    ],
)
def test_the_first_frame_decides_what_the_handshake_left_open(frame: str | bytes, dialect: str) -> None:
    assert by_frame(frame) == dialect


# --- on a socket -------------------------------------------------------------------------------------------------


class Echo:
    """A session of a made-up dialect: greets with its name, and says what it was told, and by whom."""

    def __init__(self, dialect: Spoken, guard: Guard | None) -> None:
        self.dialect = dialect
        self.guard = guard
        self.conn: Connection
        self.subscriptions = 0
        self.notices: list[str] = []

    @property
    def principal(self) -> Any:
        return None if self.guard is None else self.guard.principal

    @property
    def peer(self) -> str:
        return self.conn.peer

    def on_open(self, conn: Connection) -> None:
        self.conn = conn
        self.dialect.sessions.enter(self)
        if self.guard is not None:
            self.guard.begin(self)
        self.say(greeting=self.dialect.name)

    def on_message(self, conn: Connection, data: str | bytes) -> None:
        message = json.loads(data)
        if message.get("fail"):
            raise RuntimeError("as asked")
        known = {"oms": "action", "dashboard": "type"}[self.dialect.name] in message
        self.say(**{"got" if known else "error": message, "who": self.principal and self.principal.user_name})

    def on_closed(self, conn: Connection) -> None:
        self.dialect.sessions.forget(self)
        if self.guard is not None:
            self.guard.end()

    def say(self, **message: Any) -> None:
        self.conn.send(json.dumps(message).encode())

    def principal_changed(self) -> None:
        self.notices.append("changed")

    def ask_again(self, deadline_ms: int) -> None:
        self.notices.append("asked")

    def announce_shutdown(self, deadline_ms: int, reconnect_after_ms: int) -> None:
        self.say(shutdown=deadline_ms)

    def close(self, code: int, reason: str = "") -> None:
        self.conn.close(code, reason)


class Spoken:
    """A made-up dialect."""

    def __init__(self, name: Name, sessions: Sessions) -> None:
        self.name = name
        self.subprotocol = f"tickwire.{name}"
        self.sessions = sessions
        self.refusal: Refusal | None = None

    def session(self, guard: Guard | None, head: Head) -> Handler | Refusal:
        assert not any(name in head.headers for name in ("x-api-key", "authorization"))
        assert "token" not in head.query
        return self.refusal or Echo(self, guard)


class Port:
    """A listener whose shared path speaks the made-up dialects."""

    def __init__(self, limits: Limits, spoken: tuple[Name, ...], guards: Guards | None) -> None:
        loop = asyncio.get_running_loop()
        self.sessions = Sessions(limits, Tally())
        self.dialects = {name: Spoken(name, self.sessions) for name in spoken}
        route = Dialects(self.dialects.values(), self.sessions, guards).route
        self.listener = Listener(route, http_app, limits, Fanout(loop.call_soon, loop.call_later), Counter())

    def url(self, query: str = "", path: str = "/ws") -> str:
        return f"ws://127.0.0.1:{self.listener.port}{path}{query}"


@asynccontextmanager
async def port(
    *spoken: Name, guards: Guards | None = None, grace_ms: int = 60_000, drain_ms: int = 1_000
) -> AsyncIterator[Port]:
    limits = Limits(dialect_grace_ms=grace_ms, drain_ms=drain_ms)
    opened = Port(limits, spoken or (Name.OMS, Name.DASHBOARD), guards)
    await opened.listener.start("127.0.0.1", 0)
    try:
        yield opened
    finally:
        opened.listener.close()
        await until(lambda: not opened.listener.sockets)
        assert not opened.sessions.open, "nobody is left behind"


async def heard(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(client.recv(), 5)))


async def closed(client: ClientConnection) -> tuple[int, str]:
    """The code and the reason of the CLOSE that is the next thing to come."""
    with pytest.raises(ConnectionClosed) as raised:
        await asyncio.wait_for(client.recv(), 5)
    assert raised.value.rcvd is not None
    return raised.value.rcvd.code, raised.value.rcvd.reason


async def test_who_named_the_dialect_is_greeted_at_once() -> None:
    async with port() as opened:
        async with connect(opened.url(), additional_headers={"x-api-key": "k"}) as client:
            assert await heard(client) == {"greeting": "oms"}
        async with connect(opened.url("?client_id=c")) as client:
            assert await heard(client) == {"greeting": "dashboard"}
        async with connect(opened.url("?client_id=c"), subprotocols=["tickwire.oms"]) as client:  # type: ignore[list-item]  # a NewType of str
            assert (await heard(client), client.subprotocol) == ({"greeting": "oms"}, "tickwire.oms")


@pytest.mark.parametrize(("frame", "dialect"), [({"action": "ping"}, "oms"), ({"type": "ping"}, "dashboard")])
async def test_who_named_none_hears_nothing_before_the_first_frame(frame: dict[str, str], dialect: str) -> None:
    async with port() as opened, connect(opened.url()) as client:
        await (await client.ping())
        assert opened.sessions.connections() == 1
        await client.send(json.dumps(frame))
        assert await heard(client) == {"greeting": dialect}, "and not before: a frame of ours would have come first"
        assert await heard(client) == {"got": frame, "who": None}


async def test_silence_is_the_dashboards() -> None:
    async with port(grace_ms=30) as opened, connect(opened.url()) as client:
        assert await heard(client) == {"greeting": "dashboard"}
        await client.send('{"type":"ping"}')
        assert (await heard(client))["got"] == {"type": "ping"}


async def test_frames_that_came_together_are_all_of_the_first_ones_dialect() -> None:
    async with port() as opened, connect(opened.url()) as client:
        for frame in ({"action": "a"}, {"action": "b"}, {"type": "c"}):
            await client.send(json.dumps(frame))
        assert [await heard(client) for _ in range(4)] == [
            {"greeting": "oms"},
            {"got": {"action": "a"}, "who": None},
            {"got": {"action": "b"}, "who": None},
            {"error": {"type": "c"}, "who": None},
        ]


@pytest.mark.parametrize(
    ("first", "second", "dialect"),
    [({"action": "ping"}, {"type": "ping"}, "oms"), ({"type": "ping"}, {"action": "ping"}, "dashboard")],
)
async def test_who_changes_its_mind_is_told_so_and_goes_on(
    first: dict[str, str], second: dict[str, str], dialect: str
) -> None:
    async with port() as opened, connect(opened.url()) as client:
        await client.send(json.dumps(first))
        assert [await heard(client), await heard(client)] == [{"greeting": dialect}, {"got": first, "who": None}]
        await client.send(json.dumps(second))
        assert await heard(client) == {"error": second, "who": None}
        await client.send(json.dumps(first))
        assert await heard(client) == {"got": first, "who": None}


async def test_a_dialect_that_is_not_spoken_is_refused_before_the_upgrade_where_it_is_named() -> None:
    async with port(Name.DASHBOARD) as opened:
        for url, headers in ((opened.url(), {"x-api-key": "k"}), (opened.url(path="/ws/account/1"), {})):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 404
            said = json.loads(refused.value.response.body or b"")
            assert said["code"] == "unsupported_action"
            assert "/v1/stream" in said["message"]


async def test_a_dialect_that_is_not_spoken_is_refused_by_a_close_where_a_frame_or_silence_says_it() -> None:
    reason = "this gateway does not speak {}; market data is at /v1/stream"
    async with port(Name.DASHBOARD) as opened, connect(opened.url()) as client:
        await client.send('{"action":"ping"}')
        assert await closed(client) == (Close.UNSUPPORTED_DATA, reason.format("oms"))
    async with port(Name.OMS, grace_ms=30) as opened, connect(opened.url()) as client:
        assert await closed(client) == (Close.UNSUPPORTED_DATA, reason.format("dashboard"))


async def test_a_dialect_that_takes_nobody_more_says_so_by_a_close() -> None:
    async with port() as opened, connect(opened.url()) as client:
        opened.dialects[Name.OMS].refusal = Refusal(429, "too_many_connections", "full")
        await client.send('{"action":"ping"}')
        assert await closed(client) == (Close.TOO_MANY_CONNECTIONS, "full")


async def test_leaving_before_anything_is_decided_leaves_nothing() -> None:
    async with port(grace_ms=50) as opened:
        clients = [await connect(opened.url()) for _ in range(20)]
        assert opened.sessions.connections() == 20
        for client in clients:
            await client.close()
        await until(lambda: not opened.sessions.open)


async def test_a_shutdown_closes_who_is_undecided() -> None:
    async with port() as opened, connect(opened.url()) as client:
        opened.sessions.announce_shutdown(250)
        await opened.sessions.close_all(Close.GOING_AWAY, "shutting down", 0.1)
        assert await closed(client) == (1001, "shutting down")
        assert await opened.sessions.emptied_within(5)


async def test_becoming_a_session_does_not_count_as_leaving() -> None:
    async with port() as opened, connect(opened.url()) as client:
        await (await client.ping())
        waiting = asyncio.create_task(opened.sessions.emptied_within(5))
        await client.send('{"action":"ping"}')
        await heard(client)
        assert not waiting.done()
        await client.close()
        assert await waiting


async def test_a_session_that_fails_closes_its_connection_only() -> None:
    async with port() as opened, connect(opened.url()) as other:
        async with connect(opened.url()) as client:
            await client.send('{"action":"a","fail":true}')
            assert await heard(client) == {"greeting": "oms"}
            assert (await closed(client))[0] == Close.INTERNAL
        await other.send('{"type":"ping"}')
        assert await heard(other) == {"greeting": "dashboard"}


# --- credentials -------------------------------------------------------------------------------------------------


def guarded(users: Users, **config: Any) -> Guards:
    return Guards(Gate(users.auth, AuthConfig(**config), anonymous=False), Limits())


async def test_credentials_of_an_undecided_handshake_count_for_what_it_becomes() -> None:
    users = Users()
    users.add("ann")
    async with port(guards=guarded(users)) as opened:
        async with connect(opened.url(f"?token={users.token('ann')}")) as client:
            await client.send('{"action":"ping"}')
            await heard(client)
            assert (await heard(client))["who"] == "ann"
        with pytest.raises(InvalidStatus) as refused:
            await connect(opened.url("?token=nonsense"))
        assert refused.value.response.status_code == 401


async def test_a_key_revoked_while_nothing_is_decided_ends_the_connection() -> None:
    users = Users()
    users.add("ann")
    guards = guarded(users)
    async with port(guards=guards) as opened, connect(opened.url(f"?token={users.token('ann')}")) as client:
        users.change("ann", revoked_ns=1)
        guards.tick()
        assert await closed(client) == (Close.NOT_AUTHENTICATED, "the API key is revoked")


async def test_time_to_authenticate_counts_from_the_handshake() -> None:
    users = Users()
    users.add("ann")
    guards = guarded(users, auth_timeout_s=10.0)
    ahead_s = 0.0
    begun_s = guards.clock()
    guards.clock = lambda: begun_s + ahead_s
    async with port(guards=guards) as opened, connect(opened.url()) as client:
        await (await client.ping())
        ahead_s = 6.0
        guards.tick()
        await client.send('{"action":"ping"}')
        await heard(client)
        await heard(client)
        ahead_s = 11.0
        guards.tick()
        assert await closed(client) == (Close.NOT_AUTHENTICATED, "not authenticated in time")
