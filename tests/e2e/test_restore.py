"""A client that loses its connection, or its gateway, has its subscriptions back; how fast is told and not asserted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.ordering import WAIT_S, Ordering

Message = dict[str, Any]


async def take(client: ClientConnection) -> Message:
    return dict(json.loads(await asyncio.wait_for(client.recv(), WAIT_S)))


async def until(client: ClientConnection, holds: Callable[[Message], bool]) -> list[Message]:
    """What comes up to the message that is awaited."""
    taken = [await take(client)]
    while not holds(taken[-1]):
        taken.append(await take(client))
    return taken


@asynccontextmanager
async def connected(gateway: Ordering) -> AsyncIterator[tuple[ClientConnection, str]]:
    url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
    async with connect(url, additional_headers={"x-api-key": gateway.keys["ann"]}) as client:
        yield client, (await take(client))["connection_id"]


async def subscribe(client: ClientConnection) -> dict[str, dict[str, Any]]:
    """Quotes and orders, and where they are."""
    at = {}
    for channel, named in (("quotes", {"symbols": ["BTC/USDT"]}), ("orders", {"account_ids": [1]})):
        await client.send(json.dumps({"action": "subscribe", "channel": channel, **named}))
        answer = (await until(client, lambda message: message["type"] == "subscribed"))[-1]
        at[channel] = {
            name: {"epoch": state["epoch"], "sequence": state["sequence"]}
            for name, state in answer["data"]["streams"].items()
        }
    return at


async def test_subscriptions_come_back_after_a_lost_connection_and_after_a_restart(
    gateway_with_orders: Ordering,
) -> None:
    gateway = gateway_with_orders
    async with connected(gateway) as (client, former):
        at = await subscribe(client)
        client.transport.abort()
    sent = await gateway.send()
    begun = time.perf_counter()
    async with connected(gateway) as (client, second):
        await client.send(json.dumps({"action": "restore", "connection_id": former, "resume": at}))
        answers = await until(client, lambda message: message.get("kind") == "update")
        print(f"reconnection: {(time.perf_counter() - begun) * 1000:.1f} ms")  # shown by pytest -rP
        assert [each["channel"] for each in answers if each["type"] == "subscribed"] == ["quotes", "orders"]
        orders = [each for each in answers if each["type"] == "order"]
        orders = orders or (await until(client, lambda message: message["type"] == "order"))[-1:]
        assert orders[0]["data"]["id"] == sent["order_id"], "what happened meanwhile is told"
        assert orders[0]["sequence"] == at["orders"]["1"]["sequence"] + 1
    await gateway.restart()
    begun = time.perf_counter()
    async with connected(gateway) as (client, _):
        await client.send(json.dumps({"action": "restore", "connection_id": second, "resume": at}))
        answers = await until(client, lambda message: message["type"] == "order")
        print(f"reconnection after restart: {(time.perf_counter() - begun) * 1000:.1f} ms")  # shown by pytest -rP
        assert answers[0]["data"] == {"connection_id": second, "requests": 2}
        streams = [each["data"]["streams"] for each in answers if each["type"] == "subscribed"]
        assert streams[0]["BTC/USDT"]["recovered"] is False, "another process, another epoch"
        assert streams[1]["1"]["recovered"] is True, "what is committed is where it was"
        assert answers[-1]["data"]["id"] == sent["order_id"]
