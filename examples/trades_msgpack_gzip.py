"""Reads trades in batches, as msgpack, compressed: the fewest bytes and frames for a client that can wait a moment.

Needs `pip install websockets msgspec`. Replies are always JSON text; updates and gaps come in the encoding asked for,
and those worth it as one gzip member, told by its first two bytes.
"""

import argparse
import asyncio
import gzip
import json
from typing import Any

import msgspec
from websockets.asyncio.client import connect

GZIP_MAGIC = b"\x1f\x8b"


def read(raw: str | bytes) -> dict[str, Any]:
    """A message, in whatever form it came."""
    if isinstance(raw, str):
        return dict(json.loads(raw))
    packed = gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw
    return dict(msgspec.msgpack.decode(packed))


async def main(url: str, symbol: str, throttle_ms: int, count: int) -> None:
    request = {
        "action": "subscribe",
        "channel": "trades",
        "symbols": [symbol],
        "batch": True,
        "throttle_ms": throttle_ms,
        "encoding": "msgpack",
        "compression": "gzip",
    }
    async with connect(url, compression=None) as socket:  # no permessage-deflate: gzip does the work
        await socket.send(json.dumps(request))
        async for raw in socket:
            message = read(raw)
            if message["type"] == "batch":
                trades = message["data"]
                total = sum(trade["size"] for trade in trades)
                print(message["sequence"], len(trades), "trades", f"{total:g} in all", len(raw), "bytes", flush=True)
                count -= 1
                if count == 0:
                    return
            elif message["type"] == "error" or message.get("data", {}).get("errors"):
                raise SystemExit(f"refused: {message}")
            elif message["type"] == "gap":
                print("missed", message["from"], "to", message["to"], message["reason"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--throttle-ms", type=int, default=1000)
    parser.add_argument("--count", type=int, default=0, help="stop after so many batches (0: never)")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, options.symbol, options.throttle_ms, options.count))
    except ConnectionRefusedError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
