"""The oms dialect on the whole product: market data, orders and functions of ccxt on one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.e2e.ordering import Ordering

ALL = ["ticker", "orderbook", "trades", "ohlcv"]


class Terminal:
    """A client of the dialect: what it was told, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        self.told.append(json.loads(await asyncio.wait_for(self.socket.recv(), 30)))
        return self.told[-1]

    async def until(self, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        while not wanted(message := await self.next()):
            pass
        return message

    async def all_told(self, *events: str) -> None:
        """Each of these has come by now."""
        while not set(events) <= {each["event"] for each in self.told}:
            await self.next()

    def first(self, event: str) -> Any:
        """The payload of the first of these."""
        return next(each["payload"] for each in self.told if each["event"] == event)

    async def ask(self, action: str, payload: Any, **more: Any) -> dict[str, Any]:
        """The answer to a request; what is told meanwhile is kept."""
        await self.socket.send(json.dumps({"id": action, "action": action, "payload": payload, **more}))
        return await self.until(lambda message: message["id"] == action and message["type"] == "ws_response")


@asynccontextmanager
async def terminal(gateway: Ordering, user: str | None = "ann") -> AsyncIterator[Terminal]:
    headers = {"x-api-key": gateway.keys[user]} if user else {}
    async with connect(f"ws://127.0.0.1:{gateway.app.port}/ws", additional_headers=headers) as socket:
        client = Terminal(socket)
        if user:
            assert (await client.next())["event"] == "connected"
        yield client


async def test_all_of_a_market_comes_as_ccxt_has_it(gateway_with_orders: Ordering) -> None:
    async with terminal(gateway_with_orders) as client:
        wanted = {"account_id": 1, "symbol": "BTC/USDT", "channels": ALL, "depth": 5, "limit": 3}
        answer = await client.ask("subscribe_market", wanted | {"poll_interval_ms": 250})
        assert answer["payload"] == {
            "account_id": 1, "symbol": "BTC/USDT", "channels": ALL, "poll_interval_ms": 250,
        }  # fmt: skip
        await client.all_told(*(f"{channel}_updated" for channel in ALL))
        found = {channel: client.first(f"{channel}_updated") for channel in ALL}
        for channel, payload in found.items():
            assert list(payload) == ["account_id", "symbol", "channel", "data", "ts_ms"]
            assert (payload["account_id"], payload["symbol"], payload["channel"]) == (1, "BTC/USDT", channel)
        assert {"bid", "ask", "last", "baseVolume", "datetime"} <= set(found["ticker"]["data"])
        assert len(found["orderbook"]["data"]["bids"]) == 5
        assert 1 <= len(found["trades"]["data"]) <= 3
        assert all(len(candle) == 6 for candle in found["ohlcv"]["data"])
        assert (await client.ask("unsubscribe_market", {}))["payload"] == {"removed": 4}


async def test_an_order_is_sent_and_everything_that_becomes_of_it_is_told(gateway_with_orders: Ordering) -> None:
    async with terminal(gateway_with_orders, None) as client:
        answer = await client.ask("auth", {"api_key": gateway_with_orders.keys["ann"]})
        assert [each["event"] for each in client.told] == ["connected", "authenticated"]
        assert answer["payload"]["account_ids"] == [1]
        await client.ask("subscribe", {"namespaces": ["position"], "account_ids": [1], "with_snapshot": True})
        await client.until(lambda each: each["event"] == "snapshot_done")
        assert [each["event"] for each in client.told[2:]] == [
            "subscribed", "snapshot_open_orders", "snapshot_open_positions", "snapshot_done",
        ]  # fmt: skip
        order = {"symbol": "BTC/USDT", "side": "buy", "order_type": "market", "qty": "0.01"}
        body = {"account_id": 1, "command": "send_order", "payload": order}
        result = await client.ask("command", body, namespace="position")
        assert (result["event"], result["ok"], result["payload"]["index"]) == ("command_result", True, 0)
        await client.all_told("order_created", "order_updated", "deal_created", "position_updated")
        assert client.first("order_created")["id"] == result["payload"]["order_id"]
        held = {"position_id": client.first("deal_created")["position_id"]}
        close = {"account_id": 1, "command": "close_position", "payload": held}
        assert (await client.ask("command", close))["ok"]
        await client.all_told("position_closed")
        cancel = {"account_id": 1, "command": "cancel_order", "payload": {"order_id": 10**6}}
        refused = await client.ask("command", cancel)
        assert (refused["ok"], refused["payload"]["error"]["code"]) == (False, "order_not_found")
        await client.all_told("command_failed")
        for channel in ("orders", "deals", "positions"):
            numbers = [each["seq"] for each in client.told if each.get("channel") == channel]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), channel
        assert all(each["payload"]["account_id"] == 1 for each in client.told if "channel" in each)


