"""`GET /api/portfolio/{account_id}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from litestar import Litestar

from gateway.auth import Gate
from gateway.config import AuthConfig, PortfolioConfig
from gateway.limits import Limits
from gateway.net import http
from gateway.net.http_portfolio import portfolio_resource
from gateway.stats import Stats, Tally
from tests.gateway.net.fakes import Rig
from tests.gateway.net.test_http import Nothing
from tests.gateway.net.treasury import FakeTreasury
from tests.gateway.users import Users


def served(users: Users, treasury: FakeTreasury) -> Litestar:
    stats = Stats(fanned=Nothing(), published=Nothing(), connected=Nothing(), sources={}, tally=Tally(), started_s=0.0)
    portfolios = Rig(Limits(linger_s=0.0)).connect_portfolios(treasury, PortfolioConfig(interval_ms=10))
    mounted = http.Mounted([portfolio_resource(portfolios)])
    return http.build(stats, dict, Limits(), "1.2.3", Gate(users.auth, AuthConfig(), anonymous=True), mounted)


async def ask(app: Litestar, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the same protocol, each in its own types
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.get(path, headers=dict(headers))
        return response.status_code, response.json()


async def test_it_says_what_an_account_is_worth_to_who_may_know() -> None:
    users, treasury = Users(), FakeTreasury()
    ann = {"x-api-key": users.add("ann")}
    treasury.change(balances={"USDT": 100}, pairs={})
    app = served(users, treasury)
    status, answer = await ask(app, "/api/portfolio/1", ann)
    assert status == 200, answer
    assert (status, answer["account_id"], answer["total_value"], answer["stale"]) == (200, 1, "100", False)
    assert (await ask(app, "/api/portfolio/1", {}))[0] == 401
    status, answer = await ask(app, "/api/portfolio/2", ann)
    assert (status, answer["code"]) == (404, "account_not_found")
    status, answer = await ask(app, "/api/portfolio/0", ann)
    assert (status, answer["code"], answer["details"]) == (422, "validation_error", {"field": "account_id"})
