"""The programs of examples/strategies as processes, each with somebody who moves its market when it waits for that.

What moves a market is told by the exchange's ledger alone, so that it is the same whatever the program trades through.
Holds how they are run and what they did. Must not know what a test asserts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import ROOT
from tests.e2e.processes import POLL_S, Exchange

PROGRAMS = ROOT / "examples" / "strategies"
PATIENCE_S = 60.0  # ccxt is large, and a busy machine loads several at once
ORDER = ("side", "type", "time_in_force", "price", "stop_price", "qty", "executed_qty", "executed_quote_qty", "status")
FILL = ("side", "price", "qty", "quote_qty", "fee", "fee_asset", "maker")

Row = dict[str, Any]


class Traded(NamedTuple):
    """What an account did in a market, in order, without ids and times."""

    orders: list[Row]
    fills: list[Row]


async def traded(exchange: Exchange, account: str, market: str) -> Traded:
    ledger = await exchange.get("/admin/ledger", account=account)
    orders = [{name: row[name] for name in ORDER} for row in ledger["orders"] if row["symbol"] == market]
    fills = [{name: row[name] for name in FILL} for row in ledger["fills"] if row["symbol"] == market]
    return Traded(orders, fills)


class Market:
    """One market of the exchange, where one account trades and what else happens is commanded."""

    def __init__(self, exchange: Exchange, account: str, symbol: str) -> None:
        self.exchange = exchange
        self.account = account
        self.symbol = symbol
        self.name = symbol.replace("/", "")
        self.heard: asyncio.Queue[str] = asyncio.Queue()  # what the program said

    async def until(self, orders: int, *, open_: int | None = None) -> list[Row]:
        """The account's orders once there are so many, and so many of them open."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ledger = await self.exchange.get("/admin/ledger", account=self.account)
                rows = [row for row in ledger["orders"] if row["symbol"] == self.name]
                if len(rows) >= orders and open_ in (None, len(resting(rows))):
                    return rows
                await asyncio.sleep(POLL_S)

    async def listened_to(self) -> None:
        """Somebody, program or gateway, has subscribed to a stream of it."""
        prefix = f"{self.name.lower()}@"
        await self.exchange.until(
            lambda status: any(
                stream["subscribers"] for name, stream in status["streams"].items() if name.startswith(prefix)
            )
        )

    async def move(self, side: str, size: str) -> None:
        """Somebody else's market order."""
        await self.exchange.post("trade", symbol=self.name, side=side, size=size)

    async def fill(self, order: Row) -> None:
        await self.exchange.post("fill", symbol=self.name, order_id=order["order_id"], account=self.account)


def resting(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] in {"NEW", "PARTIALLY_FILLED"}]


async def follow_grid(market: Market) -> None:
    """The best bid, the best ask, the bid that came back, and the best ask again."""
    for number, side in enumerate(("BUY", "SELL", "BUY", "SELL")):
        rows = [row for row in resting(await market.until(6 + number, open_=6)) if row["side"] == side]
        prices = sorted(rows, key=lambda row: float(row["price"]), reverse=side == "BUY")
        await market.fill(prices[0])


async def follow_maker(market: Market) -> None:
    """The market goes through the ask, through the bid, and on without them."""
    for number, (side, size) in enumerate((("BUY", "6"), ("SELL", "10"), ("SELL", "6")), 1):
        await market.until(2 * number, open_=2)
        await market.move(side, size)


async def follow_breakout(market: Market) -> None:
    """Once it has its range and somebody listens: up, down, and up again, each time far out of it."""
    assert (await market.heard.get()).startswith("range ")
    await market.listened_to()
    for number, (side, size) in enumerate((("BUY", "60"), ("SELL", "130"), ("BUY", "70"))):
        await market.until(number)
        await market.move(side, size)


async def leave_alone(_market: Market) -> None:
    """The program does everything itself."""


class Program(NamedTuple):
    """`follow` moves the market while it runs."""

    script: str
    symbol: str
    arguments: tuple[str, ...]
    follow: Callable[[Market], Coroutine[None, None, None]]


MAKING = ("--times", "3", "--amount", "0.02", "--spread", "0.2", "--tolerance", "0.1")
SLICING = ("--amount", "5", "--slices", "4", "--slippage", "0.0001", "--pause-s", "0.1")
STRATEGIES = (
    Program("grid.py", "BTC/USDT", ("--fills", "4", "--pause-s", "0.1"), follow_grid),
    Program("market_maker.py", "ETH/USDT", MAKING, follow_maker),
    Program("twap.py", "BNB/USDT", SLICING, leave_alone),
    Program("breakout.py", "SOL/USDT", ("--amount", "1", "--band", "0.05"), follow_breakout),
)
REPORT = Program("report.py", "BTC/USDT", (), leave_alone)


async def run(market: Market, program: Program, settings: Path, *through: str) -> list[str]:
    """The program to its end, started by `python THROUGH..`; the lines it printed."""
    arguments = ("--symbols" if program.script == "report.py" else "--symbol", program.symbol, *program.arguments)
    command = (*through, str(PROGRAMS / program.script), "--exchange", str(settings), *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *command, stdout=pipe, stderr=pipe, cwd=ROOT, env={**os.environ}
    )
    try:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(program.follow(market))
            errors = tasks.create_task(_all_of(process.stderr))
            said = [line async for line in _lines_of(process.stdout, market.heard)]
            assert await process.wait() == 0, await errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert not errors.result(), errors.result()
    return said


async def _all_of(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await stream.read()).decode()


async def _lines_of(stream: asyncio.StreamReader | None, heard: asyncio.Queue[str]) -> AsyncIterator[str]:
    assert stream is not None
    while line := (await stream.readline()).decode().rstrip():
        heard.put_nowait(line)
        yield line


def settings_of(folder: Path, name: str, settings: dict[str, Any]) -> Path:
    """The file that says where to trade."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"name": name, "settings": settings}), encoding="utf-8")
    return file
