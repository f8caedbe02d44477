"""Orders from end to end: sent, filled, changed and canceled by REST and WebSocket, against the simulated exchange."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms.postgres import Embedded
from tests.e2e.ordering import RESTING, Ordering, Stream, body_of, lose_database, ordering
from tests.oms import database

CHANNELS = {"orders": "order", "deals": "deal", "positions": "position"}


def error(result: dict[str, Any]) -> str | None:
    return None if result["ok"] else str(result["error"]["code"])


async def told(stream: Stream, count: int) -> list[dict[str, Any]]:
    """So many updates, whatever else comes."""
    taken: list[dict[str, Any]] = []
    while len(taken) < count:
        message = await stream.take()
        assert message["type"] in {*CHANNELS.values(), "command_result", "acked"}, message
        if message.get("kind") == "update":
            taken.append(message)
    return taken


@pytest.mark.every_server
async def test_the_life_of_an_order_by_rest(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send(client_order_id="mine-1")
    assert sent["ok"]
    number = sent["order_id"]
    order = await gateway.order(number)
    assert (order["state"], order["client_order_id"], order["price"]) == ("SUBMITTED", "mine-1", "50000")
    assert (await gateway.command("ann", "change_order", order_id=number, new_price="50001.5", new_qty="0.02"))["ok"]
    order = await gateway.order(number)
    assert (order["state"], order["price"], order["qty"]) == ("SUBMITTED", "50001.5", "0.02")
    assert (await gateway.command("ann", "cancel_order", order_id=number))["ok"]
    assert (await gateway.order(number))["state"] == "CANCELED"
    assert error(await gateway.command("ann", "cancel_order", order_id=number)) == "invalid_order_state"
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    assert [entry["status"] for entry in ledger["orders"]] == ["CANCELED", "CANCELED"]  # replaced, then canceled
    assert ledger["orders"][0]["client_order_id"] == "mine-1"


@pytest.mark.every_server
async def test_a_fill_is_a_deal_and_a_position_until_it_is_closed(
    gateway_with_orders: Ordering,
) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send(order_type="market", price=None, qty="0.5")
    order = await gateway.until_order(sent["order_id"], state="FILLED")
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    fills = [(Decimal(fill["qty"]), Decimal(fill["price"])) for fill in ledger["fills"]]
    assert Decimal(order["filled"]) == sum(qty for qty, _ in fills) == Decimal("0.5")
    average = sum(qty * price for qty, price in fills) / Decimal("0.5")
    assert abs(Decimal(order["average_price"]) - average) < Decimal("1e-9")
    (position,) = await gateway.positions()
    assert Decimal(position["qty"]) == Decimal("0.4995"), "less the fee, which is taken from what was bought"
    _, deals = await gateway.ask("ann", "GET", "/oms/deals?account_ids=1")
    assert len(deals["items"]) == len(ledger["fills"])
    closed = await gateway.command("ann", "close_position", position_id=position["id"], order_type="market")
    assert closed["ok"], closed
    await gateway.until_order(closed["order_id"], state="FILLED")
    assert await gateway.positions() == []
    _, history = await gateway.ask("ann", "GET", "/oms/positions/history?account_ids=1")
    assert Decimal(history["items"][0]["realized_pnl"]) != 0


async def test_events_are_the_same_by_rest_and_by_stream(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with gateway.connect() as stream:
        for channel in CHANNELS:
            await stream.subscribe(channel, snapshot=False)
        sent = await gateway.send(order_type="market", price=None, qty="0.3")
        await gateway.until_order(sent["order_id"], state="FILLED")
        kept = await gateway.events()
        heard = await told(stream, len(kept))
    assert [event["sequence"] for event in kept] == list(range(1, len(kept) + 1))
    for channel, kind in CHANNELS.items():
        by_rest = [event for event in kept if event["channel"] == channel]
        by_stream = [message for message in heard if message["type"] == kind]
        assert [message["sequence"] for message in by_stream] == [event["channel_sequence"] for event in by_rest]
        for message, event in zip(by_stream, by_rest, strict=True):
            assert message["data"]["event"] == event["event"]
            assert message["data"].items() >= event["data"].items()


async def test_a_command_by_websocket_is_answered_there_and_is_one_with_rest(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with gateway.connect() as stream:
        order = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "50000"}
        first = await stream.command("send_order", request_id="once", **order)
        assert first["ok"]
        again = await gateway.send(request_id="once")
        assert (again["order_id"], again["replayed"]) == (first["order_id"], True)
        other = await gateway.send(request_id="once", qty="0.02")
        assert error(other) == "idempotency_conflict"
        canceled = await stream.command("cancel_order", order_id=first["order_id"])
        assert canceled["ok"]
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    assert len(ledger["orders"]) == 1


async def test_many_with_one_request_id_make_one_order(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    results = await asyncio.gather(*(gateway.send(request_id="same") for _ in range(8)))
    assert len({result["order_id"] for result in results}) == 1
    assert len((await gateway.exchange.get("/admin/ledger", account="ann"))["orders"]) == 1


@pytest.mark.every_server
async def test_events_resume_and_orders_go_on_after_a_restart(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with gateway.connect() as stream:
        at = await stream.subscribe("orders", snapshot=False)
        sent = await gateway.send()
        heard = await told(stream, 2)
    await gateway.send(qty="0.02")  # which that client misses
    await gateway.stop()
    await gateway.exchange.post(
        "fill", symbol="BTCUSDT", client_order_id=heard[0]["data"]["client_order_id"], account="ann"
    )
    await gateway.start()
    await gateway.until_order(sent["order_id"], state="FILLED")
    kept = [event for event in await gateway.events() if event["channel"] == "orders"]
    async with gateway.connect() as stream:
        resume = {"1": {"epoch": at["epoch"], "sequence": heard[-1]["sequence"]}}
        state = await stream.subscribe("orders", resume=resume)
        assert state["recovered"]
        missed = await told(stream, len(kept) - len(heard))
    numbers = [message["sequence"] for message in (*heard, *missed)]
    assert numbers == [event["channel_sequence"] for event in kept] == list(range(1, len(kept) + 1))
    (position,) = await gateway.positions()
    assert Decimal(position["qty"]) == Decimal("0.00999")


async def test_a_shutdown_lets_a_command_end_and_tells_what_came_of_it(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await gateway.exchange.fault("late", ms=700)
    sending = asyncio.create_task(gateway.send())

    async def arrived() -> list[Any]:
        return list((await gateway.exchange.get("/admin/ledger", account="ann"))["orders"])

    await gateway.until(lambda orders: orders, arrived)
    await gateway.stop()
    assert (await sending)["ok"]
    await gateway.start()
    assert [event["event"] for event in await gateway.events()] == ["order_created", "order_updated"]


async def test_a_kill_switch_lets_nothing_through_but_what_takes_orders_back(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send()
    await gateway.limits(trading_state="halted")
    assert error(await gateway.send()) == "risk_blocked"
    assert (await gateway.send("bob"))["ok"], "it is the account's"
    assert (await gateway.command("ann", "cancel_order", order_id=sent["order_id"]))["ok"]
    await gateway.limits(trading_state="active")
    assert (await gateway.send())["ok"]


async def test_nothing_is_priced_off_a_market_that_is_silent(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    assert (await gateway.send(order_type="market", price=None))["ok"]
    for stream in ("btcusdt@bookTicker", "btcusdt@ticker"):
        await gateway.exchange.fault("silent", stream=stream, pong=True)
    await gateway.limits(max_market_data_age_ms=200)
    refused = await gateway.until(
        lambda result: not result["ok"], lambda: gateway.send(order_type="market", price=None, qty="0.001")
    )
    assert error(refused) == "stale_market_data"
    await gateway.exchange.fault("clear")
    await gateway.limits(max_market_data_age_ms=5_000)
    await gateway.until(
        lambda result: result["ok"], lambda: gateway.send(order_type="market", price=None, qty="0.001")
    )  # fmt: skip


async def test_a_stop_loss_is_triggered_by_the_gateways_own_quotes(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send(order_type="market", price=None, qty="0.01")
    await gateway.until_order(sent["order_id"], state="FILLED")
    (position,) = await gateway.positions()
    stop = (await gateway.bid()) - 5
    changed = await gateway.command("ann", "position_change", position_id=position["id"], stop_loss=str(stop))
    assert changed["ok"], changed

    async def fall() -> list[dict[str, Any]]:
        if await gateway.bid() > stop:
            await gateway.market("SELL", "0.05")
        return await gateway.positions()

    await gateway.until(lambda positions: positions == [], fall)
    _, history = await gateway.ask("ann", "GET", "/oms/orders/history?account_ids=1")
    closing = max(history["items"], key=lambda order: order["id"])
    assert (closing["side"], closing["state"], closing["reason"]) == ("sell", "FILLED", "stop_loss")


async def test_orders_are_taken_back_when_nobody_says_that_they_should_stay(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send()
    assert (await gateway.command("ann", "cancel_all_after", timeout_ms=1_000))["ok"]
    await gateway.until_order(sent["order_id"], state="CANCELED")
    kept = await gateway.send()
    assert (await gateway.command("ann", "cancel_all_after", timeout_ms=60_000))["ok"]
    assert (await gateway.command("ann", "cancel_all_after", timeout_ms=0))["ok"]
    assert (await gateway.order(kept["order_id"]))["state"] == "SUBMITTED"


async def test_what_is_of_one_key_is_not_there_for_another(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    sent = await gateway.send("ann")
    status, answer = await gateway.ask("bob", "GET", f"/oms/orders/{sent['order_id']}")
    assert (status, answer["missing"]) == (200, [sent["order_id"]])
    status, answer = await gateway.ask("bob", "GET", "/oms/events?account_id=1")
    assert (status, answer["code"]) == (404, "account_not_found")
    body = {"account_id": 1, "command": "cancel_order", "payload": {"order_id": sent["order_id"]}}
    status, answer = await gateway.ask("bob", "POST", "/oms/commands", body)
    assert (status, answer["results"][0]["error"]["code"]) == (404, "account_not_found")
    assert error(await gateway.command("bob", "cancel_order", order_id=sent["order_id"])) == "order_not_found"
    async with gateway.connect("bob") as stream:
        await stream.tell(action="subscribe", channel="orders", account_ids=[1, 2])
        answer = await stream.take()
        assert answer["data"]["errors"] == {"1": "account_not_found"}
        assert [*answer["data"]["streams"]] == ["2"]
    assert (await gateway.order(sent["order_id"]))["state"] == "SUBMITTED"


@pytest.mark.parametrize("user", ["ann", "bob"])
async def test_a_batch_is_answered_in_its_order(gateway_with_orders: Ordering, user: str) -> None:
    gateway = gateway_with_orders
    account = {"ann": 1, "bob": 2}[user]
    order = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "50000"}
    bodies = [
        {"account_id": account, "command": "send_order", "payload": order},
        {"account_id": account, "command": "send_order", "payload": {**order, "symbol": "NO/SUCH"}},
        {"account_id": account, "command": "send_order", "payload": order, "validate": True},
    ]
    status, answer = await gateway.ask(user, "POST", "/oms/commands", bodies)
    assert (status, [error(result) for result in answer["results"]]) == (207, [None, "unknown_symbol", None])
    ledger = await gateway.exchange.get("/admin/ledger", account=user)
    assert len(ledger["orders"]) == 1


async def test_a_gateway_without_its_database_ends_as_any_other(own_server: Embedded) -> None:
    async with ordering(await database.make_database(own_server.dsn)) as gateway:
        await lose_database(own_server)
        await refuses(gateway)
        await asyncio.wait_for(gateway.stop(), 15)


async def test_the_database_lost_costs_orders_only_and_back_it_is_as_before(own_server: Embedded) -> None:
    async with ordering(await database.make_database(own_server.dsn)) as gateway:
        sent = await gateway.send()
        async with gateway.connect() as private, gateway.connect() as public:
            await private.subscribe("orders", snapshot=False)
            await public.tell(action="subscribe", channel="quotes", symbols=["BTC/USDT"])
            assert (await public.take())["type"] == "subscribed"
            await lose_database(own_server)
            await refuses(gateway)
            for _ in range(3):
                assert (await public.take())["type"] == "quote"
            await asyncio.to_thread(own_server.ensure)
            again = await gateway.until(lambda result: result["ok"], lambda: gateway.send(request_id="r"))
            assert "replayed" not in again
            assert (await gateway.command("ann", "cancel_order", order_id=sent["order_id"]))["ok"]
            heard = await told(private, 4)
        kept = [event["channel_sequence"] for event in await gateway.events() if event["channel"] == "orders"]
        assert [message["sequence"] for message in heard] == kept[-4:]
        assert len((await gateway.exchange.get("/admin/ledger", account="ann"))["orders"]) == 2


async def refuses(gateway: Ordering) -> None:
    """Without its database."""
    await gateway.until(lambda result: error(result) == "engine_unavailable", gateway.send)
    status, answer = await gateway.ask("ann", "POST", "/oms/commands", body_of("ann", "send_order", "r", RESTING))
    assert (status, error(answer["results"][0])) == (503, "engine_unavailable")
    status, answer = await gateway.ask("ann", "GET", "/oms/orders/open?account_ids=1")
    assert (status, answer["code"]) == (503, "engine_unavailable")
    status, answer = await gateway.ask("ann", "GET", "/readyz")
    assert (status, answer["checks"]) == (503, {"listening": True, "sources": True, "orders": False})


async def test_an_array_counts_for_the_rate_of_a_key_as_what_it_holds(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    auth = msgspec.structs.replace(gateway.config.auth, key_requests_per_s=0.5, key_requests_burst=40)
    gateway.config = msgspec.structs.replace(gateway.config, auth=auth)
    await gateway.restart()
    body = [{"account_id": 1, "command": "cancel_order", "payload": {"order_id": 99}} for _ in range(50)]
    status, _ = await gateway.ask("ann", "POST", "/oms/commands", body)
    assert status != 429, "the first request is within the rate"
    status, answer = await gateway.ask("ann", "POST", "/oms/commands", body[0])
    assert (status, answer["code"]) == (429, "rate_limited")
    assert answer["retry_after_ms"] > 5_000, "what was taken beyond the burst is owed"
