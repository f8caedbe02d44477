"""Who listens to which stream, and the bytes on their way to them.

A `Topic` is one stream: it frames a payload once for raw and once for combined connections. A `Connection` gathers
frames and hands them to its transport in one write a turn of the loop, so a burst published in one turn leaves in one
write. The faults that concern sending (silence, delay, skipping, holding) act here and nowhere else.
"""

import asyncio
import struct
from collections import Counter, deque
from collections.abc import Callable

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# A reader this far behind is cut off, as an exchange does.
BUFFERED_BYTES_MAX = 64 << 20
# The replay waits for readers further behind than this.
BACKLOG_BYTES_MAX = 256 << 10
BACKLOG_POLL_S = 0.001
BACKLOG_PATIENCE_S = 30.0


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A finished unmasked server frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


class Connection:
    """The sending side of one market-data socket."""

    def __init__(self, transport: asyncio.Transport, number: int, *, combined: bool, counters: Counter[str]) -> None:
        self.number = number
        self.combined = combined
        self.topics: dict[str, Topic] = {}
        self.silent = False
        # Whether pings are answered while silent.
        self.answers_pings = False
        self.delay_s = 0.0
        self._transport = transport
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._flushing = False
        self._delayed: deque[tuple[float, bytes]] = deque()

    @property
    def buffered_bytes(self) -> int:
        if self._transport.is_closing():
            return 0
        return self._transport.get_write_buffer_size() + sum(map(len, self._pending))

    def send(self, finished: bytes) -> None:
        if self.silent:
            self._counters["messages_silenced"] += 1
        elif self.delay_s or self._delayed:
            self._delay(finished)
        else:
            self._gather(finished)

    def pong(self, finished: bytes) -> None:
        """Answer a ping, unless silence was ordered to be complete."""
        if not self.silent or self.answers_pings:
            self._gather(finished)

    def speak(self) -> None:
        """End a silence."""
        self.silent = False

    def hurry(self) -> None:
        """End a delay; what is delayed already still leaves in order."""
        self.delay_s = 0.0

    def _gather(self, finished: bytes) -> None:
        self._pending.append(finished)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def _delay(self, finished: bytes) -> None:
        due = self._loop.time() + self.delay_s
        if self._delayed:
            due = max(due, self._delayed[-1][0])
        else:
            self._loop.call_at(due, self._release)
        self._delayed.append((due, finished))

    def _release(self) -> None:
        now = self._loop.time()
        while self._delayed and self._delayed[0][0] <= now:
            self._gather(self._delayed.popleft()[1])
        if self._delayed:
            self._loop.call_at(self._delayed[0][0], self._release)

    def flush(self) -> None:
        self._flushing = False
        gathered, self._pending = self._pending, []
        if not gathered or self._transport.is_closing():
            return
        self._transport.write(b"".join(gathered))
        self._counters["messages_sent"] += len(gathered)
        self._counters["writes"] += 1
        if self._transport.get_write_buffer_size() > BUFFERED_BYTES_MAX:
            self._counters["slow_readers_cut"] += 1
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._transport.abort()


class Topic:
    """One stream: its subscribers and what was counted of it."""

    __slots__ = ("_counters", "_held", "_prefix", "connections", "hold_count", "messages", "name", "skip_count",
                 "subscribe_count")  # fmt: skip

    def __init__(self, name: str, counters: Counter[str]) -> None:
        self.name = name
        self.connections: dict[int, Connection] = {}
        self.subscribe_count = 0
        self.messages = 0
        self.skip_count = 0
        self.hold_count = 0
        self._held: list[tuple[bytes, bytes | None]] = []
        self._prefix = b'{"stream":"%b","data":' % name.encode()
        self._counters = counters

    def publish(self, data: bytes, envelope: bytes | None = None) -> None:
        """Send a payload to every subscriber; `envelope` is its combined form when there is one already."""
        if not self.connections:
            return
        if self.skip_count:
            self.skip_count -= 1
            self._counters["messages_skipped"] += 1
            return
        if self.hold_count:
            self._held.append((data, envelope))
            if len(self._held) >= self.hold_count:
                self.release()
            return
        self._send(data, envelope)

    def release(self) -> None:
        """Send what was held back; all in this turn of the loop, hence in one write a connection."""
        held, self._held, self.hold_count = self._held, [], 0
        for data, envelope in held:
            self._send(data, envelope)

    def _send(self, data: bytes, envelope: bytes | None) -> None:
        self.messages += 1
        single = combined = b""
        for connection in self.connections.values():
            if connection.combined:
                combined = combined or frame(envelope or self._prefix + data + b"}")
                connection.send(combined)
            else:
                single = single or frame(data)
                connection.send(single)


class Streams:
    """Every topic ever named and every connection open now."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.connections: dict[int, Connection] = {}
        self.counters: Counter[str] = Counter()
        # Called at every subscription: a replay may wait for the first one.
        self.on_subscribe: Callable[[], None] | None = None

    def topic(self, name: str) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, self.counters)
        return topic

    def join(self, transport: asyncio.Transport, *, combined: bool) -> Connection:
        self.counters["connections_accepted"] += 1
        number = self.counters["connections_accepted"]
        connection = Connection(transport, number, combined=combined, counters=self.counters)
        self.connections[number] = connection
        return connection

    def leave(self, connection: Connection) -> None:
        for name in list(connection.topics):
            self.unsubscribe(connection, name)
        del self.connections[connection.number]

    def subscribe(self, connection: Connection, name: str) -> None:
        self.attach(connection, name)
        if self.on_subscribe is not None:
            self.on_subscribe()

    def attach(self, connection: Connection, name: str) -> None:
        """Subscribe without being the one a replay waits for: to a stream that is no market's."""
        topic = self.topic(name)
        topic.subscribe_count += 1
        topic.connections[connection.number] = connection
        connection.topics[name] = topic

    def unsubscribe(self, connection: Connection, name: str) -> None:
        topic = connection.topics.pop(name, None)
        if topic is not None:
            del topic.connections[connection.number]

    async def drained(self) -> None:
        """Wait until every reader has taken nearly all it was sent; one that takes nothing for long is cut off.

        Polls: the transport belongs to the web server, which keeps its pause and resume calls to itself.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + BACKLOG_PATIENCE_S
        await asyncio.sleep(0)
        while behind := [c for c in self.connections.values() if c.buffered_bytes > BACKLOG_BYTES_MAX]:
            if loop.time() > give_up:
                for connection in behind:
                    self.counters["slow_readers_cut"] += 1
                    connection.abort()
                return
            await asyncio.sleep(BACKLOG_POLL_S)

    def status(self) -> dict[str, dict[str, int]]:
        return {
            topic.name: {
                "subscribers": len(topic.connections),
                "subscribes": topic.subscribe_count,
                "messages": topic.messages,
            }
            for topic in self.topics.values()
            if topic.subscribe_count
        }
