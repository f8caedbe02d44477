"""The other processes of a gateway: started, watched, started again, and ended with the first one.

Holds their processes and links, and what they have counted. Must not know what is served on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from gateway.config import Config
from gateway.core.watch import full_jitter
from gateway.net.links import Link
from gateway.net.worker import REPORT_S, Settings
from gateway.wire import link
from gateway.wire.link import LinkForm

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from _speedups.frame import Form
    from gateway.net.listener import Listener

log = structlog.get_logger(__name__)

START_S: Final = 20.0  # until the first process takes it that workers do not come
BEGIN_S: Final = 60.0  # for a worker's first word: on a machine short of CPU its imports take long
END_S: Final = 3.0  # for a worker to say goodbye
BACKOFF_S: Final = 0.25
BACKOFF_MAX_S: Final = 10.0
STABLE_S: Final = 10.0  # who has lived so long is started again at once
LINK_BUFFER_BYTES: Final = 1 << 20  # of the kernel, which may give less
# What is for the first process alone: settings with secrets in them, and what systemd is told.
OURS: Final = ("TICKWIRE_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


class Silence:
    """How long a worker has said nothing, in turns of ours that are one report apart.

    Turns and not time: who was held up itself wakes up to one turn, reads what has come meanwhile, and knows.
    """

    def __init__(self, limit_s: float) -> None:
        self.turns = 0
        self._heard = 0
        self._limit_s = limit_s

    def lasts(self, heard: int) -> bool:
        """One more turn; `heard`: how often anything has come until now. True: it hangs."""
        self.turns = self.turns + 1 if heard == self._heard else 0
        self._heard = heard
        return self.turns * REPORT_S > (self._limit_s if heard else BEGIN_S)


class Seat:
    """One worker's place; who sits there may change."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.link: Link | None = None
        self.process: Process | None = None
        self.is_up = asyncio.Event()
        self.starts = 0
        self.is_hung = False
        self.past: Counter[str] = Counter()  # what those before have counted
        self.past_sockets: Counter[str] = Counter()
        self.past_buckets: Counter[int] = Counter()

    def retire(self) -> None:
        """Nobody sits there any more; what they counted stays."""
        if self.link is not None:
            report = self.link.report
            self.past.update(report.counters)
            self.past_sockets.update(report.sockets)
            self.past_buckets.update(dict(report.buckets))
        self.link = self.process = None
        self.is_up.clear()


