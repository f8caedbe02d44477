"""Whom a session speaks for, by the clock: deadlines, and what becomes of a key meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net.guard import Guard, Guards
from gateway.net.head import Head, Refusal
from oms.revocations import Kind, Revocation
from tests.gateway.net.fakes import Client, Rig
from tests.gateway.users import Users


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A service whose users and time are the test's."""

    def __init__(self, *, anonymous: bool = False, limits: Limits | None = None, **config: Any) -> None:
        self.users = Users()
        self.clock = Clock()
        self.key = self.users.add("ann")
        gate = Gate(self.users.auth, AuthConfig(**config), anonymous=anonymous, clock=self.clock)
        self.guards = Guards(gate, limits or Limits(), clock=self.clock)
        self.rig = Rig()

    def connect(self, *, known: bool) -> Client:
        verdict = self.users.auth.authenticate(self.key, "x-api-key") if known else None
        client = self.rig.connect(guard=Guard(self.guards, verdict))
        client.conn.take()
        return client

    def pass_time(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.guards.tick()


@pytest.mark.parametrize(
    "request_", [{"action": "subscribe", "channel": "quotes", "symbols": ["BTC/USDT"]}, {"action": "list"},
                 {"action": "unsubscribe", "channel": "quotes"}, {"action": "command", "payload": {}},
                 {"action": "ack", "channel": "orders", "account_id": 1, "sequence": 1}],
)  # fmt: skip
async def test_nothing_is_answered_to_nobody(request_: dict[str, Any]) -> None:
    watched = Watched()
    client = watched.connect(known=False)
    answer = await client.ask(**request_, id=1)
    assert (answer["code"], answer["id"], client.session.principal) == ("not_authenticated", 1, None)
    assert (await client.ask(action="ping"))["type"] == "pong"


async def test_time_to_authenticate_is_bounded() -> None:
    watched = Watched(auth_timeout_s=10.0)
    late, early = watched.connect(known=False), watched.connect(known=False)
    watched.pass_time(9)
    assert (await early.ask(action="auth", token=watched.key))["type"] == "authenticated"
    watched.pass_time(2)
    assert late.conn.closed == (1008, "not authenticated in time")
    assert early.conn.closed is None
    assert early.session.principal is not None
    assert early.session.principal.user_name == "ann"


async def test_everybody_has_time_where_market_data_is_for_everybody() -> None:
    watched = Watched(anonymous=True)
    client = watched.connect(known=False)
    watched.pass_time(100_000)
    assert client.conn.closed is None
    assert (await client.ask(action="list"))["type"] == "subscriptions"


async def test_what_was_shown_is_good_for_a_while() -> None:
    watched = Watched(reauthenticate_after_s=1_000.0, reauthenticate_notice_s=100.0)
    forgetful, mindful = watched.connect(known=True), watched.connect(known=True)
    watched.pass_time(890)
    assert forgetful.conn.take() == []
    watched.pass_time(20)
    assert forgetful.conn.take() == [{"type": "reauthenticate", "deadline_ms": 90_000}]
    answer = await mindful.ask(action="auth", token=watched.users.token("ann"))
    assert answer["data"]["reauthenticate_after_ms"] == 1_000_000
    watched.pass_time(100)
    assert forgetful.conn.closed == (4401, "not authenticated again in time")
    assert mindful.conn.closed is None


async def test_a_key_that_will_expire_is_asked_for_earlier() -> None:
    watched = Watched()
    client = watched.connect(known=True)
    watched.users.change("ann", expires_ns=watched.users.now_ns() + 30_000_000_000)
    watched.pass_time(0)
    watched.pass_time(1)
    (notice,) = client.conn.take()
    assert 0 < notice["deadline_ms"] <= 30_000
    watched.pass_time(30)
    assert client.conn.closed is not None
    assert client.conn.closed[0] == 4401


@pytest.mark.parametrize(
    ("changes", "closed"),
    [
        ({"revoked_ns": 1}, (1008, "the API key is revoked")),
        ({"expires_ns": 1}, (4401, "the API key has expired")),
        ({"scopes": frozenset()}, (1008, "this API key is for nothing: it has no scope")),
        ({"permissions": {}}, None),
    ],
)
async def test_a_changed_key_counts_at_once(changes: dict[str, Any], closed: tuple[int, str] | None) -> None:
    watched = Watched()
    client, anonymous = watched.connect(known=True), watched.connect(known=False)
    watched.users.change("ann", **changes)
    watched.pass_time(0)
    assert client.conn.closed == closed
    assert anonymous.conn.closed is None
    if closed is None:
        assert client.session.principal is not None
        assert client.session.principal.permissions == {}


async def test_a_revoked_token_ends_what_it_opened_and_nothing_else() -> None:
    watched = Watched()
    by_key = watched.connect(known=True)
    verdict = watched.users.auth.authenticate(watched.users.token("ann"), "url")
    assert verdict.shown is not None
    by_token = watched.rig.connect(guard=Guard(watched.guards, verdict))
    revoked = Revocation(kind=Kind.TOKEN, name=verdict.shown.claims.jti, revoked_ns=0)
    watched.users.auth.replace(watched.users.rows.values(), [revoked])
    watched.pass_time(0)
    assert by_token.conn.closed == (4401, "the token is revoked")
    assert by_key.conn.closed is None


def handshake(key: str) -> Head:
    return Head("GET", "/v1/stream", {}, CIMultiDict({"x-api-key": key}), "127.0.0.1")


async def test_connections_of_a_user_are_limited_however_it_shows_who_it_is() -> None:
    watched = Watched(limits=Limits(connections_per_user_max=2))
    shown, said, late = (watched.connect(known=known) for known in (True, False, False))
    assert (await said.ask(action="auth", token=watched.key))["type"] == "authenticated"
    assert (await said.ask(action="auth", token=watched.key))["type"] == "authenticated", "and is still one"
    answer = await late.ask(action="auth", token=watched.key, id=1)
    assert (answer["code"], answer["retry_after_ms"]) == ("too_many_connections", 1_000)
    assert late.conn.closed is not None
    assert late.conn.closed[0] == 4013
    refusal = watched.guards.admit(handshake(watched.key))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code, refusal.retry_after_ms) == (429, "too_many_connections", 1_000)
    assert isinstance(watched.guards.admit(handshake(watched.users.add("bob"))), Guard), "another user has its own"
    for client in (late, shown):
        client.leave()
    assert isinstance(watched.guards.admit(handshake(watched.key)), Guard)
    said.leave()
    assert not watched.guards.per_user


async def test_who_was_admitted_and_got_no_session_counts_for_nothing() -> None:
    watched = Watched(limits=Limits(connections_per_user_max=1))
    for _ in range(3):
        assert isinstance(watched.guards.admit(handshake(watched.key)), Guard)


async def test_nothing_is_left_of_who_leaves() -> None:
    watched = Watched()
    clients = [watched.connect(known=known) for known in (True, False)]
    assert (len(watched.guards.open), len(watched.guards.wheel)) == (2, 2)
    for client in clients:
        client.leave()
    assert (len(watched.guards.open), len(watched.guards.wheel)) == (0, 0)


async def test_without_users_there_is_nobody_to_be() -> None:
    client = Rig().connect()
    answer = await client.ask(action="auth", id=1, token="x")
    assert (answer["code"], client.session.principal) == ("unsupported_action", None)
