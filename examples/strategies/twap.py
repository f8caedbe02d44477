"""TWAP: an amount bought or sold in equal slices, one after another in equal times, at what the book asks then.

An ordinary program for ccxt.async_support. Which exchange it trades on, and with what settings, stands in one file
(`--exchange`). What a slice leaves over is added to the next one; after the last slice it ends.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import ccxt.async_support


async def slice_of(exchange: Any, symbol: str, side: str, amount: float, slippage: float) -> dict[str, Any]:
    """Take what there is within the slippage; the order as it ended."""
    book = await exchange.fetch_order_book(symbol, 20)
    best = book["asks" if side == "buy" else "bids"][0][0]
    limit = best * (1 + slippage if side == "buy" else 1 - slippage)
    price = float(exchange.price_to_precision(symbol, limit))
    order = await exchange.create_order(symbol, "limit", side, amount, price, {"timeInForce": "IOC"})
    while order["status"] == "open":
        order = await exchange.fetch_order(order["id"], symbol)
    return dict(order)


async def run(arguments: argparse.Namespace) -> None:
    where = json.loads(arguments.exchange.read_text(encoding="utf-8"))
    exchange = getattr(ccxt.async_support, where["name"])(where["settings"])
    symbol, left, cost = arguments.symbol, arguments.amount, 0.0
    try:
        await exchange.load_markets()
        for number in range(arguments.slices, 0, -1):
            amount = float(exchange.amount_to_precision(symbol, left / number))
            order = await slice_of(exchange, symbol, arguments.side, amount, arguments.slippage)
            left -= order["filled"]
            cost += order["cost"]
            print(f"{arguments.side} {order['filled']} of {amount} at {order['average']}", flush=True)
            if number > 1:
                await asyncio.sleep(arguments.pause_s)
    finally:
        await exchange.close()
    done = arguments.amount - left
    print(f"{done:.8g} {symbol} at {cost / done if done else 0:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", type=Path, default=Path(__file__).with_name("exchange.json"))
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--side", choices=("buy", "sell"), default="buy")
    parser.add_argument("--amount", type=float, default=0.05)
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--slippage", type=float, default=0.00001)
    parser.add_argument("--pause-s", type=float, default=1.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
