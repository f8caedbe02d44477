"""What an account has: balances, what they are worth, open orders, what was traded, and positions.

An ordinary ccxt program that only reads. Which exchange it asks, and with what settings, stands in one file
(`--exchange`). It prints one JSON object.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import ccxt

ORDER = ("symbol", "type", "side", "price", "amount", "filled", "status")
POSITION = ("symbol", "side", "contracts", "entryPrice", "unrealizedPnl")


def balances_of(exchange: Any, quote: str) -> dict[str, dict[str, float]]:
    """Free, used and total of each currency one has, and what the total is worth in `quote`."""
    balance = exchange.fetch_balance()
    rows: dict[str, dict[str, float]] = {}
    for currency, total in sorted(balance["total"].items()):
        if total:
            price = 1.0 if currency == quote else exchange.fetch_ticker(f"{currency}/{quote}")["last"]
            rows[currency] = {**balance[currency], "worth": round(total * price, 2)}
    return rows


def traded(exchange: Any, symbol: str) -> dict[str, Any]:
    """Of the last trades: bought and sold, their average prices, and fees by currency."""
    amounts: dict[str, float] = defaultdict(float)
    costs: dict[str, float] = defaultdict(float)
    fees: dict[str, float] = defaultdict(float)
    for trade in exchange.fetch_my_trades(symbol, limit=500):
        amounts[trade["side"]] += trade["amount"]
        costs[trade["side"]] += trade["cost"]
        fees[trade["fee"]["currency"]] += trade["fee"]["cost"]
    sides = {
        side: {"amount": round(amount, 8), "average": round(costs[side] / amount, 8)}
        for side, amount in amounts.items()
    }
    return {**sides, "fees": {currency: round(cost, 8) for currency, cost in fees.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", type=Path, default=Path(__file__).with_name("exchange.json"))
    parser.add_argument("--symbols", nargs="+", default=["BTC/USDT"])
    parser.add_argument("--quote", default="USDT")
    parser.add_argument("--positions", action="store_true", help="ask for positions too: not every market has them")
    arguments = parser.parse_args()
    where = json.loads(arguments.exchange.read_text(encoding="utf-8"))
    exchange = getattr(ccxt, where["name"])(where["settings"])
    exchange.load_markets()
    report: dict[str, Any] = {"balances": balances_of(exchange, arguments.quote)}
    for symbol in arguments.symbols:
        orders = exchange.fetch_open_orders(symbol)
        rows = sorted(([order[name] for name in ORDER] for order in orders), key=str)
        report[symbol] = {"open": rows, "traded": traded(exchange, symbol)}
    if arguments.positions:
        positions = exchange.fetch_positions(arguments.symbols)
        report["positions"] = [{name: position[name] for name in POSITION} for position in positions]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
