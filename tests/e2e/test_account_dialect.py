"""The account dialect on the whole product: who may watch, and a trade as who watches hears of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import ROOT
from tests.e2e.ordering import Ordering


async def take(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 30))
        if message["type"] == kind:
            return message


def url(gateway: Ordering, account: str, query: str = "") -> str:
    return f"ws://127.0.0.1:{gateway.app.port}/ws/account/{account}{query}"


async def token(gateway: Ordering, user: str) -> str:
    return str((await gateway.ask(user, "GET", "/api/ws/token"))[1]["token"])


async def test_a_position_is_opened_changed_and_closed_under_the_eyes_of_its_owner(
    gateway_with_orders: Ordering,
) -> None:
    gateway = gateway_with_orders
    async with connect(url(gateway, "1", f"?token={await token(gateway, 'ann')}")) as socket:
        assert json.loads(await socket.recv()) == {
            "type": "connected", "account_id": "1", "monitoring_interval": "1s",
        }  # fmt: skip
        begun = await take(socket, "account_update")
        assert begun["snapshot"]
        balance = begun["changes"]["balance"]["new"]
        await gateway.send(order_type="market", price=None, qty="0.01")
        opened = (await take(socket, "position_opened"))["position"]
        assert list(opened) == ["ticket", "symbol", "type", "volume", "price"]
        (held,) = await gateway.positions()
        assert (opened["symbol"], opened["type"], opened["volume"]) == ("BTC/USDT", "buy", float(held["qty"]))
        position_id = opened["ticket"]
        await gateway.command("ann", "position_change", position_id=position_id, stop_loss="1000")
        modified = await take(socket, "position_modified")
        assert (modified["ticket"], modified["changes"]) == (position_id, {"sl": {"old": None, "new": 1000}})
        await gateway.command("ann", "close_position", position_id=position_id, order_type="market")
        closed = await take(socket, "position_closed")
        stored = (await gateway.ask("ann", "GET", f"/oms/positions/{position_id}"))[1]["items"][0]
        assert (closed["ticket"], closed["profit"]) == (position_id, pytest.approx(float(stored["realized_pnl"])))
        assert closed["close_price"] > 0
        while (step := (await take(socket, "account_update"))["changes"].get("balance", {})).get("diff") is None:
            pass
        assert step["old"] != step["new"]
        assert balance > 0


async def test_an_account_is_its_owner_s_only(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    with pytest.raises(InvalidStatus) as refused:
        await connect(url(gateway, "1", f"?token={await token(gateway, 'bob')}"))
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"")["code"]) == (403, "permission_denied")
    async with connect(url(gateway, "1")) as socket:
        await socket.send(json.dumps({"type": "auth", "token": await token(gateway, "bob")}))
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


async def run_example(gateway: Ordering, user: str) -> tuple[int | None, str, str]:
    """`examples/account.py` on account 1 for one message: its status, and what it printed."""
    command = (sys.executable, str(ROOT / "examples" / "account.py"), "--count", "1")
    url = f"http://127.0.0.1:{gateway.app.port}"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, "--url", url, stdout=pipe, stderr=pipe, env={**os.environ, "KEY": gateway.keys[user]}
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_the_example_watches(gateway_with_orders: Ordering) -> None:
    status, out, err = await run_example(gateway_with_orders, "ann")
    assert (status, err) == (0, "")
    assert out.startswith("account_update balance None -> 1000000")
    assert await run_example(gateway_with_orders, "bob") == (1, "", "refused: 403\n")
