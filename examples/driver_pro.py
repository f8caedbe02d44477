"""The best prices, and what becomes of orders, as it happens. Needs a running `tickwire demo`, and its key in KEY."""

import argparse
import asyncio
import os

import ccxt.pro as ccxt

import driver

SYMBOL = "BTC/USDT"


async def prices(exchange: ccxt.Exchange, rounds: int) -> None:
    for _ in range(rounds):
        book = await exchange.watch_order_book(SYMBOL, 5)
        print("book:", *book["bids"][0], "/", *book["asks"][0], flush=True)


async def fills(exchange: ccxt.Exchange, amount: float) -> None:
    """Until so much was traded."""
    traded = 0.0
    while traded < amount - 1e-9:
        for trade in await exchange.watch_my_trades(SYMBOL):
            traded += trade["amount"]
            print("fill:", trade["side"], trade["amount"], "at", trade["price"], flush=True)


async def main(hostname: str, key: str, account: int, rounds: int) -> None:
    driver.register()
    config = {"apiKey": key, "hostname": hostname, "options": {"account_id": account}}
    async with ccxt.tickwire(config) as exchange:
        exchange.on_gap = lambda gap: print("lost:", gap, flush=True)
        await exchange.load_markets()
        watching = asyncio.create_task(fills(exchange, 0.019))
        await prices(exchange, rounds)
        bought = await exchange.create_market_buy_order_ws(SYMBOL, 0.01)
        print("bought:", bought["filled"], "for", bought["cost"], flush=True)
        sold = await exchange.create_market_sell_order_ws(SYMBOL, 0.009)
        print("sold:", sold["filled"], "for", sold["cost"], flush=True)
        await watching


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="127.0.0.1:8765", help="its host and port")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        asyncio.run(main(options.gateway, os.environ["KEY"], options.account, options.rounds))
    except KeyError:
        raise SystemExit("KEY is not set: `tickwire demo` shows an API key") from None
    except ccxt.NetworkError as error:
        raise SystemExit(f"no answer from {options.gateway}: start `make demo`, or name --gateway ({error})") from None
