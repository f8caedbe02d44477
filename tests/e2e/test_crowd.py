"""32 clients on one account and strategy, over HTTP and WebSockets of their own, against a gateway process: what the
exchange has, what is stored, what was answered and what was told are the same, and nothing was done twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from oms.model import Order, PositionMode
from oms.store import admin
from oms.store.pool import open_pool
from tests.crash.agreement import OPEN_THERE, disagreements
from tests.crash.world import Scene, World, world_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 32
ROUNDS = 8
SAME_ID_ROUNDS = 4
QUIET_S = 20.0
CHANNELS = ("orders", "deals", "positions")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_of(Path(tmp_path_factory.mktemp("gateways"))) as made:
        yield made


class Caller:
    """A client: over HTTP, or over a WebSocket that stays open."""

    def __init__(self, scene: Scene, url: str) -> None:
        self.answers: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._http = scene.http
        self._url = url
        self._headers = {"x-api-key": scene.key}
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self, stack: AsyncExitStack) -> None:
        """From here on over a WebSocket."""
        self._socket = await stack.enter_async_context(
            self._http.ws_connect(f"{self._url}/v1/stream", headers=self._headers)
        )
        assert (await self._socket.receive_json())["type"] == "connected"

    async def ask(self, command: str, request_id: str, **payload: Any) -> dict[str, Any]:
        """The final answer: asked for again while the command runs."""
        body = {"account_id": 1, "command": command, "request_id": request_id, "payload": payload}
        while (answer := await self._ask(body)).get("running"):  # each question waits by itself
            pass
        self.answers.append((body, answer))
        return answer

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._socket is None:
            async with self._http.post(f"{self._url}/oms/commands", json=body, headers=self._headers) as answer:
                told = await answer.json()
        else:
            await self._socket.send_json({"action": "command", "id": 1, "payload": body})
            told = (await self._socket.receive_json())["data"]
        assert "results" in told, told
        return dict(told["results"][0])


class Follower:
    """Hears every event of the account, of each channel."""

    def __init__(self) -> None:
        self.heard: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
        self._names = {"order": "orders", "deal": "deals", "position": "positions"}

    async def follow(self, scene: Scene, url: str, joined: asyncio.Event) -> None:
        headers = {"x-api-key": scene.key}
        async with scene.http.ws_connect(f"{url}/v1/stream", headers=headers) as socket:
            for channel in CHANNELS:
                await socket.send_json(
                    {"action": "subscribe", "channel": channel, "account_ids": [1], "snapshot": False}
                )
            subscribed = 0
            async for message in socket:
                told = json.loads(message.data)
                if told["type"] == "subscribed":
                    subscribed += 1
                    if subscribed == len(CHANNELS):
                        joined.set()
                elif told["type"] in self._names:
                    self.heard[self._names[told["type"]]].append(told["sequence"])


async def crowd(scene: Scene, url: str, stack: AsyncExitStack) -> list[Caller]:
    """Half of them over sockets."""
    callers = [Caller(scene, url) for _ in range(CLIENTS)]
    for caller in callers[::2]:
        await caller.connect(stack)
    return callers


async def trade(caller: Caller, name: str, random: Random, orders: list[int]) -> None:
    """Send, and change and cancel whatever anybody has sent."""
    for number in range(ROUNDS):
        request_id, choice = f"{name}-{number}", random.random()
        if choice < 0.45 or not orders:
            side = random.choice(("buy", "sell"))
            price = str(random.randint(1_000, 1_010) if side == "buy" else random.randint(900_000, 900_010))
            answer = await caller.ask(
                "send_order", request_id, symbol="BTC/USDT", side=side, order_type="limit",
                qty=random.choice(("0.02", "0.03")), price=price, strategy_id=1,
            )  # fmt: skip
            if answer["ok"]:
                orders.append(answer["order_id"])
        elif choice < 0.75:
            order_id = random.choice(orders[-8:])
            await caller.ask("change_order", request_id, order_id=order_id, new_qty=random.choice(("0.04", "0.05")))
        elif choice < 0.98:
            await caller.ask("cancel_order", request_id, order_id=random.choice(orders[-8:]))
        else:
            await caller.ask("cancel_all_orders", request_id, strategy_ids=[1])


async def fill_some(scene: Scene, random: Random) -> None:
    """Until cancelled: now and then one of the open orders is filled in part."""
    while True:
        rows = [row for row in (await scene.ledger())["orders"] if row["status"] in OPEN_THERE]
        if rows:
            row = random.choice(rows)
            fill = {"symbol": row["symbol"], "order_id": row["order_id"], "account": scene.account.name, "qty": "0.01"}
            async with scene.http.post(f"{scene.world.exchange.base_url}/admin/fill", json=fill) as answer:
                assert answer.status in {200, 409}, await answer.text()  # it may have ended meanwhile
        await asyncio.sleep(0.02)


async def agreed(scene: Scene, caller: Caller) -> None:
    """Soon: the exchange's last words may be on their way."""
    problems = ["not compared"]
    try:
        async with asyncio.timeout(QUIET_S):
            while problems:
                async with scene.http.post(
                    f"{caller._url}/oms/reconcile",
                    json={"account_id": 1},
                    headers={**caller._headers, "connection": "close"},  # each on its own: one that idled may be closed
                ):
                    problems = disagreements(await scene.books(), await scene.ledger())
    except TimeoutError:
        pytest.fail("\n".join(problems))


