"""A worker: holds sockets for the first process of a gateway, and gives each of them what the streams bring.

It accepts, speaks TLS, passes on what clients say, writes what it is told to, and frames and writes what its copies of
streams bring. Holds nothing that is decided: no request is read here. Must not know dialects, sessions or sources.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog

from _speedups.frame import OP_TEXT, encode
from gateway.config import ServerConfig
from gateway.core.fanout import make_fanout
from gateway.core.mirror import Known, Mirror
from gateway.limits import Limits
from gateway.net.addresses import Proxies
from gateway.net.certificate import Certificate, CertificateError
from gateway.net.deflate import compress
from gateway.net.held import Held, HeldEntrance
from gateway.net.port import Entrance, Port
from gateway.wire import link, stream
from gateway.wire.forms import Forms
from gateway.wire.link import LinkError

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from _speedups.frame import Form

log = structlog.get_logger(__name__)

REPORT_S: Final = 1.0
BACKLOG_BYTES: Final = 1 << 20  # of what clients say and the first process does not read: then none is read
GOODBYE_S: Final = 1.0  # for the CLOSE of each client when the first process is gone
RECONNECT_AFTER_MS: Final = 250


class Settings(msgspec.Struct, frozen=True):
    """What a worker needs of the configuration."""

    server: ServerConfig
    limits: Limits


class Worker(asyncio.Protocol):
    """This process's end of the link."""

    def __init__(self, inherited: socket.socket | None = None) -> None:
        """`inherited`: a socket that listens already."""
        self.ended = asyncio.Event()
        self.forms: Sequence[Form] = ()
        self._emptied = asyncio.Event()
        self.sockets: dict[int, Held] = {}
        self.mirrors: dict[int, Mirror] = {}
        self.port: WorkerPort | None = None
        self.is_blocked = False  # the first process takes no more for now
        self.waiting: set[Held] = set()  # are read again when it does
        self._is_stopped = False  # it takes no new connection any more, or never will
        self._inherited = inherited
        self._given = 0
        self._updates = 0
        self._reader = link.Reader()
        self._transport: asyncio.Transport | None = None
        self._certificate: Certificate | None = None
        self._starting: asyncio.Task[None] | None = None
        self._reporter: asyncio.TimerHandle | None = None

    # For the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BACKLOG_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._reader.feed(data):
                self._take(link.down(payload))
            if self.port is not None:
                self.port.shared.fanout.settle()
        except (LinkError, ValueError) as error:
            log.error("the first process says what it cannot mean", error=str(error))
            self.close()

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        waiting, self.waiting = self.waiting, set()
        for held in waiting:
            held.read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    # For its sockets

    def send(self, message: bytes) -> None:
        """A framed message to the first process."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(message)

    def enter(self, held: Held) -> int:
        """The number of a new socket."""
        self._given += 1
        self.sockets[self._given] = held
        return self._given

    def leave(self, conn: int, held: Held) -> None:
        """It is gone."""
        self.waiting.discard(held)
        self.sockets.pop(conn, None)
        if not self.sockets:
            self._emptied.set()
        self.send(link.control(link.Lost(conn)))

    def close(self) -> None:
        """Give the link up."""
        if self._transport is not None:
            self._transport.abort()
        self.ended.set()

    async def goodbye(self) -> None:
        """The first process is gone: send every client away, to whoever comes next."""
        if self._starting is not None:
            self._starting.cancel()
        if self._reporter is not None:
            self._reporter.cancel()
        if self.port is None:
            return
        self.port.close()
        said = encode(OP_TEXT, stream.server_shutdown(int(GOODBYE_S * 1000), RECONNECT_AFTER_MS))
        for held in list(self.sockets.values()):
            self._alone(held, held.goodbye, said)
        if self.sockets:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):  # clients that answer the CLOSE end by themselves
                await asyncio.wait_for(self._emptied.wait(), GOODBYE_S)
        for held in list(self.sockets.values()):
            held.transport.abort()

    # Within

    def _take(self, message: link.Update | link.Bytes | link.Down) -> None:
        if isinstance(message, link.Update):
            self._updates += 1
            mirror = self.mirrors.get(message.number)
            if mirror is not None:
                known = Known(message.sequence, message.data, message.t_ex, message.t_in)
                mirror.publish(known, is_whole=message.is_whole)
        elif isinstance(message, link.Bytes):
            if (held := self.sockets.get(message.conn)) is not None:
                self._alone(held, held.write, message.data)
        elif isinstance(message, link.Follow | link.Unfollow | link.Gap):
            self._copy(message)
        elif isinstance(message, link.Welcome | link.Stop | link.Reload):
            self._obey(message)
        elif (held := self.sockets.get(message.conn)) is not None:
            self._alone(held, held.told, message)

    def _alone(self, held: Held, call: Callable[[Any], None], what: Any) -> None:
        """What fails for one socket ends that one, and not the link of all."""
        try:
            call(what)
        except Exception:
            log.exception("a socket failed: it is dropped")
            held.abort()

    def _obey(self, message: link.Welcome | link.Stop | link.Reload) -> None:
        if isinstance(message, link.Welcome):
            self._starting = asyncio.get_running_loop().create_task(self._begin(message))
        elif isinstance(message, link.Reload):
            if self._certificate is not None:
                self._certificate.reload()
        else:
            self._is_stopped = True
            if self.port is not None:
                self.port.close_accepting()

    def _copy(self, message: link.Follow | link.Unfollow | link.Gap) -> None:
        assert self.port is not None, "it has sockets"
        shared = self.port.shared
        if isinstance(message, link.Follow):
            state = message.state
            known = None if state is None else Known(state.sequence, state.data, state.t_ex, state.t_in)
            mirror = Mirror(shared.fanout, shared.limits, message.id, message.epoch, message.sequence, known)
            self.mirrors[message.number] = mirror
        elif isinstance(message, link.Unfollow):
            self.mirrors.pop(message.number, None)
        elif (found := self.mirrors.get(message.number)) is not None:
            if message.new_epoch is None:
                found.skip(message.last)
            else:
                found.reset(message.new_epoch, message.reason)

    async def _begin(self, welcome: link.Welcome) -> None:
        """Who cannot begin ends, and is started again: what was wrong may be put right by then."""
        try:
            await self._start(welcome)
        except (OSError, CertificateError) as error:
            log.error("a worker cannot take connections", error=str(error))
            self.close()
        except Exception:  # a bug of ours: nobody else would hear of it
            log.exception("a worker cannot begin")
            self.close()

    async def _start(self, welcome: link.Welcome) -> None:
        """Raises OSError when the port cannot be opened, CertificateError."""
        settings = msgspec.json.decode(welcome.settings, type=Settings)
        structlog.contextvars.bind_contextvars(worker=welcome.index)
        self._certificate = certificate = Certificate.of(settings.server)
        limits = settings.limits
        fanout = make_fanout(asyncio.get_running_loop(), limits)
        tls = (lambda: certificate.context) if certificate else None
        self.port = WorkerPort(self, limits, fanout, tls, settings.server)
        self.forms = Forms(limits, compress).all
        if self._is_stopped:  # before it has begun
            self._report()  # that it is there
            return
        await self.port.start(settings.server.host, welcome.port, reuse_port=True, inherited=self._inherited)
        if self._is_stopped:  # meanwhile: what is open by now is closed again
            self.port.close_accepting()
        self._report()
        self.send(link.control(link.Listening()))

    def _report(self) -> None:
        assert self.port is not None
        fanout = self.port.shared.fanout
        used = resource.getrusage(resource.RUSAGE_SELF)
        queued = {conn: held.outbox.queued_bytes for conn, held in self.sockets.items() if held.outbox.queued_bytes}
        report = link.Report(
            fanout.counters(),
            fanout.latency_buckets(),
            dict(self.port.counts),
            len(self.sockets),
            self._updates,
            int((used.ru_utime + used.ru_stime) * 1000),
            queued,
        )
        self.send(link.control(report))
        self._reporter = asyncio.get_running_loop().call_later(REPORT_S, self._report)


class WorkerPort(Port):
    """The port, as a worker has it open."""

    def __init__(self, worker: Worker, limits: Limits, fanout: Fanout, tls: Any, server: ServerConfig) -> None:
        proxies = Proxies(server.trusted_proxies, with_header=server.proxy_protocol)
        super().__init__(limits, fanout, Counter(), tls=tls, proxies=proxies)
        self.worker = worker

    @property
    def sockets(self) -> int:
        return len(self.entrances) + len(self.worker.sockets)

    def entrance(self) -> Entrance:
        return HeldEntrance(self, self.worker)
