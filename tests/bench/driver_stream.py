"""What an update costs a program: on the pro driver, or on ccxt.pro's own binance class; CPU time of the whole process.

`python -m tests.bench.driver_stream KIND CONFIG METHOD SECONDS` watches in the loop that programs have, and prints one
line of JSON: messages, calls of the method, and microseconds of CPU a message. Run by test_bench_driver_stream.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import ccxt.pro
import uvloop

from driver.pro import OmsCcxtProExchange

SYMBOL = "BTC/USDT"
METHODS: dict[str, Callable[[Any], Any]] = {
    "trades": lambda exchange: exchange.watch_trades(SYMBOL),
    "bids_asks": lambda exchange: exchange.watch_bids_asks([SYMBOL]),
    "order_book": lambda exchange: exchange.watch_order_book(SYMBOL),
}


class Counter:
    """Stands before what takes messages."""

    def __init__(self, owner: Any, name: str) -> None:
        self.count = 0
        take = getattr(owner, name)

        def counting(*arguments: Any) -> Any:
            self.count += 1
            return take(*arguments)

        setattr(owner, name, counting)


async def watch(kind: str, config: dict[str, Any], method: str, seconds: float) -> dict[str, float]:
    """From the first message on."""
    exchange: Any = OmsCcxtProExchange(config) if kind == "driver" else ccxt.pro.binance(config)
    counter = Counter(exchange.hub, "on_text") if kind == "driver" else Counter(exchange, "handle_message")
    call = METHODS[method]
    try:
        await exchange.load_markets()
        await call(exchange)
        counter.count = calls = 0
        began = time.process_time()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await call(exchange)
                    calls += 1
        except TimeoutError:
            spent = time.process_time() - began
        return {"messages": counter.count, "calls": calls, "us": spent / max(1, counter.count) * 1e6}
    finally:
        await exchange.close()


def main() -> None:
    kind, config, method, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(watch(kind, json.loads(config), method, float(seconds)))) + "\n")


if __name__ == "__main__":
    main()
