"""Principals over HTTP: the token resource, and who a handler is told sends a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from litestar import Litestar, get
from litestar.di import NamedDependency
from litestar.testing import TestClient

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.limits import Limits
from gateway.net import http
from gateway.net.http_protocol import IDENTIFIED
from gateway.net.roster import Roster
from gateway.net.sessions import Sessions
from gateway.stats import Stats, Tally
from oms.model import Principal, Role
from tests.gateway.net.test_http import Nothing
from tests.gateway.users import Users


@get("/who", sync_to_thread=False)
def who(principal: NamedDependency[Principal]) -> dict[str, object]:
    return {"user": principal.user_name, "accounts": list(principal.permissions)}


@get("/caller", sync_to_thread=False)
def caller(caller: NamedDependency[Principal | None]) -> dict[str, object]:
    return {"user": caller and caller.user_name}


@pytest.fixture(name="users")
def _users() -> Users:
    users = Users()
    users.add("ann")
    return users


def behind(users: Users, config: AuthConfig) -> Litestar:
    stats = Stats(fanned=Nothing(), published=Nothing(), connected=Nothing(), sources={}, tally=Tally(), started_s=0.0)
    gate = Gate(users.auth, config, anonymous=True)
    app = http.build(stats, dict, Limits(), "1.2.3", gate, roster=Roster(Sessions(Limits(), Tally())))
    app.register(who)
    app.register(caller)
    return app


@pytest.fixture(name="client")
def _client(users: Users) -> Iterator[TestClient[Litestar]]:
    with TestClient(behind(users, AuthConfig()), raise_server_exceptions=False) as client:
        yield client


def test_an_api_key_becomes_a_token(client: TestClient[Litestar], users: Users) -> None:
    key = users.texts["ann"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        response = client.get("/api/ws/token", headers=headers)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        answer = response.json()
        assert answer.pop("expires_in_s") == 60
        verdict = users.auth.authenticate(answer.pop("token"), "url")
        assert verdict.principal is not None
        assert verdict.principal.user_name == "ann"
        assert answer == {}


@pytest.mark.parametrize(
    ("path", "told"),
    [("/api/ws/token", 1), ("/who", 1), ("/caller", 1), ("/healthz", 0), ("/nowhere", 0), ("/openapi.json", 0)],
)
async def test_the_port_is_told_when_somebody_asks_whose_request_it_is(
    client: TestClient[Litestar], users: Users, path: str, told: int
) -> None:
    """Of what the port counts by address, it takes back what the rate of a key counts."""
    good = {"x-api-key": users.texts["ann"]}
    assert [await times_told(client.app, path, shown) for shown in (good, {"x-api-key": "bad"}, {})] == [told, 0, 0]


async def test_what_the_rate_of_a_key_refuses_is_not_counted_by_address(users: Users) -> None:
    app = behind(users, AuthConfig(key_requests_per_s=0, key_requests_burst=0))
    assert await times_told(app, "/who", {"x-api-key": users.texts["ann"]}, status=429) == 1


async def times_told(app: Any, path: str, headers: dict[str, str], status: int | None = None) -> int:
    """How often the port is told whose a request is."""
    calls: list[str] = []

    async def port(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {IDENTIFIED: lambda: calls.append(scope["path"])}
        await app(scope, receive, send)

    async with AsyncClient(transport=ASGITransport(port), base_url="http://localhost") as client:
        answer = await client.get(path, headers=headers)
    assert status is None or answer.status_code == status
    assert calls == [path] * len(calls)
    return len(calls)


@pytest.mark.parametrize("path", ["/api/ws/token", "/who"])
def test_a_request_without_good_credentials_gets_no_further(
    client: TestClient[Litestar], users: Users, path: str
) -> None:
    users.add("gone", revoked_ns=1)
    users.add("nobody", scopes=frozenset())
    for headers, status, code in (
        ({}, 401, "missing_api_key"),
        ({"authorization": "Basic YTpi"}, 401, "missing_api_key"),
        ({"x-api-key": "nonsense"}, 401, "invalid_api_key"),
        ({"x-api-key": users.texts["gone"]}, 401, "invalid_api_key"),
        ({"authorization": f"Bearer {users.old_token('ann')}"}, 401, "token_expired"),
        ({"x-api-key": users.texts["nobody"]}, 403, "permission_denied"),
    ):
        response = client.get(path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert (response.headers.get("www-authenticate") == "Bearer") == (status == 401)
    # A URL is no place for credentials of a request that can have headers.
    assert client.get(f"{path}?token={users.token('ann')}").status_code == 401


def test_a_caller_may_be_nobody_but_not_somebody_wrong(client: TestClient[Litestar], users: Users) -> None:
    assert client.get("/caller").json() == {"user": None}
    assert client.get("/caller", headers={"x-api-key": users.texts["ann"]}).json() == {"user": "ann"}
    assert client.get("/caller", headers={"x-api-key": "nonsense"}).json()["code"] == "invalid_api_key"


def test_a_token_does_not_make_another(client: TestClient[Litestar], users: Users) -> None:
    headers = {"authorization": f"Bearer {users.token('ann')}"}
    assert client.get("/who", headers=headers).json() == {"user": "ann", "accounts": [1]}
    response = client.get("/api/ws/token", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


def test_the_status_says_who_is_connected_to_who_sends_a_key(client: TestClient[Litestar], users: Users) -> None:
    headers = {"x-api-key": users.texts["ann"]}
    known = client.get("/api/ws/status", params={"page": 2, "page_size": 5}, headers=headers).json()
    assert (known["users"], known["items"], known["total"], known["page"]) == ([], [], 0, 2)
    anonymous = client.get("/api/ws/status")
    assert (anonymous.status_code, "items" in anonymous.json()) == (200, False)
    users.add("root", Role.ADMIN)
    told = client.get("/api/ws/status", headers={"x-api-key": users.texts["root"]}).json()
    assert ["watches" in each for each in (told, known, anonymous.json())] == [True, False, False], "who trades what"
    assert client.get("/api/ws/status", headers={"x-api-key": "tw_wrong"}).status_code == 401
    refused = client.get("/api/ws/status", params={"page_size": 501}, headers=headers)
    assert (refused.status_code, refused.json()["details"]) == (422, {"field": "page_size"})
