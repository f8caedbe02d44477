"""A link with both of its ends in this process, and no socket: what is said waits until a test carries it over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from _speedups.frame import OP_TEXT, encode
from gateway.config import ServerConfig
from gateway.core.away import AwayOutbox
from gateway.core.fanout import make_fanout
from gateway.core.hub import Subscribed
from gateway.core.key import Key
from gateway.limits import Limits
from gateway.net.held import Held
from gateway.net.link_transport import LinkTransport
from gateway.net.links import Link
from gateway.net.worker import Worker, WorkerPort
from gateway.wire import link
from gateway.wire.link import LinkForm
from tests.frames import whole
from tests.gateway.core.hub_parts import Desk, HandClock
from tests.speedups.fanout_parts import Message


class Wire:
    """A transport that keeps what is written; it holds bytes back when told to."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.protocol: Any = None
        self.slow = False
        self.ends: list[str] = []
        self.reads = True

    def write(self, data: bytes) -> None:
        if "eof" in self.ends:
            raise RuntimeError("Cannot call write() after write_eof()")  # as loops do
        self.written += data
        if self.slow:
            self.protocol.pause_writing()

    def wake(self) -> None:
        if self.slow:
            self.slow = False
            self.protocol.resume_writing()

    def take(self) -> bytes:
        taken = bytes(self.written)
        self.written.clear()
        return taken

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return SimpleNamespace(fileno=lambda: -1) if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None

    def is_closing(self) -> bool:
        return bool(self.ends)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ends.append("eof")

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Doors:
    """As much of the listener as a link asks for."""

    def __init__(self, limits: Limits) -> None:
        self.shared = SimpleNamespace(limits=limits)


class Client:
    """Somebody whose socket the worker has; read in the worker, subscribed in the first process."""

    def __init__(self, pair: Pair) -> None:
        self.wire = Wire()
        self.held = Held(pair.worker, cast("Any", self.wire), pair.port, "192.0.2.1", None)
        self.wire.protocol = self.held
        opened = pair.said_by_worker()[-1]
        assert isinstance(opened, link.Opened)
        self.transport = LinkTransport(pair.link, opened, cast("Any", self))
        pair.link.conns[opened.conn] = self.transport
        self.outbox: AwayOutbox = self.transport.get_extra_info("outbox")(pair.desk.fanout, self)
        self.happened: list[str] = []
        self._pair = pair

    def subscribe(self, key: Key, **options: Any) -> Subscribed:
        """And the answer, as a session says it."""
        at = self._pair.desk.hub.subscribe(self.outbox, key, form=self._pair.desk.form, **options)
        self.outbox.reply(encode(OP_TEXT, msgspec.json.encode({"ack": at.sequence})))
        return at

    def read(self) -> list[Message]:
        """The messages it was sent since the last call."""
        return [msgspec.json.decode(frame.payload) for frame in whole(self.wire.take())]

    # As a protocol in the first process

    def pause_writing(self) -> None:
        self.happened.append("paused")
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.happened.append("resumed")
        self.outbox.resume()

    def data_received(self, data: bytes) -> None:
        self.happened.append(data.decode())

    def eof_received(self) -> bool:
        self.happened.append("ended")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.happened.append("lost")

    def on_overflow(self) -> None:
        raise AssertionError("a stream of the hub never overflows")


class Pair:
    """The first process with its hub (`desk`), and one worker."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.desk = Desk(limits)
        self.begun = 0
        self.link = Link(
            cast("Any", Doors(self.desk.limits)), self.desk.fanout, {self.desk.form: 0}, LinkForm(),
            self._begin, self.desk.clock.call_later,
        )  # fmt: skip
        self.down, self.up = Wire(), Wire()
        self.down.protocol = self.link
        self.link.connection_made(cast("Any", self.down))
        self.clock = HandClock()
        self.worker = Worker()
        self.worker.connection_made(cast("Any", self.up))
        self.fanout = make_fanout(self.clock, self.desk.limits)
        self.port = self.worker.port = WorkerPort(self.worker, self.desk.limits, self.fanout, None, ServerConfig())
        self.worker.forms = [self.desk.form]

    def _begin(self) -> None:
        self.begun += 1

    def said_by_worker(self) -> list[Any]:
        return [link.up(payload) for payload in link.Reader().feed(self.up.take())]

    def said_to_worker(self) -> list[Any]:
        return [link.down(payload) for payload in link.Reader().feed(self.down.take())]

    def carry(self) -> None:
        """Everything that is due in both processes, and what they say to each other."""
        while True:
            self.desk.clock.settle()
            self.worker.data_received(self.down.take())
            self.clock.settle()
            if said := self.up.take():
                self.link.data_received(said)
            elif not self.down.written and not self.desk.clock.soon:
                break
