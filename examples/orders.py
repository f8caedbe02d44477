"""Prints what happens to the orders of an account. Needs a running `tickwire demo`, and its API key in KEY."""

import argparse
import asyncio
import os

import aiohttp

FIELDS = {
    "order": ("id", "state", "side", "qty", "symbol", "price", "filled"),
    "deal": ("id", "order_id", "side", "qty", "symbol", "price", "fee", "fee_currency"),
    "position": ("id", "state", "qty", "symbol", "entry_price", "realized_pnl"),
}


async def main(url: str, key: str, account: int, count: int) -> None:
    about = {"account_ids": [account], "snapshot": False}
    async with (
        aiohttp.ClientSession(headers={"x-api-key": key}) as session,
        session.ws_connect(url) as socket,
    ):
        for channel in ("orders", "deals", "positions"):
            await socket.send_json({"action": "subscribe", "channel": channel, **about})
        async for raw in socket:
            message = raw.json()
            kind, data = message["type"], message.get("data", {})
            if kind == "error" or data.get("errors"):
                raise SystemExit(f"refused: {raw.data}")
            if kind not in FIELDS or message["kind"] != "update":
                continue
            said = (f"{name}={data[name]}" for name in FIELDS[kind] if data.get(name) is not None)
            print(message["sequence"], data["event"], *said, flush=True)
            # What is not confirmed is told again to the next connection with this key.
            confirmed = {"channel": message["channel"], "account_id": account, "sequence": message["sequence"]}
            await socket.send_json({"action": "ack", **confirmed})
            count -= 1
            if count == 0:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="stop after so many events (0: never)")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, os.environ["KEY"], options.account, options.count))
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # as a shell has it: it is how this ends, unless a --count is given
    except KeyError:
        raise SystemExit("KEY is not set: `tickwire demo` shows an API key") from None
    except aiohttp.ClientConnectorError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
    except aiohttp.WSServerHandshakeError as error:
        raise SystemExit(f"refused: {error.status}") from None
