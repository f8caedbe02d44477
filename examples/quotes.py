"""Prints the quotes of one market. Needs `pip install websockets` and a running `tickwire demo`."""

import argparse
import asyncio
import json

from websockets.asyncio.client import connect


async def main(url: str, symbol: str, count: int) -> None:
    request = {"action": "subscribe", "channel": "quotes", "symbols": [symbol], "throttle_ms": 250}
    async with connect(url) as socket:
        await socket.send(json.dumps(request))
        async for raw in socket:
            message = json.loads(raw)
            if message["type"] == "quote":
                quote = message["data"]
                print(message["sequence"], quote["symbol"], quote["bid"], quote["ask"], quote["last"], flush=True)
                count -= 1
                if count == 0:
                    return
            elif message["type"] == "error" or message.get("data", {}).get("errors"):
                raise SystemExit(f"refused: {raw!r}")
            elif message["type"] == "gap":
                print("missed", message["from"], "to", message["to"], message["reason"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--count", type=int, default=0, help="stop after so many quotes (0: never)")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, options.symbol, options.count))
    except ConnectionRefusedError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
