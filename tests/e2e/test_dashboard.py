"""The dashboard dialect beside the others on one real port: who is taken for a dashboard, and what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.app import App
from gateway.config import Config, DashboardConfig, ServerConfig
from gateway.limits import Limits
from gateway.sources.base import Sink
from gateway.sources.config import ExchangeConfig
from tests.gateway.net.fakes import FakeSource
from tests.waiting import until

INVALID = "Invalid message format"


class Gateway:
    """A gateway without users, in front of a source in memory."""

    def __init__(self, **dashboard: Any) -> None:
        config = Config(
            server=ServerConfig(port=0),
            default_exchange="sim",
            exchanges={"sim": ExchangeConfig(klass="binance")},
            dashboard=DashboardConfig(symbols=["BTC/USDT", "ETH/USDT"], **{"price_update_interval_s": 0.1} | dashboard),
            limits=Limits(dialect_grace_ms=50),
        )
        self.app = App(config, make_source=self._make)

    def _make(self, name: str, _config: ExchangeConfig, sink: Sink, _limits: Limits) -> FakeSource:
        self.source = FakeSource(name, {"BTC/USDT", "ETH/USDT"}, sink)
        return self.source

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.app.port}/ws{query}"

    async def quote(self, **prices: float) -> None:
        """New prices of symbols that are watched, by their base."""
        await until(lambda: len(self.source.watched) >= len(prices))
        for base, last in prices.items():
            (key,) = [key for key in self.source.watched if key.symbol == f"{base}/USDT"]
            self.source.publish("ccxt_ticker", key.symbol, key.variant, last=last)

    async def status(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            return dict((await client.get(f"http://127.0.0.1:{self.app.port}/websocket/status")).json())


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    await gateway.app.start()
    yield gateway
    await gateway.app.close()


async def heard(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(client.recv(), 5)))


async def ask(client: ClientConnection, **message: Any) -> dict[str, Any]:
    await client.send(json.dumps(message))
    return await heard(client)


@pytest.mark.parametrize(
    ("query", "subprotocol"), [("?client_id=page-1", None), ("", None), ("", "tickwire.dashboard")]
)
async def test_a_client_that_says_nothing_is_told_all_prices(
    gateway: Gateway, query: str, subprotocol: str | None
) -> None:
    offered = [Subprotocol(subprotocol)] if subprotocol else None
    async with connect(gateway.url(query), subprotocols=offered) as client:
        assert client.subprotocol == subprotocol
        await gateway.quote(BTC=60_000.5, ETH=3_000)
        message = await heard(client)
        assert message["type"] == "price_update"
        assert {symbol: price["price"] for symbol, price in message["symbols"].items()} == {
            "BTC/USDT": 60_000.5, "ETH/USDT": 3_000,
        }  # fmt: skip
        status = await gateway.status()
        assert status["active_connections"] == 1
        assert status["stream_health"]["price_updates"]["is_healthy"]
        assert status["stream_health"]["price_updates"]["last_update"] >= message["timestamp"]


async def test_the_first_frame_makes_a_dashboard_and_narrows_it(gateway: Gateway) -> None:
    async with connect(gateway.url()) as client:
        await client.send('{"type":"subscribe","channel":"price_updates","symbols":["ETH/USDT"]}')
        await gateway.quote(ETH=1)
        assert list((await heard(client))["symbols"]) == ["ETH/USDT"]


async def test_who_changes_its_mind_is_told_so_in_its_first_dialect_and_goes_on(gateway: Gateway) -> None:
    async with connect(gateway.url()) as client:
        assert await ask(client, type="ping") == {"type": "pong"}
        assert (await ask(client, action="ping"))["error"] == INVALID
        assert (await ask(client, action="auth", payload={"api_key": "k"}))["error"] == INVALID
        assert await ask(client, type="ping") == {"type": "pong"}
    async with connect(gateway.url("?client_id=1")) as client:
        assert (await ask(client, action="ping"))["error"] == INVALID
        assert await ask(client, type="ping") == {"type": "pong"}
    async with connect(gateway.url()) as client:
        assert (await ask(client, action="ping"))["event"] == "connected"
        assert (await heard(client))["event"] == "pong"
        assert (await ask(client, type="ping"))["event"] == "error"
        assert (await ask(client, action="ping"))["event"] == "pong"


async def test_what_is_no_message_at_all_is_a_dashboards_mistake(gateway: Gateway) -> None:
    for raw in ("hello", b"\x00\xff", "[]"):
        async with connect(gateway.url()) as client:
            await client.send(raw)
            assert (await heard(client))["error"] == INVALID
            assert await ask(client, type="ping") == {"type": "pong"}


async def test_one_dashboard_too_many_is_refused_before_the_upgrade_and_after_it() -> None:
    gateway = Gateway(connections_max=0)
    await gateway.app.start()
    with pytest.raises(InvalidStatus) as refused:
        await connect(gateway.url("?client_id=1"))
    assert refused.value.response.status_code == 429
    async with connect(gateway.url()) as client:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(client.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4013
    await gateway.app.close()


async def test_a_gateway_without_dashboards_refuses_them(gateway: Gateway) -> None:
    config = msgspec.structs.replace(gateway.app.config, dashboard=DashboardConfig(enabled=False))
    app = App(config, markets=gateway.app.markets)
    await app.start()
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{app.port}/ws?client_id=1")
    assert refused.value.response.status_code == 404
    async with httpx.AsyncClient() as client:
        assert not (await client.get(f"http://127.0.0.1:{app.port}/websocket/status")).json()["enabled"]
    await app.close()


async def test_a_shutdown_is_told(gateway: Gateway) -> None:
    async with connect(gateway.url("?client_id=1")) as client:
        draining = asyncio.create_task(gateway.app.drain())
        assert (await heard(client))["type"] == "server_shutdown"
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(client.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        await draining
