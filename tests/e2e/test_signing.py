"""Signed orders end to end: an account that takes no others, by every door, and the example that does it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE

import httpx

from oms import signing
from oms.signing import Signed, signed_text
from oms.store import admin
from oms.store.pool import open_pool
from tests.conftest import ROOT
from tests.e2e.ordering import WAIT_S, Ordering

ORDER = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "50000"}


async def require_signing(gateway: Ordering) -> None:
    """As the command line does it, and heard by the gateway that runs."""
    async with await open_pool(gateway.config.oms.database_url or "") as pool:
        await pool.execute("UPDATE accounts SET requires_signing = true WHERE id = 1")
        assert [row.requires_signing for row in await admin.accounts(pool)] == [True, False]

    async def shown() -> bool:
        _, accounts = await gateway.ask("ann", "GET", "/oms/accounts")
        (result,) = (await gateway.ask("ann", "POST", "/oms/commands", body()))[1]["results"]
        return bool(accounts["items"][0]["requires_signing"]) and not result["ok"]

    await gateway.until(lambda is_shown: is_shown, shown)


def body() -> dict[str, object]:
    return {"account_id": 1, "command": "cancel_all_orders", "payload": {}}


def headers_of(key: str, raw: bytes, idempotency_key: str = "", before: str = "") -> dict[str, str]:
    payload = f"{before}{idempotency_key}\n".encode() + raw
    unsigned = Signed("", time.time_ns() // 1_000_000, f"nonce-{time.time_ns()}", payload)
    sig = signing.sign(signing.commands_key(signing.secret_of(key), ""), signed_text(unsigned))
    made = {
        "x-tickwire-signature": sig, "x-tickwire-timestamp": str(unsigned.ts), "x-tickwire-nonce": unsigned.nonce,
        "content-type": "application/json", "x-api-key": key,
    }  # fmt: skip
    return made | ({"idempotency-key": idempotency_key} if idempotency_key else {})


async def test_an_account_that_takes_signed_commands_only(gateway_with_orders: Ordering) -> None:
    gateway, key = gateway_with_orders, gateway_with_orders.keys["ann"]
    await require_signing(gateway)
    status, told = await gateway.ask("ann", "POST", "/oms/commands", body())
    assert (status, told["results"][0]["error"]["details"]["reason"]) == (403, "signature_required")
    arguments = {"args": ["BTC/USDT", "limit", "buy", 0.01, 50000]}
    status, told = await gateway.ask("ann", "POST", "/ccxt/1/create_order", arguments)
    assert (status, told["code"]) == (403, "permission_denied")
    async with gateway.connect("ann") as stream:
        refused = (await stream.command("cancel_all_orders"))["error"]
        assert (refused["code"], refused["details"]["reason"]) == ("permission_denied", "signature_required")
    limits = "/oms/risk/1"
    assert (await gateway.ask("ann", "PATCH", limits, {"trading_state": "halted"}))[0] == 200, "what tightens is not"
    status, told = await gateway.ask("ann", "PATCH", limits, {"trading_state": "active"})
    assert (status, told["details"]["reason"]) == (403, "signature_required")
    giving = {"account_id": 1, "strategy_id": 0, "order_ids": [1]}
    status, told = await gateway.ask("ann", "POST", "/oms/reassign", giving)
    assert (status, told["details"]["reason"]) == (403, "signature_required")
    bobs = {**body(), "account_id": 2}
    assert (await gateway.ask("bob", "POST", "/oms/commands", bobs))[0] == 200, "another account is as it was"

    raw = json.dumps({"account_id": 1, "command": "send_order", "payload": ORDER}).encode()
    base = f"http://127.0.0.1:{gateway.app.port}/oms/commands"
    async with httpx.AsyncClient() as client:
        release = b'{"trading_state":"active"}'
        wrong = headers_of(key, release, before="PATCH\n/oms/risk/2")
        url = base.replace("/oms/commands", limits)
        assert (await client.patch(url, content=release, headers=wrong)).json()["details"][
            "reason"
        ] == "signature_invalid"
        right = headers_of(key, release, before=f"PATCH\n{limits}")
        assert (await client.patch(url, content=release, headers=right)).status_code == 200
        signed = headers_of(key, raw, "r1")
        changed = raw.replace(b"0.01", b"9.01")
        forged = await client.post(base, content=changed, headers=signed)
        assert (forged.status_code, forged.json()["details"]["reason"]) == (403, "signature_invalid")
        other = await client.post(base, content=raw, headers=signed | {"idempotency-key": "r2"})
        assert (other.status_code, other.json()["details"]["reason"]) == (403, "signature_invalid")
        sent = await client.post(base, content=raw, headers=signed)
        assert (sent.status_code, sent.json()["results"][0]["ok"]) == (200, True)
        again = await client.post(base, content=raw, headers=signed)
        assert (again.status_code, again.json()["details"]["reason"]) == (403, "nonce_reused")
        half = {name: value for name, value in headers_of(key, raw).items() if "nonce" not in name}
        assert (await client.post(base, content=raw, headers=half)).status_code == 422
    assert [
        order["id"] for order in (await gateway.ask("ann", "GET", "/oms/orders/open?account_ids=1"))[1]["items"]
    ] == [1]


async def test_the_example_signs_and_checks(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    await require_signing(gateway)
    url = f"ws://127.0.0.1:{gateway.app.port}/v1/stream"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "examples" / "signed.py"), "--url", url,
        stdout=PIPE, stderr=PIPE, env={**os.environ, "KEY": gateway.keys["ann"]},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    lines = out.decode().splitlines()
    assert (process.returncode, err) == (0, b"")
    assert "PENDING_SUBMIT True" in lines
    assert "SUBMITTED True" in lines
    assert not any("False" in line for line in lines)
