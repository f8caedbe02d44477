"""What ccxt alone takes for one message: its unmodified binance class on the exchange's own stream, no gateway.

Timed is `Client.handle_message`: decoding the JSON, the handler, and `resolve` with nobody waiting. aiohttp's reading
of the socket is not in it. A program of its own, to run on the server's core: `python -m loadtest.bench.ccxt_parse
OPTIONS_AS_JSON METHOD SYMBOL SECONDS` prints one line of JSON. The only file here that imports ccxt, because that is
what is measured.
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


def timed(handle: Callable[[Any], None], taken_ns: list[int]) -> Callable[[Any], None]:
    """The same call, with the time it took noted."""

    def handle_message(message: Any) -> None:
        began = time.perf_counter_ns()
        handle(message)
        taken_ns.append(time.perf_counter_ns() - began)

    return handle_message


async def measure(options: dict[str, Any], method: str, symbol: str, seconds: float) -> list[int]:
    """Subscribe by one call of ccxt's, then let messages come for a while."""
    exchange = ccxt.pro.binance(options)
    try:
        await getattr(exchange, method)(symbol if method == "watch_trades" else [symbol])
        taken_ns: list[int] = []
        for client in exchange.clients.values():
            client.handle_message = timed(client.handle_message, taken_ns)
        await asyncio.sleep(seconds)
        return taken_ns
    finally:
        await exchange.close()


def summary(taken_ns: list[int]) -> dict[str, float]:
    """Percentiles in microseconds."""
    ordered = sorted(taken_ns)
    return {
        "messages": len(ordered),
        "p50_us": ordered[len(ordered) // 2] / 1e3,
        "p99_us": ordered[len(ordered) * 99 // 100] / 1e3,
    }


def main() -> None:
    options, method, symbol, seconds = sys.argv[1:]
    taken_ns = uvloop.run(measure(json.loads(options), method, symbol, float(seconds)))
    if not taken_ns:
        sys.exit(f"no message came by {method} of {symbol}")
    sys.stdout.write(json.dumps(summary(taken_ns)) + "\n")


if __name__ == "__main__":
    main()
