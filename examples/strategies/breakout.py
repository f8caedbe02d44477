"""A strategy on candles: buys when the close leaves the opening range upwards, sells when it falls out of it below.

An ordinary ccxt.pro program. Which exchange it trades on, and with what settings, stands in one file (`--exchange`). It
ends after so many trades, and sells what it has left.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import ccxt.pro


class Breakout:
    def __init__(self, exchange: Any, arguments: argparse.Namespace) -> None:
        self._exchange = exchange
        self._symbol = arguments.symbol
        self._timeframe = arguments.timeframe
        self._amount = arguments.amount
        self._band = arguments.band
        self._has = 0.0

    async def trade(self, times: int) -> None:
        candles = await self._exchange.fetch_ohlcv(self._symbol, self._timeframe, limit=10)
        high, low = max(candle[2] for candle in candles), min(candle[3] for candle in candles)
        print(f"range {low} to {high}", flush=True)
        while times:
            candles = await self._exchange.watch_ohlcv(self._symbol, self._timeframe)
            close = candles[-1][4]
            if close > high + self._band and not self._has:
                await self._order("buy", self._amount)
            elif close < low - self._band and self._has:
                await self._order("sell", self._has)
            else:
                continue
            times -= 1

    async def leave(self) -> None:
        if self._has:
            await self._order("sell", self._has)

    async def _order(self, side: str, amount: float) -> None:
        order = await self._exchange.create_order(self._symbol, "market", side, amount)
        while order["status"] == "open":
            order = await self._exchange.fetch_order(order["id"], self._symbol)
        self._has += order["filled"] if side == "buy" else -order["filled"]
        print(f"{side} {order['filled']} at {order['average']}", flush=True)


async def run(arguments: argparse.Namespace) -> None:
    where = json.loads(arguments.exchange.read_text(encoding="utf-8"))
    exchange = getattr(ccxt.pro, where["name"])(where["settings"])
    strategy = Breakout(exchange, arguments)
    try:
        await exchange.load_markets()
        await strategy.trade(arguments.times)
    finally:
        await strategy.leave()
        await exchange.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", type=Path, default=Path(__file__).with_name("exchange.json"))
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--timeframe", default="1m")
    parser.add_argument("--amount", type=float, default=0.01)
    parser.add_argument("--band", type=float, default=0.5)
    parser.add_argument("--times", type=int, default=3)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
