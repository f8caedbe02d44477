"""A market maker: a bid and an ask around the middle of the book, laid anew whenever the middle has moved.

An ordinary ccxt.pro program. Which exchange it trades on, and with what settings, stands in one file (`--exchange`). It
ends after it has quoted so many times and takes back what rests.
"""

import argparse
import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import ccxt.pro


class Maker:
    def __init__(self, exchange: Any, arguments: argparse.Namespace) -> None:
        self._exchange = exchange
        self._symbol = arguments.symbol
        self._amount = arguments.amount
        self._spread = arguments.spread
        self._tolerance = arguments.tolerance
        self._quotes: list[str] = []

    async def quote(self, times: int) -> None:
        """Follow the book until the last quotes would have to move."""
        quoted: float | None = None
        while True:
            book = await self._exchange.watch_order_book(self._symbol)
            middle = (book["bids"][0][0] + book["asks"][0][0]) / 2
            if quoted is not None and abs(middle - quoted) < self._tolerance:
                continue
            await self.lift()
            if not times:
                return
            times -= 1
            quoted = middle
            await self._place("buy", middle - self._spread)
            await self._place("sell", middle + self._spread)
            print(f"quoted around {self._exchange.price_to_precision(self._symbol, middle)}", flush=True)

    async def tell_fills(self) -> None:
        while True:
            for trade in await self._exchange.watch_my_trades(self._symbol):
                print(f"{trade['side']} {trade['amount']} at {trade['price']}", flush=True)

    async def lift(self) -> None:
        while self._quotes:
            with contextlib.suppress(ccxt.pro.InvalidOrder):  # it was filled in the meantime
                await self._exchange.cancel_order(self._quotes[-1], self._symbol)
            self._quotes.pop()

    async def _place(self, side: str, price: float) -> None:
        rounded = float(self._exchange.price_to_precision(self._symbol, price))
        order = await self._exchange.create_order(self._symbol, "limit", side, self._amount, rounded)
        self._quotes.append(order["id"])


async def run(arguments: argparse.Namespace) -> None:
    where = json.loads(arguments.exchange.read_text(encoding="utf-8"))
    exchange = getattr(ccxt.pro, where["name"])(where["settings"])
    maker = Maker(exchange, arguments)
    try:
        await exchange.load_markets()
        telling = asyncio.create_task(maker.tell_fills())
        quoting = asyncio.create_task(maker.quote(arguments.times))
        done, _ = await asyncio.wait({telling, quoting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        telling.cancel()
    finally:
        await maker.lift()
        await exchange.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", type=Path, default=Path(__file__).with_name("exchange.json"))
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--amount", type=float, default=0.001)
    parser.add_argument("--spread", type=float, default=1.0, help="of each quote, from the middle")
    parser.add_argument("--tolerance", type=float, default=0.5, help="how far the middle may move")
    parser.add_argument("--times", type=int, default=5)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
