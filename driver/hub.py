"""What one pro client holds while it watches: the connection, its streams, and who waits for what.

Joins the parts and keeps nothing of its own but who watches. Must not know what a feed makes of an update, nor any
unified method.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ccxt.base.errors import BaseError, ExchangeClosedByUser, NetworkError, UnsubscribeError

from driver.cursors import Cursor, Wakes
from driver.errors import Refusal, exception_of
from driver.link import Link, LinkError
from driver.socket_commands import SocketCommands
from driver.stream import PRIVATE, Key, Stream
from driver.streams import TRADES, Streams

log = logging.getLogger(__name__)

NO_SOCKET: Final = frozenset({400, 404, 405, 426, 501})  # HTTP: something answers, and it is no WebSocket


def _loads() -> Callable[[str | bytes], Any]:
    """The fastest parser there is."""
    try:
        import orjson  # noqa: PLC0415  # it may be missing
    except ImportError:
        return json.loads
    return orjson.loads


loads: Final = _loads()


class Want(NamedTuple):
    """A stream that a way of watching needs; `make` makes its feed when nobody has it yet."""

    key: Key
    make: Callable[[], Any]
    depth: int = 0
    symbols: tuple[Any, ...] | None = ()  # of a private stream: what to tell of, () for all; None: of nothing


class Watch(NamedTuple):
    """One way of watching: what of it is unread, and the streams that it is made of."""

    cursor: Any
    streams: list[Stream]


class Host(Protocol):
    """What the exchange does for it."""

    verbose: bool

    def dial(self) -> Any:
        """Connect: an awaitable of aiohttp's ClientWebSocketResponse."""

    def trace(self, way: str, text: str | bytes) -> None:
        """A message went `out` or came `in`."""

    def credential(self) -> str:
        """What to show when asked again."""

    def settings(self) -> Settings: ...

    async def poll(self, streams: Sequence[Stream]) -> None:
        """Bring feeds up to date by REST. Raises NetworkError when that cannot be done either."""


class Settings(NamedTuple):
    """How long things may take."""

    timeout_ms: float
    silence_ms: float
    poll_after_ms: float  # without a connection REST is asked
    poll_ms: float
    redeliver: bool


