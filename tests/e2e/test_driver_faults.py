"""The driver over a bad line: whatever becomes of answers, no order is there twice and none is lost from sight."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from ccxt.base.errors import ExchangeError, NetworkError, OrderNotFound

from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.sync import OmsCcxtExchange as SyncExchange
from tests.driver.proxy import Fault, faulty
from tests.e2e.ordering import Ordering

TIMEOUT_MS = 1_000
DELAY_S = 1.3
FAULTS = (Fault.CUT, Fault.TRUNCATE, Fault.DELAY)
CALM = {"delay_ms": 5, "delay_ms_max": 20}


def config_of(gateway: Ordering, port: int, **options: Any) -> dict[str, Any]:
    return {
        "apiKey": gateway.keys["ann"], "hostname": f"127.0.0.1:{port}", "timeout": TIMEOUT_MS,
        "options": {"account_id": 1, "retries": {"tries": 1_000, "within_ms": 20_000, **CALM}, **options},
    }  # fmt: skip


async def ledger(gateway: Ordering) -> list[dict[str, Any]]:
    return list((await gateway.exchange.get("/admin/ledger", account="ann"))["orders"])


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_no_order_is_doubled_and_none_is_lost(gateway_with_orders: Ordering, kind: str) -> None:
    """Every third answer or so is cut, truncated or late."""
    gateway = gateway_with_orders
    chance = random.Random(4)
    names = [f"mine-{number}" for number in range(30)]
    made: dict[str, str] = {}
    async with faulty(gateway.app.port, lambda: Fault.NONE, delay_s=DELAY_S) as line:
        config = config_of(gateway, line.port)
        exchange: Any = AsyncExchange(config) if kind == "async" else SyncExchange(config)

        async def call(method: str, *arguments: Any) -> Any:
            answer = getattr(exchange, method)
            return await (answer(*arguments) if kind == "async" else asyncio.to_thread(answer, *arguments))

        await call("load_markets")
        line.fault_of = lambda: chance.choice([*FAULTS, *[Fault.NONE] * 5])
        for name in names:
            order = await call("create_order", "BTC/USDT", "limit", "buy", 0.001, 50000, {"clientOrderId": name})
            made[name] = order["id"]
            if chance.random() < 0.3:
                assert (await call("cancel_order", order["id"]))["status"] == "canceled"
        line.fault_of = lambda: Fault.NONE
        open_now = {order["clientOrderId"] for order in await call("fetch_open_orders")}
        if kind == "async":
            await exchange.close()
        else:
            exchange.close()
    assert all(line.seen[fault] for fault in FAULTS), line.seen
    entries = await ledger(gateway)
    assert Counter(entry["client_order_id"] for entry in entries) == dict.fromkeys(names, 1)
    assert {entry["client_order_id"] for entry in entries if entry["status"] == "NEW"} == open_now
    assert len(set(made.values())) == len(names)


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_order_nobody_answered_for_is_found_by_its_name(gateway_with_orders: Ordering, fault: Fault) -> None:
    gateway = gateway_with_orders
    async with (
        faulty(gateway.app.port, lambda: Fault.NONE, delay_s=DELAY_S) as line,
        AsyncExchange(config_of(gateway, line.port, retries=1)) as exchange,
    ):
        await exchange.load_markets()
        line.fault_of = lambda: fault
        with pytest.raises(NetworkError, match="look for clientOrderId mine-1") as raised:
            await exchange.create_order("BTC/USDT", "limit", "buy", 0.001, 50000, {"clientOrderId": "mine-1"})
        assert not isinstance(raised.value, ExchangeError), "nobody knows what became of it"
        line.fault_of = lambda: Fault.NONE
        order = await exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "mine-1"})
        assert (order["status"], order["clientOrderId"]) == ("open", "mine-1")
        with pytest.raises(OrderNotFound):
            await exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "mine-2"})
    assert [entry["client_order_id"] for entry in await ledger(gateway)] == ["mine-1"]


async def test_a_gateway_that_restarts_meanwhile_answers_what_it_was_asked(gateway_with_orders: Ordering) -> None:
    """The command is committed; its answer is lost with the process, and told by the next one."""
    gateway = gateway_with_orders
    async with (
        faulty(gateway.app.port, lambda: Fault.NONE, delay_s=DELAY_S) as line,
        AsyncExchange(config_of(gateway, line.port)) as exchange,
    ):
        await exchange.load_markets()
        line.fault_of = lambda: Fault.CUT
        call = asyncio.create_task(exchange.create_order("BTC/USDT", "limit", "buy", 0.001, 50000))
        await gateway.until(lambda entries: entries, lambda: ledger(gateway))
        await gateway.stop()
        await gateway.start()
        line.gateway_port = gateway.app.port
        line.fault_of = lambda: Fault.NONE
        order = await call
    assert order["status"] == "open"
    assert len(await ledger(gateway)) == 1
