"""The synchronous hook in a WebSocket client of ccxt's: every result reaches its receiver, in the call that parsed it.

ccxt's `Client.resolve` drops a result when nobody awaits, and a burst is parsed whole before any awaiting consumer
runs. So one `watch_*` call subscribes, and from then on the tap takes each result as it is resolved. Which results
belong to whom is learned from ccxt itself: the message hashes a `watch_*` call asks a future of are the ones it waits
for. A standing future keeps those hashes known to ccxt, as an awaiting consumer would. What a receiver asked for is
not asked any more once it has left, however long ccxt's rate limits kept it waiting.

Must not know channels, keys, encodings, or the exchange that the client is of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from functools import partial
from time import time_ns
from typing import Any, Final, Protocol

import structlog
from aiohttp import WSMessage, WSMsgType
from ccxt.async_support.base.ws.future import Future
from ccxt.base.errors import ExchangeError, NetworkError, NotSupported, RequestTimeout

log = structlog.get_logger(__name__)

DATA: Final = frozenset({WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG})
NOTHING: Final = WSMessage(WSMsgType.CONTINUATION, None, None)


class Receiver(Protocol):
    """Who gets what one `watch_*` call is about."""

    def resolved(self, result: Any, t_in: int) -> bool:
        """A result, when its frame was read (ns); False: not ours (an authentication, another symbol)."""

    def rejected(self, error: BaseException) -> None:
        """The subscription ended."""


# Set while a receiver's `watch_*` call runs; tasks that the call starts inherit it.
SUBSCRIBING: ContextVar[Receiver | None] = ContextVar("SUBSCRIBING", default=None)


class Tap:
    """The hook in one client."""

    def __init__(self, client: Any, settle: Callable[[], None] = lambda: None) -> None:
        """`settle` is called when everything that came in one piece has been handled."""
        self.client: Any = client
        self._settle = settle
        self.seen_ns = time_ns()  # the last sign of life, of any kind
        self._asked_ns = 0  # when one was last asked for
        self._routes: dict[str, Receiver] = {}
        self._asked: dict[str, Receiver] = {}  # by ccxt's subscribe hash, often the same as the message hash
        self._standing = Future()
        self._t_in = 0  # of the frame being handled; 0 outside of one
        self._read_ns = 0  # when the bytes being handled were read; 0: not known
        self._queue: Any = None  # aiohttp's, of parsed frames
        self._draining = False
        self._idle = False  # ccxt's receiving is put off until there is something for it
        self._turn = asyncio.Lock()
        self._unsent: set[Receiver] = set()  # whose message waits for its turn
        self.sent: set[Receiver | None] = set()  # who has asked the exchange, and not left since
        self._dialling: asyncio.Task[None] | None = None
        self._dropped = False
        self._throttle, self._send, self._open = client.throttle, client.send, client.open
        client.throttle, client.send, client.open = self.throttle, self.send, self.open
        self._future, self._resolve, self._reject = client.future, client.resolve, client.reject
        self._handle_message = client.handle_message
        client.future, client.resolve, client.reject = self.future, self.resolve, self.reject
        self._receive_loop = client.receive_loop
        client.handle_message, client.receive_loop = self.handle_message, self.receive_loop

    # What goes out

    def open(self, *args: Any) -> asyncio.Task[None]:
        """ccxt's dialling, in nobody's name: the connection and what its messages start serve whoever comes."""
        self._dialling = asyncio.create_task(self._open(*args), context=Context())
        return self._dialling

    async def throttle(self, cost: Any) -> None:
        """One message at a time before ccxt's queue, which counts also what was given up; others wait here."""
        receiver = SUBSCRIBING.get()
        if receiver is not None:
            self._unsent.add(receiver)
        async with self._turn:
            if receiver is not None:
                self._unsent.discard(receiver)
            if self._wanted(receiver):
                await self._throttle(cost)

    async def send(self, message: Any) -> None:
        if self._wanted(receiver := SUBSCRIBING.get()):
            self.sent.add(receiver)
            await self._send(message)

    def _wanted(self, receiver: Receiver | None) -> bool:
        return not self._dropped and (receiver is None or self.serves(receiver))

    def never_asked(self, receiver: Receiver) -> bool:
        """The exchange has not heard of it yet, and will not once it leaves."""
        return receiver in self._unsent

    def drop(self) -> None:
        """Nothing is sent or heard any more, and a connection that is on its way does not come about."""
        self._dropped = True
        if self._dialling is not None:
            self._dialling.cancel()

    async def close(self) -> None:
        """After `drop`."""
        if self._dialling is not None:
            await asyncio.wait([self._dialling])  # it may have been done in the moment it was cancelled
        await self.client.close()

    # What comes in

    def connected(self) -> None:
        """Handle frames as their bytes come, by standing before aiohttp's parser.

        ccxt would make a task a frame, get to it some turns later, and (4.5.64 with aiohttp 3.14) miscount what it
        takes out of aiohttp's queue until the queue counts as full and the connection stands still. Where aiohttp is
        not as expected (none of this is its interface) ccxt's own way is left alone.
        """
        self.seen_ns = time_ns()
        protocol: Any = getattr(getattr(self.client.connection, "_conn", None), "protocol", None)
        queue = getattr(protocol, "_payload", None)
        if hasattr(queue, "_buffer") and hasattr(queue, "feed_data") and hasattr(protocol, "_payload_parser"):
            self._queue = queue
            protocol._payload_parser = ParserFront(protocol._payload_parser, self.read, self._look)

    def read(self, feed: Callable[[bytes], Any], data: bytes) -> Any:
        """Bytes came: have them parsed, then handle the frames they complete."""
        self._read_ns = time_ns()
        outcome = feed(data)
        self._drain()
        self._look()
        return outcome

    def _look(self) -> None:
        """Let ccxt receive what is no frame of data: a close, an error, the end.

        Until then it has nothing to wait for: a task a frame, woken to find nothing, costs as much as the frame.
        """
        if self._idle and (self._queue._buffer or self._queue.is_eof() or self.client.closed()):
            self._idle = False
            self._receive_loop()

    def _drain(self) -> None:
        """Handle every complete frame. Closing is left to aiohttp's `receive`, where ccxt waits."""
        queue = self._queue
        if queue is None or self._draining:
            return  # taking a frame out of a full queue lets aiohttp parse more: the loop below gets to it in order
        buffer, self._draining, handled = queue._buffer, True, False
        while buffer and (buffer[0][0] is NOTHING or buffer[0][0].type in DATA):
            handled = True
            try:
                queue.read().send(None)  # a coroutine that need not wait
            except StopIteration as done:
                self.handle_message(done.value)
        self._draining, self._read_ns = False, 0
        if handled:
            self._settle()
        if handled and (not self._idle or self.client.closed()):
            # `receive`, or aiohttp's own close, was woken too, and would take an empty queue for the end.
            queue.feed_data(NOTHING, 0)

    def receive_loop(self) -> None:
        """ccxt's, but it finds nothing to drain, and waits for nothing."""
        self._drain()
        self._idle = self._queue is not None
        if self._idle:
            self._look()
        else:
            self._receive_loop()

    def handle_message(self, message: Any) -> None:
        """An exception here would end ccxt's receive loop without a word: it is an error of the connection instead."""
        if message is NOTHING or (self._dropped and message.type in DATA):
            return
        self._t_in = self.seen_ns = self._read_ns or time_ns()
        try:
            self._handle_message(message)
        except NotSupported as error:
            # Some classes say so of a kind of message they do not know: nothing anybody asked for.
            log.warning("unknown message", url=self.client.url, error=str(error)[:200])
        except Exception as error:
            log.exception("message not understood", url=self.client.url)
            self.client.on_error(NetworkError(f"{type(error).__name__}: {error}"))
        finally:
            self._t_in = 0

    # Who it is for

    def future(self, message_hash: str) -> Any:
        """Learn the hashes of a subscribing `watch_*` call."""
        receiver = SUBSCRIBING.get()
        if receiver is not None:
            self._routes[message_hash] = receiver
        return self._future(message_hash)

    def asked(self, subscribe_hashes: Iterable[str | None]) -> None:
        """Learn what ccxt will remember as subscribed."""
        receiver = SUBSCRIBING.get()
        if receiver is not None:
            self._asked.update((subscribe_hash, receiver) for subscribe_hash in subscribe_hashes if subscribe_hash)

    def resolve(self, result: Any, message_hash: str) -> Any:
        receiver = self._routes.get(message_hash)
        if receiver is None or not receiver.resolved(result, self._t_in or time_ns()):
            return self._resolve(result, message_hash)
        waiting = self.client.futures.get(message_hash)
        if waiting is not self._standing:
            self._resolve(result, message_hash)
            if message_hash in self._routes:  # the receiver may have left meanwhile
                self.client.futures[message_hash] = self._standing
        return result

    def reject(self, error: Any, message_hash: str | None = None) -> Any:
        receiver = None if message_hash is None else self._routes.get(message_hash)
        if receiver is None or message_hash is None:
            return self._reject(error, message_hash)
        failure = error if isinstance(error, BaseException) else ExchangeError(str(error))
        if self.client.futures.get(message_hash) is self._standing:
            del self.client.futures[message_hash]
        elif message_hash in self.client.futures:
            self._reject(failure, message_hash)
        receiver.rejected(failure)
        return error

    def serves(self, receiver: Receiver) -> bool:
        return receiver in self._routes.values()

    @property
    def in_use(self) -> bool:
        return bool(self._routes)

    def serves_others(self, receiver: Receiver) -> bool:
        return any(other is not receiver for other in self._routes.values())

    def leave(self, receiver: Receiver) -> None:
        """Forget a receiver."""
        self.sent.discard(receiver)
        for message_hash in [message_hash for message_hash, other in self._routes.items() if other is receiver]:
            del self._routes[message_hash]
            self.client.futures.pop(message_hash, None)

    def forget_subscription(self, receiver: Receiver) -> None:
        """Have ccxt ask again next time."""
        for subscribe_hash in [subscribe_hash for subscribe_hash, other in self._asked.items() if other is receiver]:
            del self._asked[subscribe_hash]
            self.client.subscriptions.pop(subscribe_hash, None)

    async def check(self, now_ns: int, silence_ms: int) -> None:
        """Ask a connection that is idle for a third of `silence_ms` for a sign of life; give it up after the rest.

        Counted from the question: a loop that was busy must not take its own silence for the peer's.
        """
        silent_ms = (now_ns - self.seen_ns) / 1e6
        if self.client.closed() or silent_ms < silence_ms / 3:
            return
        if self._asked_ns > self.seen_ns:
            if now_ns - self._asked_ns >= silence_ms * 1e6 * 2 / 3:
                self.client.on_error(RequestTimeout(f"no sign of life for {silent_ms / 1000:.0f} s"))
            return
        self._asked_ns = now_ns
        try:
            if self.client.ping:
                await self.client.send(self.client.ping(self.client))
            else:
                await self.client.connection.ping()
        except Exception as error:  # whatever keeps us from asking: nobody is going to answer
            self.client.on_error(NetworkError(f"{type(error).__name__}: {error}"))


class ParserFront:
    """Stands before aiohttp's WebSocket parser."""

    def __init__(
        self, parser: Any, read: Callable[[Callable[[bytes], Any], bytes], Any], ended: Callable[[], None]
    ) -> None:
        self.feed_data = partial(read, parser.feed_data)
        self._feed_eof, self._ended = parser.feed_eof, ended

    def feed_eof(self) -> None:
        self._feed_eof()
        self._ended()
