"""A grid: buys below the market and sells above it; what is filled comes back on the other side, one step away.

An ordinary ccxt program. Which exchange it trades on, and with what settings, stands in one file (`--exchange`). It
ends after so many fills and takes back what rests.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ccxt

OTHER = {"buy": "sell", "sell": "buy"}


class Grid:
    """Orders at rest by id; each is worth (side, level), and the level is so many steps from the middle."""

    def __init__(self, exchange: Any, symbol: str, amount: float, step: float) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._amount = amount
        self._step = step
        self._middle = 0.0
        self.resting: dict[str, tuple[str, int]] = {}

    def lay(self, levels: int) -> None:
        book = self._exchange.fetch_order_book(self._symbol, 5)
        self._middle = (book["bids"][0][0] + book["asks"][0][0]) / 2
        for level in range(1, levels + 1):
            self._place("buy", -level)
            self._place("sell", level)

    def turn(self) -> int:
        """Place the counterpart of each order that was filled since; how many there were."""
        still = {order["id"] for order in self._exchange.fetch_open_orders(self._symbol)}
        gone = [order_id for order_id in self.resting if order_id not in still]
        for order_id in gone:
            side, level = self.resting.pop(order_id)
            order = self._exchange.fetch_order(order_id, self._symbol)
            if order["status"] != "closed":
                raise SystemExit(f"order {order_id} is {order['status']}: somebody else trades here")
            print(f"{side} {order['filled']} at {order['average']}", flush=True)
            self._place(OTHER[side], level + (1 if side == "buy" else -1))
        return len(gone)

    def lift(self) -> None:
        """Take back what rests; what is over meanwhile need not be, and must not keep the others from it."""
        for order_id in self.resting:
            try:
                self._exchange.cancel_order(order_id, self._symbol)
            except (ccxt.InvalidOrder, ccxt.OrderNotFound) as error:
                print(f"not canceled: {error}", flush=True)
        self.resting.clear()

    def _place(self, side: str, level: int) -> None:
        price = self._exchange.price_to_precision(self._symbol, self._middle + level * self._step)
        order = self._exchange.create_order(self._symbol, "limit", side, self._amount, float(price))
        self.resting[order["id"]] = (side, level)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchange", type=Path, default=Path(__file__).with_name("exchange.json"))
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--amount", type=float, default=0.001)
    parser.add_argument("--step", type=float, default=2.0)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--fills", type=int, default=4)
    parser.add_argument("--pause-s", type=float, default=1.0)
    arguments = parser.parse_args()
    where = json.loads(arguments.exchange.read_text(encoding="utf-8"))
    exchange = getattr(ccxt, where["name"])(where["settings"])
    exchange.load_markets()
    grid = Grid(exchange, arguments.symbol, arguments.amount, arguments.step)
    filled = 0
    try:
        grid.lay(arguments.levels)
        while filled < arguments.fills:
            time.sleep(arguments.pause_s)
            filled += grid.turn()
    finally:
        grid.lift()


if __name__ == "__main__":
    main()
