"""Sends one signed order and checks the signature of every event about it. Needs a gateway that takes orders, and an
API key in KEY; `tickwire account require-signing ACCOUNT` refuses what is not signed so."""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import time

import aiohttp


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF with SHA-256 (RFC 5869), 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def sign(key: bytes, text: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).rstrip(b"=").decode()


def signed_command(key: bytes, payload: object) -> str:
    """A message with a command; what is signed is the payload as it stands in the message."""
    body = json.dumps(payload)
    ts, nonce = time.time_ns() // 1_000_000, secrets.token_urlsafe(16)
    sig = sign(key, f"{ts}.{nonce}.{body}".encode())
    return f'{{"action":"command","id":1,"payload":{body},"sig":"{sig}","ts":{ts},"nonce":"{nonce}"}}'


def is_genuine(key: bytes, raw: str) -> bool:
    """Whether an event is what the gateway told this connection; its data is taken as it came, byte for byte."""
    message = json.loads(raw)
    data = raw[raw.index(',"data":') + len(',"data":') : raw.rindex(',"sig":"')]
    text = f"{message['epoch']}.{message['sequence']}.{message['timestamp']}.{data}"
    return hmac.compare_digest(sign(key, text.encode()), message["sig"])


async def main(url: str, key: str, account: int, symbol: str, price: str) -> None:
    secret = hkdf(key.encode(), b"", b"tickwire signing secret v1")
    order = {"symbol": symbol, "side": "buy", "order_type": "limit", "qty": "0.01", "price": price}
    async with (
        aiohttp.ClientSession(headers={"x-api-key": key}) as session,
        session.ws_connect(url) as socket,
    ):
        connection_id = (await socket.receive_json())["connection_id"].encode()
        events_key = hkdf(secret, connection_id, b"tickwire events v1")
        commands_key = hkdf(secret, connection_id, b"tickwire commands v1")
        about = {"channel": "orders", "account_ids": [account], "snapshot": False, "sign": True}
        await socket.send_json({"action": "subscribe", **about})
        await socket.send_str(
            signed_command(commands_key, {"account_id": account, "command": "send_order", "payload": order})
        )
        async for raw in socket:
            message = raw.json()
            if message["type"] == "error" or (message.get("data") or {}).get("errors"):
                raise SystemExit(f"refused: {raw.data}")
            if message["type"] == "command_result":
                (result,) = message["data"]["results"]
                print("order", result["order_id"], "is sent" if result["ok"] else result["error"], flush=True)
                if not result["ok"]:
                    return
            if message["type"] == "order":
                print(message["data"]["state"], is_genuine(events_key, raw.data), flush=True)
                if message["data"]["state"] not in {"PENDING_SUBMIT", "SUBMITTING"}:
                    return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765/v1/stream")
    parser.add_argument("--account", type=int, default=1)
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--price", default="50000")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.url, os.environ["KEY"], options.account, options.symbol, options.price))
    except KeyError:
        raise SystemExit("KEY is not set: `tickwire demo` shows an API key") from None
    except aiohttp.ClientConnectorError:
        raise SystemExit(f"nothing listens at {options.url}: start `make demo`, or name another --url") from None
    except aiohttp.WSServerHandshakeError as error:
        raise SystemExit(f"refused: {error.status}") from None