class Hub:
    """See the module."""

    def __init__(self, host: Host) -> None:
        self.watches: dict[Hashable, Watch] = {}
        self.wakes = Wakes(self._soon)
        self.streams = Streams(self._later, self._changed)
        self.commands = SocketCommands(self._later, self._changed)
        self.is_polling = False  # and REST answers
        self.is_refused = False  # there is no WebSocket where it was looked for
        self._host = host
        self._link: Link | None = None
        self._poller: asyncio.Task[None] | None = None
        self._polled: set[Stream] = set()  # of those that are looked back for, and not seen on the stream since
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushing = False
        self._timers: set[asyncio.TimerHandle] = set()

    # Watching

    def watch(self, name: Hashable, make: Callable[[], Cursor], wants: Callable[[], Sequence[Want]]) -> Watch:
        """The way of watching of this name; what it needs is subscribed."""
        watch = self.watches.get(name)
        if watch is None:
            watch = self.watches[name] = Watch(make(), [])
            for want in wants():
                stream = self.streams.use(want.key, want.make, want.depth)
                watch.streams.append(stream)
                if want.symbols is not None:
                    stream.sink.watch(watch.cursor, want.symbols)
        else:
            for stream in watch.streams:
                if not stream.is_live:
                    self.streams.need(stream)
        self.start()
        return watch

    def unwatch(self, name: Hashable) -> list[Stream]:
        """End a way of watching; who waits for it is told. The streams that nobody needs any more."""
        watch = self.watches.pop(name, None)
        if watch is None:
            return []
        watch.cursor.fail(UnsubscribeError(f"tickwire {name}"))
        for stream in watch.streams:
            stream.sink.unwatch(watch.cursor)
        return [stream for stream in watch.streams if self.streams.leave(stream.key)]

    def start(self) -> None:
        """Connect, unless that is so or under way."""
        if self._link is None:
            settings = self._host.settings()
            self.streams.redeliver = settings.redeliver
            self._link = Link(
                self._host.dial, self, timeout_ms=settings.timeout_ms, silence_ms=settings.silence_ms
            )  # fmt: skip
        if not self._link.is_running:
            self._link.start()

    @property
    def is_begun(self) -> bool:
        """There is, or will be, a connection."""
        return self._link is not None

    @property
    def is_open(self) -> bool:
        return self._link is not None and self._link.is_open

    async def close(self) -> None:
        """Nobody watches any more. Positions of private streams are kept, for a program that comes back."""
        link, self._link = self._link, None
        self._stop_polling()
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._polled.clear()
        self._timers.clear()
        for name, watch in list(self.watches.items()):
            watch.cursor.cancel()
            del self.watches[name]
            for stream in watch.streams:
                stream.sink.unwatch(watch.cursor)
                self.streams.leave(stream.key, is_kept=stream.key.channel in PRIVATE)
        self.commands.fail(ExchangeClosedByUser("tickwire: the exchange was closed by the program"))
        if link is not None:
            self.wakes.flush()  # what came is in the caches when it is confirmed
            self.streams.confirm_all()
            self._send_now(link)
            await link.close()

    # The connection (driver.link.Owner)

    def on_open(self) -> None:
        self.is_refused = False
        self._stop_polling()
        self.streams.opened()
        self.commands.opened()

    def on_text(self, text: str | bytes) -> None:
        message = loads(text)
        if self._host.verbose:
            self._host.trace("in", text)
        if not self.streams.receive(message):
            self._other(message)
        if self._polled:
            self._look_back()

    def on_drop(self) -> None:
        self.streams.closed()
        self.commands.closed()

    def on_failure(self, error: LinkError, down_ms: float) -> None:
        settings = self._host.settings()
        if error.code is not None:
            self._stop_polling()  # REST would say the same
            self.fail(exception_of(Refusal(error.code, str(error), error.status)))
            return
        if isinstance(error.__cause__, BaseError):
            self.fail(error.__cause__)  # it was not even tried: nothing is wrong with the line
            return
        self.is_refused = error.status in NO_SOCKET
        if self._poller is None and (self.is_refused or down_ms >= settings.poll_after_ms):
            self._poller = asyncio.create_task(self._poll(settings.poll_ms), name="tickwire polling")
        if down_ms >= settings.timeout_ms and not self.is_polling:
            self.fail(NetworkError(f"tickwire: no connection to the gateway: {error}"))

    def fail(self, error: BaseException) -> None:
        """Tell everybody who waits; who asks again waits again."""
        for watch in self.watches.values():
            watch.cursor.fail(error)
        self.commands.fail(error)

    def _other(self, message: dict[str, Any]) -> None:
        """What is not about a stream."""
        if self.commands.receive(message):
            return
        kind = message["type"]
        if kind == "connected":
            self.commands.running_max = message["limits"].get("commands_running_max", self.commands.running_max)
        elif kind == "server_shutdown":
            if self._link is not None:
                self._link.wait_ms = message["reconnect_after_ms"]
        elif kind == "reauthenticate":
            self._send({"action": "auth", "token": self._host.credential()})

    # Sending

    def _changed(self) -> None:
        """Something is to be sent: with all else of this turn."""
        if not self._flushing and self.is_open:
            self._flushing = True
            self._soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._link is not None and self._link.is_open:
            self._send_now(self._link)

    def _send_now(self, link: Link) -> None:
        for message in (*self.streams.requests(), *self.commands.requests()):
            self._send(message, link)

    def _send(self, message: dict[str, Any], link: Link | None = None) -> None:
        link = link or self._link
        if link is not None:
            text = json.dumps(message, separators=(",", ":"))
            if self._host.verbose:
                self._host.trace("out", text)
            link.send(text)

    # Time

    def _soon(self, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(action)

    def _later(self, delay_ms: float, action: Callable[[], None]) -> None:
        def act() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(delay_ms / 1000, act)
        self._timers.add(timer)

    # Without a socket

    async def _poll(self, poll_ms: float) -> None:
        while True:
            streams = list(self.streams.by_key.values())
            self._polled.update(each for each in streams if each.key.channel == TRADES and not each.epoch)
            try:
                await self._host.poll(streams)
                self.is_polling = True
                self._polled.update(each for each in streams if each.key.channel in PRIVATE and not each.epoch)
            except Exception as error:
                if not isinstance(error, NetworkError):  # a fault of ours: nobody would be told anything any more
                    log.exception("polling failed")
                self.is_polling = False
                for stream in streams:
                    if stream.key.channel not in PRIVATE:
                        stream.sink.live(False)  # what REST told before is old by now
            await asyncio.sleep(poll_ms / 1000)

    def _look_back(self) -> None:
        """A stream without a position begins now: what happened since REST was asked last is asked for once more."""
        live = [stream for stream in self._polled if stream.is_live]
        self._polled.difference_update(live)
        if live:
            task = asyncio.create_task(self._poll_again(live), name="tickwire last look")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _poll_again(self, streams: Sequence[Stream]) -> None:
        try:
            await self._host.poll(streams)
        except NetworkError as error:
            log.warning("what happened before the stream began is asked for again: %s", error)
            self._later(self._host.settings().poll_ms, lambda: self._look_again(streams))

    def _look_again(self, streams: Sequence[Stream]) -> None:
        self._polled.update(streams)
        self._look_back()

    def _stop_polling(self) -> None:
        self.is_polling = False
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