async def test_functions_of_ccxt_and_what_is_not_allowed(gateway_with_orders: Ordering) -> None:
    async with terminal(gateway_with_orders) as client:
        called = {"account_id": 1, "func": "fetch_ticker", "args": ["BTC/USDT"], "kwargs": {}}
        result = await client.ask("call", called, namespace="ccxt")
        assert result["event"] == "ccxt_result"
        assert result["payload"]["result"]["symbol"] == "BTC/USDT"
        refused = await client.ask("call", called | {"args": ["XXX/YYY"]})
        assert (refused["ok"], refused["payload"]["details"]["exception"]) == (False, "BadSymbol")
        refused = await client.ask("subscribe_market", {"account_id": 2, "symbol": "BTC/USDT"}, namespace="ccxt")
        assert (refused["event"], refused["payload"]["code"]) == ("error", "permission_denied")
        refused = await client.ask("subscribe", {"account_ids": [2]})
        assert refused["payload"]["code"] == "permission_denied"
        assert (await client.ask("ping", {}))["event"] == "pong"


async def test_bad_credentials_get_no_further(gateway_with_orders: Ordering) -> None:
    with pytest.raises(InvalidStatus) as raised:
        await connect(f"ws://127.0.0.1:{gateway_with_orders.app.port}/ws", additional_headers={"x-api-key": "nonsense"})
    assert raised.value.response.status_code == 401
    async with terminal(gateway_with_orders, None) as client:
        refused = await client.ask("auth", {"api_key": "nonsense"})
        assert (refused["event"], refused["payload"]["code"]) == ("error", "invalid_api_key")
        await client.socket.wait_closed()
        assert client.socket.close_code == 1008


async def test_accounts_of_one_exchange_are_served_by_one_watch(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with terminal(gateway, "root") as root, terminal(gateway, "ann") as ann:
        for client, account_id in ((root, 1), (root, 2), (ann, 1)):
            wanted = {"account_id": account_id, "symbol": "BTC/USDT", "channels": ["orderbook"], "timeframe": "5m"}
            assert (await client.ask("subscribe_market", wanted))["ok"]
        (watch,) = [each for each in gateway.app.sources["sim"].status() if each.key.channel == "ccxt_orderbook"]
        assert watch.key.symbol == "BTC/USDT"
        of_one: dict[int, Any] = {}
        of_two: dict[int, Any] = {}
        while not len(of_one.keys() & of_two.keys()) >= 2:
            message = await root.next()
            if message["event"] == "orderbook_updated":
                found = of_one if message["payload"]["account_id"] == 1 else of_two
                found[message["seq"]] = message
        for number in of_one.keys() & of_two.keys():
            one, two = of_one[number], of_two[number]
            assert one == two | {"payload": two["payload"] | {"account_id": 1}}
        mine = await ann.until(lambda each: each["event"] == "orderbook_updated" and each["seq"] in of_one)
        assert mine == of_one[mine["seq"]]
