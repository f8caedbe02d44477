"""The one WebSocket to the gateway: dialled, read, watched, and dialled again when it is lost.

After a drop the first try is made at once, then with full jitter, never two at a time; so a gateway that is back is
connected to within a second. Text goes in and out. Must not know what messages say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiohttp

log = logging.getLogger(__name__)

DELAY_MS: Final = 50
DELAY_MS_MAX: Final = 600  # with the time to connect, below a second
REFUSED_MS_MAX: Final = 5_000  # where something says by HTTP that there is no WebSocket
STEADY_MS: Final = 1_000  # a connection that lived so long was one: the next try is made at once
MESSAGE_BYTES_MAX: Final = 1 << 26
FOR_GOOD: Final = {401: "invalid_api_key", 403: "permission_denied"}  # HTTP, before the upgrade
CLOSED_FOR_GOOD: Final = {1008: "invalid_api_key", 4401: "token_expired"}
BUSY: Final = frozenset({429, 502, 503, 504})  # HTTP: it is not there at the moment
CLOSED_BUSY: Final = frozenset({4029})
TEXT: Final = aiohttp.WSMsgType.TEXT
BINARY: Final = aiohttp.WSMsgType.BINARY


class LinkError(Exception):
    """Why there is no connection. `code` when the gateway will not have this client; `status` of an HTTP answer."""

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Owner(Protocol):
    """Who has the connection."""

    def on_open(self) -> None:
        """A new connection."""

    def on_text(self, text: str | bytes) -> None:
        """A message."""

    def on_drop(self) -> None:
        """It is gone."""

    def on_failure(self, error: LinkError, down_ms: float) -> None:
        """A try has failed; there has been no connection for so long. With a `code` no other try is made."""


Dial = Callable[[], Any]  # -> an awaitable of aiohttp's ClientWebSocketResponse


class Link:
    """Begun by `start`, ended by `close`, and begun again if need be."""

    def __init__(self, dial: Dial, owner: Owner, *, timeout_ms: float, silence_ms: float) -> None:
        """`dial` connects; after half of `silence_ms` without a message one is asked for, after the rest it is lost."""
        self._dial = dial
        self._owner = owner
        self._timeout_ms = timeout_ms
        self._silence_ms = silence_ms
        self._socket: Any = None
        self._task: asyncio.Task[None] | None = None
        self._heard = 0.0  # when the last message came, by the monotonic clock
        self._sending: set[asyncio.Task[None]] = set()
        self.wait_ms = 0.0  # what the gateway asked for before the next try

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Connect, unless that is under way."""
        if not self.is_running:
            self._task = asyncio.create_task(self._run(), name="tickwire stream")

    async def close(self) -> None:
        """End it; nothing is told to the owner any more but that it is gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for sending in list(self._sending):
            sending.cancel()

    def send(self, text: str) -> None:
        """Hand a message over; what a connection that breaks takes with it is the owner's to say again."""
        if self._socket is not None:
            task = asyncio.create_task(self._send(self._socket, text))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, socket: Any, text: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError, aiohttp.ClientError):  # the reader sees the end of it
            await socket.send_str(text)

    async def _run(self) -> None:
        since = time.monotonic()  # there is no connection
        tries = 0
        while True:
            if tries or self.wait_ms:
                await asyncio.sleep(self._delay_ms(tries) / 1000)
            began = time.monotonic()
            try:
                error = await self._live()
            except LinkError as failure:
                error = failure
                tries += 1
            else:
                steady = (time.monotonic() - began) * 1000 >= STEADY_MS
                since = time.monotonic() if steady or tries == 0 else since
                tries = 0 if steady else tries + 1
                if error is None:
                    continue
            self._owner.on_failure(error, (time.monotonic() - since) * 1000)
            if error.code is not None:
                return
            if error.status is not None and error.status not in BUSY:
                self.wait_ms = max(self.wait_ms, random.uniform(0, REFUSED_MS_MAX))  # noqa: S311  # not a secret

    def _delay_ms(self, tries: int) -> float:
        asked, self.wait_ms = self.wait_ms, 0.0
        longest = min(DELAY_MS_MAX, DELAY_MS * 2 ** min(tries, 10))
        return asked + random.uniform(0, longest)  # noqa: S311  # not a secret

    async def _live(self) -> LinkError | None:
        """One connection, from dialling to its end. Raises LinkError when it did not come about."""
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                socket = await self._dial()
        except aiohttp.WSServerHandshakeError as error:
            code = FOR_GOOD.get(error.status)
            raise LinkError(f"{error.status} {error.message}", code=code, status=error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LinkError(f"{type(error).__name__}: {error}") from error
        except Exception as error:  # proxies that contradict each other: the same again until somebody changes that
            raise LinkError(f"{type(error).__name__}: {error}") from error
        self._socket = socket
        self._heard = time.monotonic()
        watch = asyncio.create_task(self._watch(socket), name="tickwire stream watch")
        try:
            self._owner.on_open()
            await self._read(socket)
        except Exception as error:  # whatever it is: a reader that died would be a silence without an end
            log.exception("a message was not understood")
            raise LinkError(f"{type(error).__name__}: {error}") from error
        finally:
            self._socket = None
            watch.cancel()
            self._owner.on_drop()
            await _end(socket)
        code = socket.close_code
        if code in CLOSED_FOR_GOOD:
            return LinkError(f"the gateway closed the connection ({code})", code=CLOSED_FOR_GOOD[code])
        if code in CLOSED_BUSY:
            self.wait_ms = REFUSED_MS_MAX
        return None

    async def _read(self, socket: Any) -> None:
        """What has come is read without a turn of the loop in between, so that a burst is one."""
        receive, on_text = socket.receive, self._owner.on_text
        while True:
            message = await receive()
            if message.type is TEXT or message.type is BINARY:
                self._heard = time.monotonic()
                on_text(message.data)
            else:
                return

    async def _watch(self, socket: Any) -> None:
        """A peer that went without a word is noticed: it is asked for a sign of life, and given up without one.

        Counted from the question: a loop that was busy must not take its own silence for the peer's.
        """
        asked = 0.0
        while True:
            await asyncio.sleep(self._silence_ms / 2000)
            if asked > self._heard:
                await asyncio.sleep(0.05)  # what has come meanwhile is read first
                if asked > self._heard:
                    _cut(socket)
                    return
            if (time.monotonic() - self._heard) * 2000 > self._silence_ms:
                asked = time.monotonic()
                self.send('{"action":"ping"}')


def _cut(socket: Any) -> None:
    """End a connection without asking the other side."""
    transport = socket.get_extra_info("transport") if hasattr(socket, "get_extra_info") else None
    connection = getattr(socket, "_conn", None)
    transport = transport or (connection.transport if connection is not None else None)
    if transport is not None:
        transport.abort()


async def _end(socket: Any) -> None:
    """Close our side; the other one may be gone."""
    if not socket.closed:
        try:
            async with asyncio.timeout(1):
                await socket.close()
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            _cut(socket)
