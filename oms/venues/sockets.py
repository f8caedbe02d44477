"""ccxt's WebSocket client, made to go on reading, to notice a dead peer, and never to fail in silence.

Must not know an exchange nor what its messages mean.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import structlog
from ccxt.async_support.base.ws.client import Client
from ccxt.base.errors import NetworkError, NotSupported, RequestTimeout

log = structlog.get_logger(__name__)


class SteadyClient(Client):  # type: ignore[misc]  # ccxt is not typed
    """In place of the class of a client that ccxt made."""

    # ccxt would take messages out of aiohttp's queue behind its back. 4.5.64 gives back fewer bytes than aiohttp 3.14.3
    # counted, until the queue counts as full and is never read again. Without a buffer each message is received.
    buffer = None

    reading: asyncio.Future[None] | None = None
    heard = True  # a sign of life since the last ping
    ping_ms = 10_000

    @classmethod
    def adopt(cls, client: Any, ping_ms: int) -> None:
        client.__class__ = cls
        client.ping_ms = ping_ms

    def handle_message(self, message: Any) -> None:
        """An exception here would end ccxt's loop without a word: it is an error of the connection instead."""
        self.heard = True
        try:
            super().handle_message(message)
        except NotSupported as error:
            # Some classes say so of a kind of message that nobody asked for.
            log.warning("unknown message of a venue", error=str(error)[:200])
        except Exception as error:
            # A trace as text: one made by a renderer may show every local variable, and so what is secret.
            log.error("message of a venue not understood", trace=traceback.format_exc())  # see above
            self.on_error(NetworkError(f"message not understood: {type(error).__name__}"))

    def receive_loop(self) -> None:
        """One task for all messages; ccxt has one for each."""
        self.reading = asyncio.ensure_future(self._receive())

    async def _receive(self) -> None:
        try:
            while not self.closed():
                self.handle_message(await self.receive())
                await asyncio.sleep(0)  # others have their turn, however many messages wait
        except Exception as error:
            self.reject(NetworkError(str(error)))
        else:
            self.on_close(1006)

    def future(self, message_hash: str) -> Any:
        """One that nobody waits for any more fails with the others, and is no news."""
        future = super().future(message_hash)
        future.add_done_callback(_look_at)
        return future

    async def ping_loop(self) -> None:
        """ccxt's notices a silent binance after six minutes."""
        while not self.closed():
            self.heard = False
            try:
                if self.ping:
                    await self.send(self.ping(self))
                else:
                    await self.connection.ping()
            except Exception as error:  # whatever keeps us from asking: nobody is going to answer
                self.on_error(NetworkError(f"ping failed: {type(error).__name__}"))
                return
            await asyncio.sleep(self.ping_ms / 1000)
            if not self.heard:
                self.on_error(RequestTimeout(f"no sign of life for {self.ping_ms} ms"))
                return


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