class Workers:
    """All of them. `Fanned` for the statistics: its own fan-out and theirs in sum."""

    def __init__(self, config: Config, listener: Listener, fanout: Fanout, forms: Sequence[Form]) -> None:
        """`forms`: the frame classes that the workers have too, in their order."""
        self.seats = [Seat(index) for index in range(1, config.server.workers)]
        self._config = config
        self._listener = listener
        self._fanout = fanout
        self._forms = {form: number for number, form in enumerate(forms)}
        self._form = LinkForm()
        self._tasks: list[asyncio.Task[None]] = []
        self._inherited: socket.socket | None = None
        self._ending = asyncio.Event()
        self._has_time = True  # for goodbyes

    async def start(self, inherited: socket.socket | None = None) -> None:
        """Start them, and wait until they listen, or are not to be waited for."""
        self._inherited = inherited
        self._tasks = [asyncio.create_task(self._keep(seat), name=f"worker {seat.index}") for seat in self.seats]
        try:
            async with asyncio.timeout(START_S):
                for seat in self.seats:
                    await seat.is_up.wait()
        except TimeoutError:
            log.error("workers do not start", workers=[seat.index for seat in self.seats if not seat.is_up.is_set()])

    def are_up(self) -> bool:
        """Whether all of them take connections."""
        return all(seat.is_up.is_set() for seat in self.seats)

    def close_accepting(self) -> None:
        """Take no new connections."""
        self._ending.set()
        self._tell(link.control(link.Stop()))

    def reload(self) -> None:
        """Read the certificate again."""
        self._tell(link.control(link.Reload()))

    async def close(self) -> None:
        """End them, and wait until they have ended: who goes before is told of their end on a loop that is closed.

        Each has `END_S` for it, and none where this is cancelled: they are killed then.
        """
        self._ending.set()
        for seat in self.seats:
            if seat.link is not None:
                seat.link.close()
        if not self._tasks:
            return
        try:
            await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            self._has_time = False
            for seat in self.seats:
                if seat.process is not None and seat.process.returncode is None:
                    seat.process.kill()
            await asyncio.wait(self._tasks, timeout=END_S)
            raise

    # For the statistics

    def counters(self) -> dict[str, int]:
        """Of all processes; an update is counted once."""
        total = Counter(self._fanout.counters())
        for seat in self.seats:
            for counters in (seat.past, *([seat.link.report.counters] if seat.link else [])):
                total.update({name: count for name, count in counters.items() if name != "updates"})
        return dict(total)

    def latency_buckets(self) -> list[tuple[int, int]]:
        total = Counter(dict(self._fanout.latency_buckets()))
        for seat in self.seats:
            total.update(seat.past_buckets)
            if seat.link is not None:
                total.update(dict(seat.link.report.buckets))
        return sorted(total.items())

    def sockets(self) -> Mapping[str, int]:
        """What became of sockets before a worker had a byte of them; the others are the listener's to count."""
        total: Counter[str] = Counter()
        for seat in self.seats:
            total.update(seat.past_sockets)
            if seat.link is not None:
                total.update(seat.link.report.sockets)
        del total["accepted"]
        return total

    def told(self) -> list[dict[str, Any]]:
        """Each of them, for operators."""
        return [_told(seat) for seat in self.seats]

    # Within

    def _tell(self, message: bytes) -> None:
        for seat in self.seats:
            if seat.link is not None:
                seat.link.send(message)

    async def _keep(self, seat: Seat) -> None:
        """Have somebody sit there until all ends."""
        failures = 0
        while not self._ending.is_set():
            begun_s = time.monotonic()
            code: int | str
            try:
                code = await self._serve(seat)
            except OSError as error:
                code = str(error)
            except Exception as error:  # a bug of ours: the seat is not to stay empty for it
                log.exception("a worker cannot be kept", worker=seat.index)
                code = repr(error)
            seat.retire()
            if self._ending.is_set():
                return
            failures = 0 if time.monotonic() - begun_s > STABLE_S else failures + 1
            pause_s = full_jitter(BACKOFF_S, BACKOFF_MAX_S, failures, random.uniform) if failures else 0.0
            log.error("a worker has ended", worker=seat.index, code=code, again_in_s=round(pause_s, 2))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)

    async def _serve(self, seat: Seat) -> int:
        """One process, from its start to its end; its exit code. Raises OSError when it cannot be started."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        config = self._config
        with theirs:
            passed = [each.fileno() for each in (theirs, self._inherited) if each is not None]
            try:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_BUFFER_BYTES)
                seat.process = process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gateway.worker", config.log.level, config.log.format),
                    *map(str, passed),
                    pass_fds=passed,
                    stdin=asyncio.subprocess.DEVNULL,
                    env={name: value for name, value in os.environ.items() if not name.startswith(OURS)},
                )
            except BaseException:
                ours.close()
                raise
        seat.starts += 1
        seat.is_hung = False
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        seat.link = to = Link(self._listener, self._fanout, self._forms, self._form, seat.is_up.set, loop.call_later)
        await loop.create_unix_connection(lambda: to, sock=ours)
        settings = msgspec.json.encode(Settings(config.server, config.limits))
        to.send(link.control(link.Welcome(seat.index, self._listener.port, settings)))
        try:
            if not self._ending.is_set():  # else nobody else closes it
                await _either(process.wait(), to.lost.wait(), self._until_silent(seat, to))
        finally:
            to.close()
        if seat.is_hung and process.returncode is None:
            process.kill()
        try:
            return await asyncio.wait_for(process.wait(), END_S if self._has_time else 0)
        except TimeoutError:  # it does not even notice that the link is gone
            process.kill()
            return await process.wait()

    async def _until_silent(self, seat: Seat, to: Link) -> None:
        """Until it says nothing any more, although it is there."""
        silence = Silence(self._config.limits.worker_silence_s)
        while not silence.lasts(to.heard):  # noqa: ASYNC110  # nothing tells that nothing comes
            await asyncio.sleep(REPORT_S)
        seat.is_hung = True
        log.error("a worker hangs: it is killed", worker=seat.index, silent_s=silence.turns * REPORT_S)


async def _either(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _told(seat: Seat) -> dict[str, Any]:
    report = None if seat.link is None else seat.link.report
    return {
        "worker": seat.index,
        "pid": None if seat.process is None else seat.process.pid,
        "listening": seat.is_up.is_set(),
        "starts": seat.starts,
        "connections": 0 if seat.link is None else len(seat.link.conns),
        "streams": 0 if seat.link is None else seat.link.streams,
        "messages": 0 if report is None else report.counters.get("messages", 0),
        "updates": 0 if report is None else report.updates,
        "cpu_ms": 0 if report is None else report.cpu_ms,
    }
