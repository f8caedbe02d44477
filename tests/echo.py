"""The very listener and connection of the gateway with an echo on top, for conformance suites.

python -m tests.echo --port 9001
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from _speedups.fanout import Fanout
from _speedups.frame import OP_BINARY
from gateway.limits import Limits
from gateway.net.connection import Connection
from gateway.net.head import Head
from gateway.net.listener import Listener

MESSAGE_BYTES_MAX = 32 * 1024 * 1024
LIMITS = Limits(message_bytes_max=MESSAGE_BYTES_MAX, queue_bytes_max=4 * MESSAGE_BYTES_MAX)


class Echo:
    """Sends every message back as it came."""

    __slots__ = ()

    def on_open(self, conn: Connection) -> None:
        pass

    def on_message(self, conn: Connection, data: str | bytes) -> None:
        if isinstance(data, str):
            conn.send(data.encode())
        else:
            conn.send(data, OP_BINARY)

    def on_closed(self, conn: Connection) -> None:
        pass


def route(_head: Head) -> Echo:
    """Every path echoes."""
    return Echo()


async def http_app(
    scope: dict[str, Any], _receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """What a plain request gets."""
    headers = [(b"content-type", b"text/plain"), (b"sec-websocket-version", b"13")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": b"This is a WebSocket echo.\n"})


async def serve(host: str, port: int) -> None:
    """Echo until cancelled."""
    loop = asyncio.get_running_loop()
    fanout = Fanout(loop.call_soon, loop.call_later, queue_bytes_max=LIMITS.queue_bytes_max)
    listener = Listener(route, http_app, LIMITS, fanout, Counter())
    await listener.start(host, port)
    print(f"listening on {host}:{listener.port}", flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        listener.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
