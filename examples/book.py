"""Rebuilds an order book from a snapshot and updates, verifies every checksum, and starts anew when it must.

Needs `pip install websockets`. A book is void from a gap until the next snapshot; one that contradicts its checksum or
its numbers is asked for again.
"""

import argparse
import asyncio
import json
import zlib
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


class Book:
    """Both sides by price. Numbers stay the text of the JSON, so that the checksum needs no rounding rules."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def apply(self, kind: str, data: dict[str, Any]) -> None:
        """A snapshot is the whole state; an update changes the levels it names, and size 0 deletes one."""
        for side, levels in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            if kind == "snapshot":
                side.clear()
            for price, size in levels:
                if float(size):
                    side[price] = size
                else:
                    side.pop(price, None)

    def top(self, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The best bids and asks, best first."""
        bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))[:count]
        asks = sorted(self.asks.items(), key=lambda level: float(level[0]))[:count]
        return bids, asks

    def checksum(self) -> int:
        """CRC-32 of the digits of the 10 best asks and bids."""
        bids, asks = self.top(10)
        text = "".join(number.replace(".", "").lstrip("0") for level in asks + bids for number in level)
        return zlib.crc32(text.encode("ascii"))


class Reader:
    """Where the book stands: `position` is (epoch, sequence), None while the book is void."""

    def __init__(self) -> None:
        self.book = Book()
        self.position: tuple[str, int] | None = None

    def take(self, message: dict[str, Any]) -> str | None:
        """Take a message in; returns why the book must be asked for again, if it must."""
        if message["type"] == "gap":
            self.position = None
            return None
        at = (message["epoch"], int(message["sequence"]))
        if message["kind"] == "update":
            if self.position is None:
                return None  # the snapshot is on its way
            if self.position != (at[0], int(message["data"]["prev_sequence"])):
                return f"{at} does not follow {self.position}"
        self.book.apply(message["kind"], message["data"])
        if self.book.checksum() != int(message["data"]["checksum"]):
            return f"checksum of {at} does not match"
        self.position = at
        return None


async def main(url: str, symbol: str, depth: int, count: int) -> None:
    request = json.dumps({"action": "subscribe", "channel": "book", "symbols": [symbol], "depth": depth})
    async with connect(url) as socket:
        await socket.send(request)
        await follow(socket, request, count)


async def follow(socket: ClientConnection, request: str, count: int) -> None:
    """Show the best prices of each valid state; subscribing again replaces the stream and brings a snapshot."""
    reader = Reader()
    async for raw in socket:
        message = json.loads(raw, parse_float=str, parse_int=str)
        if message["type"] == "error" or (message["type"] == "subscribed" and message["data"]["errors"]):
            raise SystemExit(f"refused: {raw!r}")
        if message["type"] not in ("book", "gap"):
            continue
        if reason := reader.take(message):
            print("asking again:", reason, flush=True)
            reader = Reader()
            await socket.send(request)
        elif message["type"] == "gap":
            print("void:", message["reason"], message.get("new_epoch", ""), flush=True)
        elif reader.position is not None:
            bids, asks = reader.book.top(1)
            print(*reader.position, message["kind"], "bid", *bids[:1], "ask", *asks[:1], "checksum ok", flush=True)
            count -= 1
            if count == 0:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--count", type=int, default=0, help="stop after so many states (0: never)")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, options.symbol, options.depth, options.count))
    except ConnectionRefusedError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
