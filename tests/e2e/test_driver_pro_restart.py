"""A gateway is killed while the pro driver watches and trades: once it is back all flows, and no fill is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.model import PositionMode
from oms.postgres import Embedded
from tests.crash.world import Gateway, Scene, World
from tests.driver.proxy import Fault, faulty
from tests.e2e.pro_programs import BTC, Program, fills_of, told_of
from tests.e2e.processes import exchange_of

FLOWS_S = 1.0
KILLS = 3


@pytest.fixture(name="scene")
async def _scene(postgres: Embedded, tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        exchange_of("--symbols", "1", "--rate", "50") as exchange,
        World(postgres, exchange, tmp_path).scene(PositionMode.NETTING) as scene,
    ):
        yield scene


async def until_back(scene: Scene, gateway: Gateway) -> float:
    """When it listens, has its exchange, and takes commands of the account; by the monotonic clock."""
    client = scene.client(gateway)
    async with asyncio.timeout(20):
        while True:
            async with scene.http.get(f"{gateway.url}/readyz") as answer:
                is_ready = answer.status == 200
            if is_ready and await client.is_ready():
                return time.monotonic()
            await asyncio.sleep(0.01)


async def rest_an_order(made: Program, number: int) -> None:
    """One that waits just below the market."""
    book = await made.exchange.watch_order_book(BTC)
    params = {"clientOrderId": f"rests-{number}"}
    await made.exchange.create_order_ws(BTC, "limit", "buy", 0.002, book["bids"][0][0], params)


async def begin(made: Program) -> None:
    await made.exchange.load_markets()
    made.run(made.ticker, made.book, made.my_trades, made.my_orders, made.trade)
    await made.until(lambda: len(made.made) >= 5 and {"ticker", "book", "fills", "orders"} <= made.seen.keys())


async def flowing(made: Program, number: int, back: float) -> list[tuple[str, float]]:
    """How long after it was back there were prices, and a new order was answered, watched, and its fill told.

    What was under way when the gateway died is not waited for: that is settled with the exchange first.
    """
    params = {"clientOrderId": f"probe-{number}"}
    order = await made.exchange.create_order_ws(BTC, "market", "buy", 0.001, None, params)
    made.came("answer")
    await made.until(lambda: made.orders.get(order["id"], [""])[-1] == "closed")
    made.came("order")
    await made.until(lambda: order["id"] in {fill["order"] for fill in made.fills})
    made.came("fill")
    await made.until(lambda: made.since("ticker", back) and made.since("book", back))
    return [(what, made.since(what, back) or 0.0) for what in ("ticker", "book", "answer", "order", "fill")]


async def agree(made: Program, scene: Scene) -> None:
    """What the program was told is what happened at the exchange: each fill once, each order once."""
    await made.end(made.trade)
    ledger = await scene.ledger()
    await made.until(lambda: told_of(made.fills).keys() >= fills_of(ledger).keys())
    assert told_of(made.fills) == fills_of(ledger)
    names = Counter(entry["client_order_id"] for entry in ledger["orders"])
    assert set(names.values()) == {1}
    assert {order["clientOrderId"] for order in made.made + made.unread} <= set(names)
    assert len(made.unread) <= KILLS, "one is under way when a gateway dies"
    await made.until(lambda: all(made.orders.get(order["id"], [""])[-1] == "closed" for order in made.unread))
    assert not set(made.refused) & set(names)
    filled = {fill["client_order_id"] for fill in ledger["fills"]}
    assert any(name.startswith("rests-") for name in filled), "something happened while there was no gateway"
    assert not [gap for gap in made.gaps if gap.channel in {"orders", "deals"}]


@pytest.mark.timed
async def test_killed_and_restarted_it_flows_within_a_second_and_no_fill_is_missed_or_doubled(scene: Scene) -> None:
    """Three times, in the middle of trading; orders that rest are filled while there is no gateway."""
    after: list[tuple[str, float]] = []  # seconds after it was back
    async with faulty(0, lambda: Fault.NONE, delay_s=0) as line:
        options = {"account_id": scene.account.id}  # and all else as it is by default
        made = Program({"apiKey": scene.key, "hostname": f"127.0.0.1:{line.port}", "options": options})
        try:
            for number in range(KILLS + 1):
                await scene.world.exchange.post("trade", symbol="BTCUSDT", side="SELL", size="0.5")
                async with scene.gateway() as gateway:
                    line.gateway_port = int(gateway.url.rsplit(":", 1)[1])
                    back = await until_back(scene, gateway)
                    if number == 0:
                        await begin(made)
                    else:
                        after += await flowing(made, number, back)
                    await made.more_trades(5)
                    await rest_an_order(made, number)
                    if number == KILLS:
                        await agree(made, scene)
        finally:
            try:
                await made.stop()
            finally:
                await made.exchange.close()
    print(after)
    assert all(seconds < FLOWS_S for _, seconds in after), after
