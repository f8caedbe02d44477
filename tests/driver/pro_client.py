"""A pro client of the gateway of the test, and messages as that gateway's streams bring them.

Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from driver.books import checksum
from driver.pro import OmsCcxtProExchange
from tests.driver.stream_server import KEY, StreamServer, stream_server, until_idle

NAME = "sim:BTC/USDT"
WAIT_S = 20.0  # then who still waits is told


class Pro:
    """The client and its server."""

    def __init__(self, server: StreamServer, **config: Any) -> None:
        self.server = server
        self.exchange: Any = OmsCcxtProExchange(self.config(**config))
        self.gaps: list[Any] = []
        self.exchange.on_gap = self.gaps.append

    def config(self, options: Any = None, **more: Any) -> dict[str, Any]:
        given = {"account_id": 1, "base_url": self.server.url, "retries": {"delay_ms": 1}, **(options or {})}
        return {"apiKey": KEY, "enableRateLimit": False, "options": given, **more}

    async def subscribed(self, waiting: Coroutine[Any, Any, Any], count: int = 1) -> asyncio.Task[Any]:
        """A watch call that has subscribed (the `count`-th request) and waits."""
        task = asyncio.create_task(waiting)
        await self.server.until_asked("subscribe", count)
        await until_idle(task)
        return task

    async def update(self, channel: str, sequence: int, kind: str = "update", name: str = NAME, **data: Any) -> None:
        await self.server.say(update(channel, sequence, kind, name, **data))


def update(channel: str, sequence: int, kind: str = "update", name: str = NAME, **data: Any) -> dict[str, Any]:
    """As the gateway says it: of the epoch that it named in its answer."""
    return {
        "type": channel.removesuffix("s"), "channel": channel, "kind": kind, "epoch": f"{channel}-{name}",
        "sequence": sequence, "timestamp": "2026-11-21T09:02:54.043Z", "t_ex": 1_795_251_774_043,
        "t_in": 1_795_251_774_043_000_000, "t_out": 1_795_251_774_044_000_000, "data": data,
    }  # fmt: skip


def quote(bid: float) -> dict[str, Any]:
    return {"bid": bid, "ask": bid + 1, "last": bid, "bid_size": 1, "ask_size": 2, "volume": 3}


def trade(number: int) -> dict[str, Any]:
    return {"price": 60_000.5, "size": 0.5, "side": "buy", "trade_id": str(number)}


def bar(minute: int, close: float) -> dict[str, Any]:
    time = f"2026-11-21T09:{minute:02}:00.000Z"
    return {"open": 1, "high": 9, "low": 1, "close": close, "volume": 2, "timestamp": time, "closed": False}


def book(bid: float, ask: float) -> dict[str, Any]:
    return {"bids": [[bid, 1]], "asks": [[ask, 2]], "checksum": checksum([[ask, 2.0]], [[bid, 1.0]])}


def order(number: int, version: int = 1, **more: Any) -> dict[str, Any]:
    """As driver.mappers reads one."""
    return {
        "id": number, "account_id": 1, "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.5",
        "client_order_id": f"mine-{number}", "price": "59000", "trigger_price": None, "time_in_force": "GTC",
        "expires_at": None, "post_only": False, "reduce_only": False, "stop_loss": None, "stop_gain": None,
        "strategy_id": 0, "position_id": 0, "reason": "", "comment": "", "params": {}, "state": "SUBMITTED",
        "status": "open", "exchange_order_id": "77", "filled": "0", "remaining": "0.5", "average_price": None,
        "replaces": 0, "error_code": None, "error_message": None, "flags": [], "exchange_time": None,
        "created_at": "2026-11-21T09:02:54.043Z", "updated_at": "2026-11-21T09:02:54.043Z", "closed_at": None,
        "version": version, "event": "order_updated", **more,
    }  # fmt: skip


def deal(number: int, order_id: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "account_id": 1, "order_id": order_id, "position_id": 3, "symbol": "BTC/USDT", "side": "buy",
        "qty": "0.5", "price": "59000", "exchange_trade_id": f"x{number}", "fee": "1.5", "fee_currency": "USDT",
        "more_fees": {}, "realized_pnl": "0", "strategy_id": 0, "maker": True, "reason": "", "event": "deal_created",
        "executed_at": "2026-11-21T09:02:54.100Z", "created_at": "2026-11-21T09:02:54.100Z", **more,
    }  # fmt: skip


def position(number: int, qty: str = "0.5", version: int = 1, **more: Any) -> dict[str, Any]:
    is_open = qty != "0"
    return {
        "id": number, "account_id": 1, "symbol": "BTC/USDT", "strategy_id": 0, "qty": qty,
        "side": "short" if qty.startswith("-") else "long", "entry_price": "59000",
        "realized_pnl": "0", "fees": {}, "inverse": False, "contract_size": "1", "stop_loss": None, "stop_gain": None,
        "comment": "", "reason": "", "state": "open" if is_open else "closed", "net_key": "1:BTC/USDT",
        "opened_at": "2026-11-21T09:02:54.100Z", "updated_at": "2026-11-21T09:02:54.100Z", "closed_at": None,
        "version": version, "event": "position_updated" if is_open else "position_closed", **more,
    }  # fmt: skip


@asynccontextmanager
async def pro_client(**config: Any) -> AsyncIterator[Pro]:
    async with stream_server() as server:
        pro = Pro(server, **config)
        too_long = AssertionError(f"nothing came within {WAIT_S} s")
        timer = asyncio.get_running_loop().call_later(WAIT_S, lambda: pro.exchange.hub.fail(too_long))
        try:
            yield pro
        finally:
            timer.cancel()
            await pro.exchange.close()
