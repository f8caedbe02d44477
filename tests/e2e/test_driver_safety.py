"""The driver behind a proxy that answers for the gateway: no order is made twice, none that is there is called refused.

On a real gateway in front of the simulated exchange, whose ledger is what counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from ccxt.base.errors import ExchangeError, RequestTimeout

from driver.async_ import OmsCcxtExchange
from driver.pro import OmsCcxtProExchange
from tests.e2e.ordering import Ordering

BTC = "BTC/USDT"
LIMIT = (BTC, "limit", "buy", 0.001, 50_000)
PASSED_ON = ("x-api-key", "content-type", "prefer")
COMMANDS = "POST /oms/commands"
LOST = None  # the answer is

Forward = Callable[[], Awaitable[web.Response]]
Rule = Callable[[int, str, Forward], Awaitable[web.Response | None]]


@asynccontextmanager
async def answered_by(gateway: Ordering, rule: Rule) -> AsyncIterator[int]:
    """A port; `rule` makes the answer to the nth request of a line such as `GET /path`, LOST when there is none."""
    asked: dict[str, int] = {}

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        line = f"{request.method} {request.path}"
        asked[line] = asked.get(line, 0) + 1

        async def forward() -> web.Response:
            headers = {name: value for name, value in request.headers.items() if name.lower() in PASSED_ON}
            url = f"http://127.0.0.1:{gateway.app.port}{request.path_qs}"
            async with http.request(request.method, url, data=body, headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

        made = await rule(asked[line], line, forward)
        if made is LOST:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return made

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    async with aiohttp.ClientSession() as http:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


def config_of(gateway: Ordering, port: int, **options: Any) -> dict[str, Any]:
    return {
        "apiKey": gateway.keys["ann"], "hostname": f"127.0.0.1:{port}", "timeout": 5_000,
        "options": {"account_id": 1, "retries": {"delay_ms": 5, "delay_ms_max": 20}, **options},
    }  # fmt: skip


async def ledger(gateway: Ordering) -> list[tuple[str, str]]:
    orders = (await gateway.exchange.get("/admin/ledger", account="ann"))["orders"]
    return [(order["client_order_id"], order["status"]) for order in orders]


def elsewhere(status: int) -> web.Response:
    return web.Response(status=status, text="default backend")


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_what_a_proxy_says_to_the_second_try_makes_no_second_order(
    gateway_with_orders: Ordering, status: int
) -> None:
    """The first is carried out, and its answer lost."""

    async def rule(number: int, line: str, forward: Forward) -> web.Response | None:
        if line != COMMANDS:
            return await forward()
        if number > 1:
            return elsewhere(status)
        await forward()
        return LOST

    gateway = gateway_with_orders
    async with answered_by(gateway, rule) as port, OmsCcxtExchange(config_of(gateway, port)) as exchange:
        with pytest.raises(RequestTimeout, match="look for clientOrderId mine") as raised:
            await exchange.create_order(*LIMIT, {"clientOrderId": "mine"})
        assert not isinstance(raised.value, ExchangeError)
        assert await ledger(gateway) == [("mine", "NEW")]
        assert (await exchange.fetch_order(None, BTC, {"clientOrderId": "mine"}))["status"] == "open"


async def test_a_proxy_that_has_lost_the_gateway_for_a_while_is_outlasted(gateway_with_orders: Ordering) -> None:
    async def rule(number: int, line: str, forward: Forward) -> web.Response | None:
        if line == COMMANDS and number in {1, 3}:
            await forward()
            return LOST
        return elsewhere(404) if line == COMMANDS and number == 2 else await forward()

    gateway = gateway_with_orders
    async with answered_by(gateway, rule) as port, OmsCcxtExchange(config_of(gateway, port)) as exchange:
        made = await exchange.create_order(*LIMIT, {"clientOrderId": "mine"})
    assert (made["status"], made["clientOrderId"]) == ("open", "mine")
    assert await ledger(gateway) == [("mine", "NEW")]


@pytest.mark.parametrize("status", [404, 405, 403, 502])
async def test_an_order_that_cannot_be_read_is_neither_made_again_nor_an_exception(
    gateway_with_orders: Ordering, status: int
) -> None:
    async def rule(_: int, line: str, forward: Forward) -> web.Response | None:
        is_read = line.startswith(("GET /oms/orders/", "GET /oms/deals"))
        return elsewhere(status) if is_read else await forward()

    gateway = gateway_with_orders
    async with answered_by(gateway, rule) as port, OmsCcxtExchange(config_of(gateway, port)) as exchange:
        made = await exchange.create_order(BTC, "market", "buy", 0.001, None, {"clientOrderId": "mine"})
        assert made["status"] in {"open", "closed"}
        await gateway.until_order(int(made["id"]), state="FILLED")
        rests = await exchange.create_order(*LIMIT)
        assert (await exchange.cancel_order(rests["id"], BTC))["status"] == "canceled"
        several = await exchange.create_orders([
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.001, "price": 50_000 + number}
            for number in range(2)
        ])  # fmt: skip
        assert [each["status"] for each in several] == ["open", "open"]
        closing = await exchange.close_position(BTC)
        await gateway.until_order(int(closing["id"]), state="FILLED")
    assert sorted(status for _, status in await ledger(gateway)) == ["CANCELED", "FILLED", "FILLED", "NEW", "NEW"]


async def test_a_gateway_without_commands_is_asked_in_the_name_of_the_same_strategy(
    gateway_with_orders: Ordering,
) -> None:
    missing = '{"code": "unsupported_action", "message": "no such path", "request_id": "x"}'

    async def rule(_: int, line: str, forward: Forward) -> web.Response | None:
        is_command = line == COMMANDS
        return (
            web.Response(status=404, text=missing, content_type="application/json") if is_command else await forward()
        )

    gateway = gateway_with_orders
    _, made = await gateway.ask("root", "POST", "/oms/strategies", {"account_id": 1, "name": "seven"})
    async with (
        answered_by(gateway, rule) as port,
        OmsCcxtExchange(config_of(gateway, gateway.app.port)) as other,
        OmsCcxtExchange(config_of(gateway, port, strategy_id=made["id"])) as exchange,
    ):
        await other.create_order(*LIMIT, {"clientOrderId": "of-another"})
        own = await exchange.create_order(*LIMIT, {"clientOrderId": "of-seven"})
        assert own["info"]["strategy_id"] == made["id"]
        assert [each["clientOrderId"] for each in await exchange.cancel_all_orders()] == ["of-seven"]
    assert sorted(await ledger(gateway)) == [("of-another", "NEW"), ("of-seven", "CANCELED")]


async def test_what_went_over_the_socket_is_not_refused_by_who_refuses_the_next_connection(
    gateway_with_orders: Ordering,
) -> None:
    gateway = gateway_with_orders
    connections = 0

    async def stream(request: web.Request) -> web.StreamResponse:
        """The first connection ends in place of the answer to a command; there is no other."""
        nonlocal connections
        connections += 1
        if connections > 1:
            return elsewhere(403)
        client = web.WebSocketResponse()
        await client.prepare(request)
        url = f"http://127.0.0.1:{gateway.app.port}/v1/stream"
        headers = {"x-api-key": request.headers["x-api-key"]}
        async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as behind:
            await behind.send_str(await client.receive_str())
            while '"command_result"' not in (text := await behind.receive_str()):
                await client.send_str(text)
        assert request.transport is not None
        request.transport.abort()
        return client

    app = web.Application()
    app.router.add_get("/v1/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/v1/stream"
        async with OmsCcxtProExchange(config_of(gateway, gateway.app.port, ws_url=url)) as exchange:
            with pytest.raises(RequestTimeout, match="look for clientOrderId mine"):
                await exchange.create_order_ws(*LIMIT, {"clientOrderId": "mine"})
            assert (await exchange.fetch_order(None, BTC, {"clientOrderId": "mine"}))["status"] == "open"
    finally:
        await runner.cleanup()
    assert await ledger(gateway) == [("mine", "NEW")]
