"""The gateway with its order desk: what it needs to begin, where an account's orders go, and what is served of it."""

from __future__ import annotations

import httpx
import pytest

from gateway.app import serving
from gateway.config import AuthConfig, Config, OmsConfig, ServerConfig
from gateway.desk import venues_of
from gateway.errors import TickwireError
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options
from oms import keys
from oms.errors import OmsError
from oms.model import Account, Environment, Role, Scope
from oms.postgres import Embedded
from oms.store import admin
from oms.store.pool import open_pool
from oms.vault import new_master_key
from oms.venues.ccxt import CcxtVenue
from tests.oms import database

MADE = ExchangeConfig(klass="synthetic")


def config_of(dsn: str) -> Config:
    return Config(
        server=ServerConfig(port=0),
        exchanges={"made": MADE},
        oms=OmsConfig(database_url=dsn),
        auth=AuthConfig(master_keys=[new_master_key()]),
    )


async def test_orders_are_served_and_ask_for_a_key(dsn: str) -> None:
    made = keys.make()
    async with await open_pool(dsn) as pool:
        user = await admin.add_user(pool, "root", Role.ADMIN)
        await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope))
    async with serving(config_of(dsn)) as app, httpx.AsyncClient(base_url=f"http://127.0.0.1:{app.port}") as client:
        told = (await client.get("/readyz")).json()
        assert (told["checks"]["orders"], told["accounts"]) == (True, True)
        assert (await client.get("/oms/accounts")).status_code == 401
        assert "/oms/commands" in (await client.get("/openapi.json")).json()["paths"]
        client.headers["x-api-key"] = made.text
        assert (await client.get("/oms/accounts")).json()["items"] == []
        refused = await client.get("/oms/risk/7")
        assert (refused.status_code, refused.json()["code"]) == (404, "account_not_found")


async def test_market_data_alone_needs_no_database() -> None:
    config = Config(server=ServerConfig(port=0), exchanges={"made": MADE}, oms=OmsConfig(enabled=False))
    async with serving(config) as app, httpx.AsyncClient(base_url=f"http://127.0.0.1:{app.port}") as client:
        told = (await client.get("/readyz")).json()
        assert (set(told), set(told["checks"])) == ({"ready", "checks"}, {"listening", "sources"})
        assert (await client.get("/oms/accounts")).status_code == 404


async def test_a_database_that_is_not_there_is_told() -> None:
    with pytest.raises(TickwireError, match="cannot be reached") as refused:
        async with serving(config_of("postgresql://nobody@127.0.0.1:9/none")):
            pass
    assert refused.value.code == "engine_unavailable"


async def test_a_database_of_somebody_else_must_be_up_to_date(postgres: Embedded) -> None:
    made = await database.make_database(postgres.dsn, "template0")
    with pytest.raises(TickwireError, match="tickwire db migrate"):
        async with serving(config_of(made)):
            pass
    await database.drop_database(postgres.dsn, made)


def account_of(exchange: str, environment: Environment) -> Account:
    return Account(id=1, name="a", exchange=exchange, environment=environment, epoch="e")


async def test_orders_go_where_the_exchange_is_configured() -> None:
    sim = ExchangeConfig(klass="binance", options=sim_options("http://127.0.0.1:9"), order_params=["mine"])
    venue_of = venues_of({"sim": sim, "paper": ExchangeConfig(klass="binance", sandbox=True), "made": MADE})
    venue = venue_of(account_of("sim", Environment.SIMULATED), {"apiKey": "k", "secret": "s"})
    assert repr(venue) == "CcxtVenue(binance, simulated)"
    assert isinstance(venue, CcxtVenue)
    assert "mine" in venue._allowed
    await venue.close()
    for exchange, environment in (
        ("gone", Environment.LIVE),
        ("paper", Environment.LIVE),
        ("made", Environment.LIVE),
        ("paper", Environment.SIMULATED),
    ):
        with pytest.raises(OmsError):
            venue_of(account_of(exchange, environment), {})
