"""Follows trades across disconnects and loses none without knowing it.

Needs `pip install websockets`. After a reconnect the last position is sent along, and the gateway replays what was
missed, or says that it cannot. `--drop-every` cuts the connection on purpose, to see it happen.
"""

import argparse
import asyncio
import json
import random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

RETRY_S_MAX = 15.0


class Tape:
    """What was read, and where to go on."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.taken = 0
        self.position: tuple[str, int] | None = None
        self.come_back_s = 0.0

    def request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"action": "subscribe", "channel": "trades", "symbols": [self.symbol]}
        if self.position is not None:
            epoch, sequence = self.position
            request["resume"] = {self.symbol: {"epoch": epoch, "sequence": sequence}}
        return request

    def take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "subscribed":
                if message["data"]["errors"]:
                    raise SystemExit(f"refused: {message['data']['errors']}")
                stream = message["data"]["streams"][self.symbol]
                print("subscribed: recovered", stream["recovered"], "replayed", stream["replayed"], flush=True)
                if not stream["recovered"]:
                    self.position = (stream["epoch"], stream["sequence"])
            case "gap":
                print("gap:", message["from"], "to", message["to"], message["reason"], flush=True)
                ended = "new_epoch" in message
                self.position = (message["new_epoch"], 0) if ended else (message["epoch"], message["to"])
            case "trade":
                self.position = (message["epoch"], message["sequence"])
                trade = message["data"]
                print(*self.position, trade["side"], trade["size"], "at", trade["price"], flush=True)
                self.taken += 1
            case "server_shutdown":
                self.come_back_s = message["reconnect_after_ms"] / 1000
            case "error":
                raise SystemExit(f"refused: {message['code']}: {message['message']}")


async def read(socket: ClientConnection, tape: Tape, count: int, drop_every: int) -> None:
    """Until enough was read, or the connection ends."""
    await socket.send(json.dumps(tape.request()))
    async for raw in socket:
        message = json.loads(raw)
        tape.take(message)
        if message["type"] == "trade" and (tape.taken == count or (drop_every and tape.taken % drop_every == 0)):
            return


async def main(url: str, symbol: str, count: int, drop_every: int) -> None:
    tape = Tape(symbol)
    failures = 0
    while True:
        try:
            async with connect(url) as socket:
                failures = 0
                await read(socket, tape, count, drop_every)
        except (OSError, ConnectionClosed) as error:
            print("lost:", error, flush=True)
        if tape.taken == count:
            return
        # Jitter: thousands of clients that were cut off together must not come back together.
        wait_s = tape.come_back_s + random.uniform(0, min(RETRY_S_MAX, 0.25 * 2**failures))
        tape.come_back_s = 0.0
        failures += 1
        await asyncio.sleep(wait_s)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--count", type=int, default=0, help="stop after so many trades (0: never)")
    parser.add_argument("--drop-every", type=int, default=0, help="cut the connection after so many trades (0: never)")
    options = parser.parse_args()
    asyncio.run(main(options.url, options.symbol, options.count, options.drop_every))
