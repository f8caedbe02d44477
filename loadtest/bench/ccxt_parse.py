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
from typing import Any, NamedTuple

import ccxt.pro
import uvloop

APART_NS = 1_000_000  # longer than any burst's pauses, shorter than most between two


class Handled(NamedTuple):
    """One message: when ccxt began and ended with it."""

    began_ns: int
    ended_ns: int


def timed(handle: Callable[[Any], None], handled: list[Handled]) -> Callable[[Any], None]:
    """The same call, with the time it took noted."""

    def handle_message(message: Any) -> None:
        began_ns = time.perf_counter_ns()
        handle(message)
        handled.append(Handled(began_ns, time.perf_counter_ns()))

    return handle_message


def alone_us(handled: list[Handled]) -> list[float]:
    """How long those took that came alone: in a burst the first one warms the caches for the others."""
    return [
        (this.ended_ns - this.began_ns) / 1e3
        for before, this, after in zip(handled, handled[1:], handled[2:], strict=False)
        if this.began_ns - before.ended_ns > APART_NS and after.began_ns - this.ended_ns > APART_NS
    ]


async def measure(options: dict[str, Any], method: str, symbol: str, seconds: float) -> list[Handled]:
    """Subscribe by one call of ccxt's, then let messages come for a while."""
    exchange = ccxt.pro.binance(options)
    try:
        await getattr(exchange, method)(symbol if method == "watch_trades" else [symbol])
        handled: list[Handled] = []
        for client in exchange.clients.values():
            client.handle_message = timed(client.handle_message, handled)
        await asyncio.sleep(seconds)
        return handled
    finally:
        await exchange.close()


def summary(taken_us: list[float]) -> dict[str, float]:
    """Percentiles in microseconds."""
    ordered = sorted(taken_us)
    return {
        "messages": len(ordered),
        "p50_us": ordered[len(ordered) // 2],
        "p99_us": ordered[len(ordered) * 99 // 100],
    }


def main() -> None:
    options, method, symbol, seconds = sys.argv[1:]
    taken_us = alone_us(uvloop.run(measure(json.loads(options), method, symbol, float(seconds))))
    if not taken_us:
        sys.exit(f"no message came alone by {method} of {symbol}")
    sys.stdout.write(json.dumps(summary(taken_us)) + "\n")


if __name__ == "__main__":
    main()
