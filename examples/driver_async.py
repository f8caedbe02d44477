"""Quotes on both sides of the market, for a while. Needs a running `tickwire demo`, and its API key in KEY."""

import argparse
import asyncio
import os

import ccxt.async_support as ccxt

import driver

SYMBOL = "BTC/USDT"


async def main(hostname: str, key: str, account: int, rounds: int) -> None:
    driver.register()
    config = {"apiKey": key, "hostname": hostname, "options": {"account_id": account}}
    async with ccxt.tickwire(config) as exchange:
        await exchange.load_markets()
        for number in range(rounds):
            book = await exchange.fetch_order_book(SYMBOL, 5)
            bid, ask = book["bids"][0][0] * 0.999, book["asks"][0][0] * 1.001
            orders = await exchange.create_orders([
                {"symbol": SYMBOL, "type": "limit", "side": side, "amount": 0.01, "price": price}
                for side, price in (("buy", bid), ("sell", ask))
            ])  # fmt: skip
            print(number, *(f"{order['side']} {order['amount']} {order['status']}" for order in orders), flush=True)
            canceled = await exchange.cancel_orders([order["id"] for order in orders], SYMBOL)
            print(number, *(order["status"] for order in canceled), flush=True)
        print("open:", await exchange.fetch_open_orders(SYMBOL), flush=True)


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
