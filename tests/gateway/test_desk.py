"""The gateway with its order desk: what it needs to begin, where an account's orders go, and what is served of it."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from pathlib import Path

import httpx
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from _speedups.fanout import Fanout
from gateway import desk
from gateway.app import serving
from gateway.config import (
    AuthConfig,
    Config,
    DashboardConfig,
    JwtConfig,
    JwtKeyConfig,
    NewsConfig,
    OmsConfig,
    PortfolioConfig,
    ServerConfig,
)
from gateway.config import FeedConfig as NewsFeed
from gateway.core import fanout
from gateway.desk import feeds_of, reader_of, token_keys_of, venues_of
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options
from oms import keys, service, token_keys
from oms.auth import require_close, require_read, require_trade
from oms.errors import OmsError
from oms.model import Account, Environment, Role, Scope
from oms.passing.service import PassThrough
from oms.postgres import Embedded
from oms.revocations import Kind
from oms.store import admin
from oms.store.pool import open_pool
from oms.vault import new_master_key
from oms.venues.ccxt import CcxtVenue
from oms.venues.mt5 import Mt5Venue
from tests.gateway.net.fakes import Rig
from tests.gateway.users import say
from tests.oms import database
from tests.oms.publications.test_entries import RSS
from tests.plain_http import NO_TLS

MADE = ExchangeConfig(klass="synthetic")


def config_of(dsn: str) -> Config:
    return Config(
        server=ServerConfig(port=0),
        exchanges={"made": MADE},
        oms=OmsConfig(database_url=dsn),
        auth=AuthConfig(master_keys=[new_master_key()]),
    )


async def test_orders_are_served_and_ask_for_a_key(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys.make()
    waiting: list[int] = []

    class Told(Fanout):
        def urge(self, more: int) -> None:
            waiting.append(more)

    monkeypatch.setattr(fanout, "Fanout", Told)
    async with await open_pool(dsn) as pool:
        user = await admin.add_user(pool, "root", Role.ADMIN)
        await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope))
    async with (
        serving(config_of(dsn)) as app,
        httpx.AsyncClient(verify=NO_TLS, base_url=f"http://127.0.0.1:{app.port}") as client,
    ):
        told = (await client.get("/readyz")).json()
        assert (told["checks"]["orders"], told["accounts"]) == (True, True)
        assert (await client.get("/oms/accounts")).status_code == 401
        assert "/oms/commands" in (await client.get("/openapi.json")).json()["paths"]
        client.headers["x-api-key"] = made.text
        assert (await client.get("/oms/accounts")).json()["items"] == []
        refused = await client.get("/oms/risk/7")
        assert (refused.status_code, refused.json()["code"]) == (404, "account_not_found")
        assert not waiting
        await client.post("/oms/commands", json={"account_id": 7, "command": "cancel_all_orders", "payload": {}})
        assert waiting == [1, -1], "while a command is under way the fan-out takes short slices"


async def test_another_issuer_makes_tokens_until_they_are_revoked(dsn: str, tmp_path: Path) -> None:
    private, file = token_keys.new_file("EdDSA"), tmp_path / "idp.pem"
    file.write_text(token_keys.public_file(private))
    made = keys.make()
    issuer = JwtKeyConfig(kid="idp-1", file=str(file), issuer="idp", audience="us")
    config = config_of(dsn)
    config = replace(config, auth=replace(config.auth, jwt=JwtConfig(keys=[issuer])))
    async with await open_pool(dsn) as pool:
        user = await admin.add_user(pool, "root", Role.ADMIN)
        await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope))
        async with serving(config) as app:
            now_s = int(time.time())  # in a URL, one from before the start might be used for the second time
            claims = {
                "iss": "idp", "aud": "us", "sub": "root", "kid": 1, "accounts": None, "scope": "read admin",
                "iat": now_s, "exp": now_s + 600, "jti": "j1",
            }  # fmt: skip
            token = jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": "idp-1"})
            url = f"ws://127.0.0.1:{app.port}/v1/stream?token={token}"
            async with connect(url) as client:
                assert json.loads(await client.recv())["type"] == "connected"
                await admin.revoke_tokens(pool, Kind.USER, "root")
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "the token is revoked")
            with pytest.raises(InvalidStatus) as refused:
                await connect(url)
            assert refused.value.response.status_code == 401


async def test_a_key_of_tokens_that_is_not_there_is_told(dsn: str, tmp_path: Path) -> None:
    config = config_of(dsn)
    missing = JwtConfig(keys=[JwtKeyConfig(kid="k", file=str(tmp_path / "none.pem"))])
    with pytest.raises(TickwireError, match=r"none.pem cannot be read"):
        async with serving(replace(config, auth=replace(config.auth, jwt=missing))):
            pass


def test_keys_of_tokens_are_what_the_configuration_says(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text(token_keys.new_file("HS256"))
    own.chmod(0o600)
    other.write_text(token_keys.public_file(token_keys.new_file("EdDSA")))
    ends = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)
    config = JwtConfig(
        leeway_s=2,
        lifetime_max_s=60,
        keys=[
            JwtKeyConfig(kid="a", algorithm="HS256", file=str(own), retires_at=ends),
            JwtKeyConfig(kid="b", file=str(other), issuer="idp", audience="us", users=["ann"]),
        ],
    )
    first, second = token_keys_of(config)
    assert (first.is_ours, first.lifetime_max_s, first.retires_ns) == (True, None, 1_798_675_200_000_000_000)
    assert (second.is_ours, second.issuer, second.audience, second.users) == (False, "idp", "us", frozenset({"ann"}))
    assert (second.leeway_s, second.lifetime_max_s, second.retires_ns) == (2, 60, None)


async def test_what_is_published_by_socket_or_http_is_told_to_anybody(dsn: str) -> None:
    made = keys.make()
    async with await open_pool(dsn) as pool:
        user = await admin.add_user(pool, "wire", Role.PUBLISHER)
        await admin.add_key(pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset({Scope.PUBLISH}))
    async with serving(config_of(dsn)) as app:
        url, headers = f"//127.0.0.1:{app.port}", {"x-api-key": made.text}
        async with (
            connect(f"ws:{url}/v1/stream") as anybody,
            connect(f"ws:{url}/v1/stream", additional_headers=headers) as publisher,
            httpx.AsyncClient(base_url=f"http:{url}", headers=headers) as client,
        ):
            for each in (anybody, publisher):
                assert (await say(each))["type"] == "connected"
            assert (await say(anybody, action="subscribe", channel="signals"))["type"] == "subscribed"
            assert (await say(anybody, action="subscribe", channel="news", symbols=["A"]))["type"] == "subscribed"
            signal = {"signal_type": "BUY", "symbol": "A", "price": 1.5, "request_id": "r"}
            for replayed in (False, True):
                answer = await say(publisher, action="publish", id=1, channel="signals", data=signal)
                assert (answer["type"], answer["data"]["replayed"]) == ("published", replayed)
            assert (await client.post("/api/news", json={"headline": "x", "symbols": ["A"]})).status_code == 201
            told = [await say(anybody) for _ in range(2)]
            refused = await say(anybody, action="publish", id=1, channel="signals", data=signal)
    assert [(each["type"], each["sequence"], each["data"]["source"]) for each in told] == [
        ("signal", 1, "wire"),
        ("news", 1, "wire"),
    ]
    assert refused["code"] == "not_authenticated"


async def test_a_configured_feed_is_told_to_who_subscribed(dsn: str) -> None:
    subscribed = asyncio.Event()

    async def feed(_: web.Request) -> web.Response:
        await subscribed.wait()
        return web.Response(text=RSS)

    server = TestServer(web.Application())
    server.app.router.add_get("/", feed)
    async with server:
        config = replace(config_of(dsn), news=NewsConfig(feeds={"desk": NewsFeed(url=str(server.make_url("/")))}))
        async with serving(config) as app, connect(f"ws://127.0.0.1:{app.port}/v1/stream") as anybody:
            assert (await say(anybody))["type"] == "connected"
            assert (await say(anybody, action="subscribe", channel="news"))["type"] == "subscribed"
            subscribed.set()
            told = await say(anybody)
    assert (told["type"], told["sequence"], told["data"]["source"]) == ("news", 1, "desk")
    assert told["data"]["headline"] in RSS


def test_who_reads_for_every_dashboard_may_do_nothing_else() -> None:
    assert reader_of(None) is None
    reader = reader_of(3)
    assert reader is not None
    require_read(reader, 3)
    for require, account_id in ((require_read, 1), (require_trade, 3), (require_close, 3)):
        with pytest.raises(OmsError):
            require(reader, account_id, None)


async def test_limits_are_what_the_configuration_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[service.OmsConfig] = []

    def refusing(config: service.OmsConfig, **_: object) -> None:
        asked.append(config)
        raise OmsError("engine_unavailable", "not today")

    monkeypatch.setattr("oms.service.serving", refusing)
    limits = Limits(
        connections_kept_days=3, publications_kept_days=4, publications_waiting_max=5, alerts_per_user_max=6,
        alerts_per_account_max=7, commands_running_per_key_max=8, commands_running_per_account_max=9,
    )  # fmt: skip
    with pytest.raises(TickwireError, match="not today"):
        async with desk.serving(replace(config_of("postgresql://nowhere/x"), limits=limits), Rig().hub, {}):
            pass
    (made,) = asked
    assert (made.connections_kept_days, made.publications_kept.days, made.publications_waiting_max) == (3, 4, 5)
    assert (made.alert_limits.per_user_max, made.alert_limits.per_account_max) == (6, 7)
    assert (made.running_max.of_key, made.running_max.of_account) == (8, 9)


async def test_dashboards_portfolios_and_calls_are_what_the_configuration_says(dsn: str) -> None:
    config = replace(
        config_of(dsn),
        dashboard=DashboardConfig(account_id=3),
        portfolio=PortfolioConfig(currency="EUR"),
        limits=Limits(ccxt_guests_running_max=3),
    )
    async with serving(config) as app:
        assert app.dashboard.reader is not None
        assert set(app.dashboard.reader.permissions) == {3}
        assert app.streams.portfolios is not None
        assert app.streams.portfolios.config == config.portfolio
        assert isinstance(app.oms.calls, PassThrough)
        assert app.oms.calls._guests._limits.guests_running_max == 3


def test_feeds_are_what_the_configuration_says() -> None:
    config = NewsConfig(feeds={"wire": NewsFeed(url="https://e.org/", symbols=["A"], words={"B": ["b"]})})
    (feed,) = feeds_of(config)
    assert (feed.name, feed.url, feed.interval_s) == ("wire", "https://e.org/", 300)
    assert feed.symbols.of("what b does") == ["A", "B"]
    assert "e.org" not in repr(config)


async def test_market_data_alone_needs_no_database() -> None:
    config = Config(server=ServerConfig(port=0), exchanges={"made": MADE}, oms=OmsConfig(enabled=False))
    async with (
        serving(config) as app,
        httpx.AsyncClient(verify=NO_TLS, base_url=f"http://127.0.0.1:{app.port}") as client,
    ):
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


async def test_an_account_at_a_terminal_is_watched_there() -> None:
    broker = ExchangeConfig(klass="mt5", options={"host": "127.0.0.1"})
    venue_of = venues_of({"broker": broker})
    account = account_of("broker", Environment.LIVE)
    assert isinstance(venue_of(account, {"login": "7", "password": "secret"}), Mt5Venue)
    assert not broker.has_market
    with pytest.raises(OmsError, match="login"):
        venue_of(account, {"login": "ann"})


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