def kept_word(callers: list[Caller], orders: Mapping[int, Order]) -> None:
    """What was said to be done is; what was refused was so because of what others did."""
    for body, answer in (each for caller in callers for each in caller.answers):
        if not answer["ok"]:
            assert answer["error"]["code"] in {"invalid_order_state", "validation_error"}, (body, answer)
        elif body["command"] == "send_order":
            assert answer["order_id"] in orders
        elif body["command"] == "cancel_order":
            assert not orders[answer["order_id"]].is_open


async def while_filling(scene: Scene, work: Coroutine[Any, Any, Any]) -> None:
    filling = asyncio.create_task(fill_some(scene, Random(1)))
    try:
        await work
    finally:
        filling.cancel()
        (ended,) = await asyncio.gather(filling, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


@pytest.mark.parametrize("native", [True, False])
async def test_a_crowd_on_one_strategy_leaves_everything_in_agreement(world: World, native: bool) -> None:
    async with world.scene(PositionMode.STRATEGY_NETTING) as scene, AsyncExitStack() as stack:
        async with await open_pool(scene.dsn, size_max=1) as pool:
            await admin.add_strategy(pool, 1, "crowd")
        gateway = await stack.enter_async_context(scene.gateway(native=native))
        await scene.client(gateway).until_ready(QUIET_S)
        callers = await crowd(scene, gateway.url, stack)
        follower, joined = Follower(), asyncio.Event()
        following = asyncio.create_task(follower.follow(scene, gateway.url, joined))
        await joined.wait()
        orders: list[int] = []
        work = [trade(caller, f"c{index}", Random(index), orders) for index, caller in enumerate(callers)]
        await while_filling(scene, asyncio.wait_for(asyncio.gather(*work), 60))
        await agreed(scene, callers[0])
        books = await scene.books()
        assert len(set(orders)) == len(orders), "one order was answered to two requests"
        assert len(books.commands) == CLIENTS * ROUNDS
        assert {order.strategy_id for order in books.orders} == {1}
        kept_word(callers, {order.id: order for order in books.orders})
        async with asyncio.timeout(QUIET_S):
            while any(len(follower.heard[each]) < books.sequences[each] for each in CHANNELS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for channel in CHANNELS:
            assert follower.heard[channel] == list(range(1, len(follower.heard[channel]) + 1))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_one_request_id_from_everybody_at_once_is_one_order(world: World) -> None:
    async with world.scene(PositionMode.NETTING) as scene, AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(scene.gateway())
        await scene.client(gateway).until_ready(QUIET_S)
        callers = await crowd(scene, gateway.url, stack)
        order = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.02", "price": "1000"}
        for number in range(SAME_ID_ROUNDS):
            if number % 2:
                await world.exchange.fault("lose", count=1)
            answers = await asyncio.gather(*(each.ask("send_order", f"same-{number}", **order) for each in callers))
            assert {(each["ok"], each["order_id"], each["command_id"]) for each in answers} == {
                (True, number + 1, number + 1)
            }
            assert sum(not each.get("replayed") for each in answers) == 1
        await agreed(scene, callers[0])
        books, ledger = await scene.books(), await scene.ledger()
        assert len(ledger["orders"]) == len(ledger["requests"]) == len(books.orders) == SAME_ID_ROUNDS
