"""A ccxt program on the gateway. Needs a running `tickwire demo`, and its API key in KEY."""

import argparse
import os

import ccxt

import driver

SYMBOL = "BTC/USDT"


def main(hostname: str, key: str, account: int) -> None:
    driver.register()  # or `python -m driver.run PROGRAM`, without this line and the import
    exchange = ccxt.tickwire({"apiKey": key, "hostname": hostname, "options": {"account_id": account}})
    exchange.load_markets()

    ticker = exchange.fetch_ticker(SYMBOL)
    price = exchange.price_to_precision(SYMBOL, ticker["last"] * 0.9)
    order = exchange.create_order(SYMBOL, "limit", "buy", 0.01, float(price), {"postOnly": True})
    print("rests:", order["id"], order["status"], order["amount"], "at", order["price"], flush=True)
    order = exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, float(price))
    print("edited:", order["id"], order["status"], order["amount"], flush=True)
    order = exchange.cancel_order(order["id"], SYMBOL)
    print("canceled:", order["id"], order["status"], flush=True)

    order = exchange.create_order(SYMBOL, "market", "buy", 0.01)
    print("bought:", order["id"], order["status"], order["filled"], "for", order["cost"], order["fee"], flush=True)
    for trade in exchange.fetch_order_trades(order["id"], SYMBOL):
        print("trade:", trade["id"], trade["amount"], "at", trade["price"], flush=True)
    order = exchange.close_position(SYMBOL)
    print("closed:", order["id"], order["side"], order["filled"], flush=True)
    print("balance:", exchange.fetch_balance()["BTC"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", default="127.0.0.1:8765", help="its host and port")
    parser.add_argument("--account", type=int, default=1)
    options = parser.parse_args()
    try:
        main(options.gateway, os.environ["KEY"], options.account)
    except KeyError:
        raise SystemExit("KEY is not set: `tickwire demo` shows an API key") from None
    except ccxt.NetworkError as error:
        raise SystemExit(f"no answer from {options.gateway}: start `make demo`, or name --gateway ({error})") from None
