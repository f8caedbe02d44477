"""The driver through a proxy that speaks TLS, as ccxt users set what certificates they believe."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ccxt
import pytest
from urllib3.exceptions import InsecureRequestWarning

from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.pro import OmsCcxtProExchange
from driver.sync import OmsCcxtExchange as SyncExchange
from tests import certificates
from tests.e2e.ordering import Ordering

BTC = "BTC/USDT"
KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "sync": SyncExchange, "async": AsyncExchange, "pro": OmsCcxtProExchange,
}  # fmt: skip


@asynccontextmanager
async def tls_proxy(files: certificates.Files, port: int) -> AsyncIterator[int]:
    """Takes TLS off and passes the rest on; its own port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    passing: set[asyncio.Task[None]] = set()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one end is gone, and so the other one is closed
        finally:
            writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        for ends in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(passed(*ends))
            passing.add(task)
            task.add_done_callback(passing.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


@asynccontextmanager
async def client(gateway: Ordering, kind: str, port: int, **config: Any) -> AsyncIterator[Callable[..., Any]]:
    """`call("fetch_time")`, in any kind awaited."""
    at = f"127.0.0.1:{port}"
    exchange = KINDS[kind]({
        "apiKey": gateway.keys["ann"], "urls": {"api": {"rest": f"https://{at}", "ws": f"wss://{at}/v1/stream"}},
        "options": {"account_id": 1, "retries": 1}, **config,
    })  # fmt: skip

    async def call(method: str, *arguments: Any) -> Any:
        called = getattr(exchange, method)
        return await (asyncio.to_thread(called, *arguments) if kind == "sync" else called(*arguments))

    try:
        yield call
    finally:
        await call("close")


@pytest.mark.filterwarnings(f"ignore::{InsecureRequestWarning.__module__}.{InsecureRequestWarning.__name__}")
async def test_orders_and_streams_go_over_tls_to_who_is_believed(gateway_with_orders: Ordering, tmp_path: Path) -> None:
    gateway, files = gateway_with_orders, certificates.issue(tmp_path)
    believed = tmp_path / "authority.pem"
    certificates.authority().cert_pem.write_to_path(str(believed))
    async with tls_proxy(files, gateway.app.port) as port:
        for kind in KINDS:
            for settings in ({"cafile": str(believed)}, {"verify": False}):
                async with client(gateway, kind, port, **settings) as call:
                    order = await call("create_order", BTC, "limit", "buy", 0.01, 50000)
                    assert (await call("cancel_order", order["id"], BTC))["status"] == "canceled"
                    if kind == "pro":
                        assert (await call("watch_ticker", BTC))["bid"] > 0
                        over_socket = await call("create_order_ws", BTC, "limit", "buy", 0.01, 50000)
                        assert (await call("cancel_order_ws", over_socket["id"]))["status"] == "canceled"
            async with client(gateway, kind, port) as call:
                with pytest.raises(ccxt.NetworkError) as raised:
                    await call("fetch_time")
                assert "certificate" in f"{raised.value} {raised.value.__cause__}".lower()
