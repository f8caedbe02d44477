"""Every way to show credentials and every refusal, on a gateway with real sockets; and the gate by itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from gateway.app import App
from gateway.auth import Credential, Gate, take_credential
from gateway.config import AuthConfig, Config, ServerConfig
from gateway.limits import Limits
from gateway.net.head import Head, Refusal
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from oms.model import Role
from tests.gateway.net.fakes import FakeSource
from tests.gateway.users import Gateway, Users, closed_with, say

# --- out of a head -----------------------------------------------------------------------------------------------


def head_of(headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> Head:
    return Head("GET", "/v1/stream", dict(query or {}), CIMultiDict(headers), "10.0.0.1")


ALL = {"X-API-Key": "k1", "Authorization": "Bearer k2", "Sec-WebSocket-Protocol": "chat, bearer.k4"}


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        (ALL, {"token": "k3"}, Credential("k1", "x-api-key")),
        ({name: ALL[name] for name in list(ALL)[1:]}, {"token": "k3"}, Credential("k2", "authorization")),
        ({name: ALL[name] for name in list(ALL)[2:]}, {"token": "k3"}, Credential("k3", "url")),
        ({name: ALL[name] for name in list(ALL)[2:]}, {}, Credential("k4", "subprotocol")),
        ({"authorization": "bearer  k2 "}, {}, Credential("k2", "authorization")),
        ({"authorization": "Basic dXNlcjpwYXNz"}, {"token": ""}, Credential("", "url")),
        ({"authorization": "Basic dXNlcjpwYXNz"}, {}, None),
        ({}, {"tok": "x"}, None),
    ],
)
def test_the_order_in_which_credentials_count(
    headers: dict[str, str], query: dict[str, str], expected: Credential | None
) -> None:
    head = head_of(headers, query)
    assert take_credential(head) == expected
    assert not set(head.headers) & {"X-API-Key", "Authorization", "authorization"}
    assert "token" not in head.query


def test_a_credential_does_not_show() -> None:
    assert repr(Credential("secret", "url")) == "Credential(place='url')"
    assert "secret" not in repr(AuthConfig(master_keys=["secret"]))
    assert "secret" not in repr(Config(auth=AuthConfig(master_keys=["secret"])))


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("bearer.a.b.c", "bearer.a.b.c"),
        ("tickwire.stream, bearer.a.b.c", "tickwire.stream"),
        ("bearer.a.b.c, tickwire.stream", "tickwire.stream"),
        ("tickwire.stream", "tickwire.stream"),
        ("chat", None),
        (None, None),
    ],
)
def test_a_subprotocol_is_answered_by_one_that_was_offered(offered: str | None, answered: str | None) -> None:
    head = head_of({"Sec-WebSocket-Protocol": offered} if offered else {})
    take_credential(head)
    assert head.subprotocol == answered


# --- how often ---------------------------------------------------------------------------------------------------


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_who_is_known_is_looked_at_without_being_counted() -> None:
    users = Users()
    key = users.add("ann")
    gate = Gate(users.auth, AuthConfig(key_requests_per_s=0, key_requests_burst=0), anonymous=True)
    assert [gate.knows(shown) for shown in ({"x-api-key": key}, {"x-api-key": "tw_no"}, {})] == [True, False, False]


def test_a_key_has_one_rate_for_all_it_does() -> None:
    users, clock = Users(), Clock()
    key, other = users.add("ann"), users.add("bob", requests_per_s=1)
    config = AuthConfig(key_requests_per_s=10, key_requests_burst=3)
    gate = Gate(users.auth, config, anonymous=True, clock=clock)
    verdict = gate.identify({"x-api-key": key}, "")
    assert gate.enter(key, "").principal == verdict.principal
    assert gate.spend(verdict) is None
    error = gate.spend(verdict)
    assert error is not None
    assert (error.code, error.retry_after_ms) == ("rate_limited", 100)
    refusal = gate.admit(head_of({"x-api-key": key}))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code, refusal.retry_after_ms) == (429, "rate_limited", 100)
    clock.now_s += 0.1
    assert gate.spend(verdict) is None
    mine = gate.identify({"x-api-key": other}, "")
    error = gate.spend(mine)
    assert error is not None
    assert error.details == {"key_requests_per_s": 1.0, "key_requests_burst": 1}
    users.change("bob", requests_per_s=None)
    assert gate.spend(users.auth.renew(mine)) is None, "a changed rate counts at once"  # type: ignore[arg-type]  # its own


def test_a_user_has_one_rate_for_all_its_keys_but_those_with_one_of_their_own() -> None:
    users, clock = Users(), Clock()
    texts = [users.add("a"), users.add("b"), users.add("own", requests_per_s=50)]
    users.change("b", user=users.rows["a"].user)
    users.change("own", user=users.rows["a"].user)
    config = AuthConfig(user_requests_per_s=10, user_requests_burst=4)
    gate = Gate(users.auth, config, anonymous=True, clock=clock)
    one, two, own = (gate.identify({"x-api-key": text}, "") for text in texts)
    assert [gate.spend(each) for each in (one, two)] == [None, None]
    error = gate.spend(one)
    assert error is not None
    assert (error.code, error.retry_after_ms) == ("rate_limited", 100)
    assert error.details == {"user_requests_per_s": 10, "user_requests_burst": 4}
    assert gate.spend(own) is None
    assert two.principal is not None
    gate.charge(two.principal, 9)
    clock.now_s += 1
    assert gate.spend(one) is None, "1 s is 10 requests, of which 9 were owed"
    assert gate.spend(one) is not None


def test_a_request_that_asks_for_several_things_counts_as_several() -> None:
    users, clock = Users(), Clock()
    gate = Gate(users.auth, AuthConfig(key_requests_per_s=10, key_requests_burst=5), anonymous=True, clock=clock)
    verdict = gate.identify({"x-api-key": users.add("ann")}, "")
    assert verdict.principal is not None
    gate.charge(verdict.principal, 99)
    error = gate.spend(verdict)
    assert error is not None
    assert error.retry_after_ms == 9_600
    clock.now_s += 9.601
    assert gate.spend(verdict) is None


# --- over sockets ------------------------------------------------------------------------------------------------


Start = Callable[..., Awaitable[Gateway]]


@pytest.fixture(name="start")
async def _start() -> AsyncIterator[Start]:
    apps: list[App] = []

    async def start(*, anonymous: bool = False, limits: Limits | None = None, **auth: Any) -> Gateway:
        users = Users()
        for name in ("ann", "bob"):
            users.add(name)
        config = Config(
            server=ServerConfig(port=0),
            default_exchange="sim",
            exchanges={"sim": ExchangeConfig(klass="binance")},
            auth=AuthConfig(anonymous_market_data=anonymous, **auth),
            limits=limits or Limits(),
        )

        def make_source(name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> FakeSource:
            return FakeSource(name, {"BTC/USDT"}, sink)

        app = App(config, make_source=make_source, authenticator=users.auth)
        apps.append(app)
        await app.start()
        return Gateway(app, users)

    yield start
    for app in apps:
        await app.close()


SUBSCRIBE = {"action": "subscribe", "channel": "quotes", "symbols": ["BTC/USDT"]}


async def subscribed(client: ClientConnection) -> bool:
    answer = await say(client, **SUBSCRIBE)
    assert answer["type"] in {"subscribed", "error"}
    assert answer["type"] == "subscribed" or answer["code"] == "not_authenticated"
    return bool(answer["type"] == "subscribed")


async def test_each_way_of_showing_a_key_or_a_token(start: Start) -> None:
    gateway = await start()
    key, users = gateway.users.texts["ann"], gateway.users
    ways: list[tuple[str, dict[str, Any]]] = [
        ("", {"additional_headers": {"x-api-key": key}}),
        ("", {"additional_headers": {"Authorization": f"Bearer {key}"}}),
        ("", {"additional_headers": {"Authorization": f"Bearer {users.token('ann')}"}}),
        (f"?token={users.token('ann')}", {}),
        ("", {"subprotocols": [Subprotocol(f"bearer.{users.token('ann')}")]}),
        ("", {"subprotocols": [Subprotocol("tickwire.stream"), Subprotocol(f"bearer.{users.token('ann')}")]}),
    ]
    for query, options in ways:
        async with gateway.open(query, **options) as client:
            assert gateway.principals() == ["ann"]
            assert await subscribed(client)
            if "subprotocols" in options:
                assert client.subprotocol == options["subprotocols"][0]
        assert await gateway.app.sessions.emptied_within(5)


@pytest.mark.parametrize("secret", ["key", "token"])
async def test_credentials_in_a_message(start: Start, secret: str) -> None:
    gateway = await start()
    token = gateway.users.texts["ann"] if secret == "key" else gateway.users.token("ann")
    async with gateway.open() as client:
        assert not await subscribed(client)
        assert (await say(client, action="ping", id=1))["type"] == "pong"
        answer = await say(client, action="auth", id="a", token=token)
        assert (answer["type"], answer["id"]) == ("authenticated", "a")
        assert answer["data"].pop("reauthenticate_after_ms") == pytest.approx(43_200_000, abs=1000)
        assert answer["data"] == {"user": "ann", "admin": False, "account_ids": [1]}
        assert gateway.principals() == ["ann"]
        assert await subscribed(client)


async def test_the_first_credential_decides_even_when_it_is_wrong(start: Start) -> None:
    gateway = await start(anonymous=True)
    status, body, _ = await gateway.refused(
        f"?token={gateway.users.token('ann')}", additional_headers={"x-api-key": "tw_wrong"}
    )
    assert (status, body["code"]) == (401, "invalid_api_key")


async def test_each_refusal_before_the_upgrade(start: Start) -> None:
    gateway = await start()
    users = gateway.users
    users.add("nobody", scopes=frozenset())
    users.add("gone", revoked_ns=1)
    users.add("old", expires_ns=1)
    used = users.token("ann")
    async with gateway.open(f"?token={used}"):
        pass
    key = users.texts["ann"]
    in_header = [
        (key[:-1] + ("0" if key[-1] != "0" else "1"), 401, "invalid_api_key"),
        ("", 401, "invalid_api_key"),
        (users.token("ann"), 401, "invalid_api_key"),  # x-api-key is for keys
        (users.texts["gone"], 401, "invalid_api_key"),
        (users.texts["old"], 401, "token_expired"),
        (users.texts["nobody"], 403, "permission_denied"),
    ]
    refusals: list[tuple[str, dict[str, Any], int, str]] = [
        ("", {"additional_headers": {"x-api-key": text}}, status, code) for text, status, code in in_header
    ]
    refusals += [
        (f"?token={used}", {}, 401, "token_expired"),
        (f"?token={users.old_token('ann')}", {}, 401, "token_expired"),
        (f"?token={key}", {}, 401, "invalid_api_key"),  # no lasting secret in a URL
        ("?token=", {}, 401, "invalid_api_key"),
        ("", {"subprotocols": [Subprotocol("bearer.a.b.c")]}, 401, "invalid_api_key"),
        ("", {"additional_headers": {"Authorization": "Bearer nonsense"}}, 401, "invalid_api_key"),
    ]
    for query, options, status, code in refusals:
        found, body, headers = await gateway.refused(query, **options)
        assert (found, body["code"]) == (status, code), (query, options)
        assert headers["Content-Type"] == "application/json"
        assert (headers.get("WWW-Authenticate") == "Bearer") == (status == 401)
    assert gateway.app.sessions.connections() == 0


async def test_too_many_handshakes_of_one_key(start: Start) -> None:
    gateway = await start(key_requests_per_s=0.001, key_requests_burst=2)
    ann = {"x-api-key": gateway.users.texts["ann"]}
    async with gateway.open(additional_headers=ann), gateway.open(additional_headers=ann):
        status, body, headers = await gateway.refused(additional_headers=ann)
        assert (status, body["code"]) == (429, "rate_limited")
        assert int(headers["Retry-After"]) > 1
        async with gateway.open(additional_headers={"x-api-key": gateway.users.texts["bob"]}):
            assert sorted(map(str, gateway.principals())) == ["ann", "ann", "bob"]


async def test_requests_of_a_key_count_over_its_connections_and_http(start: Start) -> None:
    gateway = await start(key_requests_per_s=0.001, key_requests_burst=5)
    headers = {"x-api-key": gateway.users.texts["ann"]}
    async with gateway.open(additional_headers=headers) as one, gateway.open(additional_headers=headers) as two:
        assert (await say(one, action="ping", id=1))["type"] == "pong"
        assert (await say(two, action="ping", id=2))["type"] == "pong"
        assert (await gateway.get("/api/ws/token", headers)).status_code == 200
        answer = await say(two, action="ping", id=3)
        assert (answer["code"], answer["id"]) == ("rate_limited", 3)
        response = await gateway.get("/api/ws/token", headers)
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")


@pytest.mark.parametrize(("which", "code", "close"), [
    ("wrong", "invalid_api_key", 1008), ("old", "token_expired", 4401), ("scopeless", "permission_denied", 1008),
])  # fmt: skip
async def test_a_wrong_credential_in_a_message_ends_the_connection(
    start: Start, which: str, code: str, close: int
) -> None:
    gateway = await start(anonymous=True)
    users = gateway.users
    tokens = {
        "wrong": "tw_nonsense", "old": users.old_token("ann"), "scopeless": users.add("nobody", scopes=frozenset()),
    }  # fmt: skip
    async with gateway.open() as client:
        answer = await say(client, action="auth", id=1, token=tokens[which])
        assert (answer["type"], answer["id"], answer["code"]) == ("error", 1, code)
        assert await closed_with(client) == close


async def test_who_does_not_authenticate_in_time_is_closed(start: Start) -> None:
    gateway = await start()
    async with gateway.open() as client:
        gateway.pass_time(9)
        assert not await subscribed(client)
        gateway.pass_time(2)
        assert await closed_with(client) == 1008


async def test_market_data_for_everybody_when_configured_and_a_private_action_for_none(start: Start) -> None:
    gateway = await start(anonymous=True)
    async with gateway.open() as client:
        gateway.pass_time(100_000)
        assert await subscribed(client)
        answer = await say(client, action="command", id=1, payload={})
        assert (answer["code"], gateway.principals()) == ("not_authenticated", [None])


async def test_a_connection_is_asked_to_authenticate_again_and_outlives_its_token(start: Start) -> None:
    gateway = await start(reauthenticate_after_s=1000, reauthenticate_notice_s=100)
    users = gateway.users
    token = users.token("ann")
    async with gateway.open(f"?token={token}") as client:
        gateway.pass_time(890)
        assert await subscribed(client), "the token was good for a minute"
        gateway.pass_time(20)
        notice = await say(client)
        assert notice == {"type": "reauthenticate", "deadline_ms": pytest.approx(90_000, abs=5_000)}
        assert (await say(client, action="auth", token=users.token("ann")))["type"] == "authenticated"
        gateway.pass_time(890)
        assert (await say(client, action="ping"))["type"] == "pong"
        gateway.pass_time(20)
        assert (await say(client))["type"] == "reauthenticate"
        gateway.pass_time(100)
        assert await closed_with(client) == 4401


async def test_a_connection_stays_one_keys(start: Start) -> None:
    gateway = await start()
    async with gateway.open(additional_headers={"x-api-key": gateway.users.texts["ann"]}) as client:
        answer = await say(client, action="auth", token=gateway.users.token("bob"))
        assert answer["code"] == "validation_error"
        assert gateway.principals() == ["ann"]
        assert await subscribed(client)


async def test_a_revoked_key_ends_its_connections_and_a_changed_one_changes_them(start: Start) -> None:
    gateway = await start()
    users = gateway.users
    async with (
        gateway.open(additional_headers={"x-api-key": users.texts["ann"]}) as ann,
        gateway.open(additional_headers={"x-api-key": users.texts["bob"]}) as bob,
    ):
        users.change("bob", user=msgspec.structs.replace(users.rows["bob"].user, role=Role.ADMIN))
        users.change("ann", revoked_ns=1)
        gateway.pass_time(0)
        assert await closed_with(ann) == 1008
        (session,) = gateway.app.sessions.open
        assert session.principal is not None
        assert session.principal.is_admin
        assert await subscribed(bob)


async def test_a_key_that_expires_ends_its_connections(start: Start) -> None:
    gateway = await start()
    users = gateway.users
    async with gateway.open(additional_headers={"x-api-key": users.texts["ann"]}) as client:
        users.change("ann", expires_ns=time.time_ns() + 50_000_000_000)
        gateway.pass_time(0)
        gateway.pass_time(1)
        assert (await say(client))["type"] == "reauthenticate"
        gateway.pass_time(50)
        assert await closed_with(client) == 4401


async def test_no_secret_reaches_a_log(start: Start) -> None:
    gateway = await start()
    users = gateway.users
    secrets = [users.texts["ann"], users.token("ann"), users.old_token("ann"), "tw_" + "0" * 12 + "_" + "f" * 64]
    answers: list[Any] = []
    with capture_logs() as logs:
        for secret in secrets:
            wrong = secret + "0"
            ways: list[tuple[str, dict[str, Any]]] = [
                (f"?token={wrong}", {}),
                ("", {"subprotocols": [Subprotocol(f"bearer.{wrong}")]}),
                ("", {"additional_headers": {"x-api-key": wrong}}),
                ("", {"additional_headers": {"Authorization": f"Bearer {wrong}"}}),
            ]
            answers += [await gateway.refused(query, **options) for query, options in ways]
            async with gateway.open() as client:
                answers.append(await say(client, action="auth", token=secret, id=[secret]))
                answers.append(await say(client, action="auth", token=wrong))
            answers.append((await gateway.get(f"/api/ws/token?token={secret}", {"x-api-key": wrong})).text)
    refused_logs = [line for line in logs if line["event"] == "credentials refused"]
    assert {line["place"] for line in refused_logs} == {"url", "subprotocol", "x-api-key", "authorization", "message"}
    assert not [line for line in [*logs, *answers] if any(secret in str(line) for secret in secrets)]
