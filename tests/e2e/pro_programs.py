"""What a program on the pro driver does in a test: it watches in loops, trades, and keeps all that it was told.

Holds loops and what they saw. Must not know what becomes of the gateway meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from ccxt.base.errors import ExchangeError

from driver.pro import OmsCcxtProExchange

BTC = "BTC/USDT"


class Program:
    """Loops of one client; an error in one of them fails the test."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.gaps: list[Any] = []
        self.exchange: Any = OmsCcxtProExchange({"on_gap": self.gaps.append, **config})
        self.fills: list[dict[str, Any]] = []
        self.orders: dict[str, list[str]] = {}  # every status an order was seen with
        self.seen: dict[str, list[float]] = {}  # when something came, by what it is
        self.made: list[dict[str, Any]] = []
        self.unread: list[dict[str, Any]] = []  # made, and no answer tells what became of them
        self.refused: list[str] = []
        self._loops: dict[Callable[[], Any], asyncio.Task[None]] = {}

    def run(self, *loops: Callable[[], Any]) -> None:
        """Call each of these again and again."""
        self._loops.update({loop: asyncio.create_task(self._again(loop)) for loop in loops})

    async def _again(self, loop: Callable[[], Any]) -> None:
        while True:
            await loop()

    async def until(self, holds: Callable[[], Any], timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                for loop in self._loops.values():
                    if loop.done():
                        loop.result()
                await asyncio.sleep(0.005)

    async def more_trades(self, count: int) -> None:
        """Made by the loop."""
        reached = len(self.made) + count
        await self.until(lambda: len(self.made) >= reached)

    async def stop(self) -> None:
        await self.end(*self._loops)

    async def end(self, *loops: Callable[[], Any]) -> None:
        """Call these no more. Raises what they did."""
        ended = [self._loops.pop(loop) for loop in loops]
        for loop in ended:
            loop.cancel()
        results = await asyncio.gather(*ended, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    def came(self, what: str) -> None:
        self.seen.setdefault(what, []).append(time.monotonic())

    def since(self, what: str, moment: float) -> float | None:
        """How long after that moment the first of these came, in seconds."""
        return next((when - moment for when in self.seen.get(what, ()) if when > moment), None)

    # Loops

    async def ticker(self) -> None:
        ticker = await self.exchange.watch_ticker(BTC)
        assert ticker["bid"] < ticker["ask"]
        if not ticker["info"].get("stale"):  # while there is no gateway it says so, and is no price
            self.came("ticker")

    async def book(self) -> None:
        book = await self.exchange.watch_order_book(BTC)
        assert book["bids"][0][0] < book["asks"][0][0]
        self.came("book")

    async def trades(self) -> None:
        await self.exchange.watch_trades(BTC)
        self.came("trades")

    async def my_trades(self) -> None:
        self.fills += await self.exchange.watch_my_trades()
        self.came("fills")

    async def my_orders(self) -> None:
        for order in await self.exchange.watch_orders():
            self.orders.setdefault(order["id"], []).append(order["status"])
        self.came("orders")

    async def trade(self) -> None:
        """A market order, small. One that a gateway died with before it was sent is refused for good."""
        name = f"pro-{len(self.made) + len(self.unread) + len(self.refused)}"
        side = "sell" if len(self.made) % 2 else "buy"
        try:
            order = await self.exchange.create_order_ws(BTC, "market", side, 0.001, None, {"clientOrderId": name})
        except ExchangeError:
            self.refused.append(name)
            return
        if order["filled"] is None:  # done, and the gateway died before it could be read
            assert order["status"] == "open", order
            self.unread.append(order)
            return
        assert order["status"] == "closed", order
        self.made.append(order)
        self.came("made")


@asynccontextmanager
async def program(config: dict[str, Any]) -> AsyncIterator[Program]:
    made = Program(config)
    try:
        await made.exchange.load_markets()
        yield made
    finally:
        try:
            await made.stop()
        finally:
            await made.exchange.close()


def fills_of(ledger: dict[str, Any]) -> dict[str, Decimal]:
    """How much was traded in each trade of an account, as its exchange has it."""
    return {str(fill["trade_id"]): Decimal(fill["qty"]) for fill in ledger["fills"]}


def told_of(fills: Iterable[dict[str, Any]]) -> dict[str, Decimal]:
    """The same as the program was told: one trade that turns a position is two deals."""
    told: dict[str, Decimal] = defaultdict(Decimal)
    ids = set()
    for fill in fills:
        assert fill["id"] not in ids, "twice"
        ids.add(fill["id"])
        told[fill["info"]["exchange_trade_id"]] += Decimal(fill["info"]["qty"])
    return dict(told)
