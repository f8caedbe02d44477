"""Watches an account: what its balance, its equity and its positions become. Needs its API key in KEY."""

import argparse
import asyncio
import os
from typing import Any

import aiohttp

PING_S = 30  # who has not pinged for 90 s is closed


async def pings(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(PING_S)
        await socket.send_json({"type": "ping"})


def shown(message: dict[str, Any]) -> str:
    match message["type"]:
        case "account_update":
            figures = (f"{name} {step['old']} -> {step['new']}" for name, step in message["changes"].items())
            return ", ".join([*figures, *(["(stale)"] if message.get("stale") else [])])
        case "position_opened":
            position = message["position"]
            return "{ticket}: {type} {volume} {symbol} at {price}".format(**position)
        case "position_modified":
            steps = (f"{name} {step['old']} -> {step['new']}" for name, step in message["changes"].items())
            return f"{message['ticket']}: {', '.join(steps)}"
        case "position_closed":
            return f"{message['ticket']}: closed at {message['close_price']}, made {message['profit']}"
        case "error":
            retry_s = message.get("retry_in_seconds")
            return str(message["message"]) + ("" if retry_s is None else f"; tried again in {retry_s} s")
    return ""


async def main(url: str, key: str, account: str, count: int) -> None:
    async with aiohttp.ClientSession() as session:
        # A browser cannot send headers with a WebSocket: it shows a token in the URL, which is good once.
        async with session.get(f"{url}/api/ws/token", headers={"x-api-key": key}, raise_for_status=True) as answer:
            token = (await answer.json())["token"]
        async with session.ws_connect(f"{url}/ws/account/{account}", params={"token": token}) as socket:
            pinging = asyncio.create_task(pings(socket))
            async for raw in socket:
                message = raw.json()
                if line := shown(message):
                    print(message["type"], line, flush=True)
                    count -= 1
                if count == 0:
                    break
            pinging.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    parser.add_argument("--account", default="1", help="its number or its name")
    parser.add_argument("--count", type=int, default=0, help="stop after so many messages (0: never)")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, os.environ["KEY"], options.account, options.count))
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # as a shell has it: it is how this ends, unless a --count is given
    except KeyError:
        raise SystemExit("KEY is not set: `tickwire demo` shows an API key") from None
    except aiohttp.ClientConnectorError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
    except aiohttp.ClientResponseError as error:
        raise SystemExit(f"refused: {error.status}") from None
