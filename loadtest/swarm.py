"""The project's own compiled load client: builds `_swarm.c` at first use and runs it.

Holds the compiling of C tools into a cache folder, the swarm's options and its result. Must not know the server's
insides: the swarm speaks the stream dialect of the wire. Plain C, so that thousands of sockets and a million frames a
second fit one core, and so that nothing of the server's own code can hide a mistake from it.

`python -m loadtest.swarm --port 8765 --conns 1000 --symbols BTC/USDT --seconds 5` prints its figures as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from loadtest import cpu

SOURCE = Path(__file__).with_name("_swarm.c")
HEADERS = tuple(
    Path(__file__).with_name(f"_swarm_{name}.h")
    for name in ("deeds", "ends", "measure", "streams", "text", "told", "tokens")
)
MESSAGES_MAX = 64  # of `_swarm.c`
SHARES = {  # of a swarm's connections, those who do not just read, and what they do
    "stalled": "so many stop reading once up",
    "slow": "so many read a little, four times a second",
    "reconnecting": "so many lose their connection every few seconds and begin anew",
    "resuming": "so many do likewise, and go on where they were",
    "resubscribing": "so many subscribe anew every few seconds",
}
Buckets = list[tuple[float, int]]  # (us, frames), ascending
CONNECT_TIMEOUT_S = 120  # the swarm gives up by itself after this long
HANDSHAKE_TIMEOUT_S = 30.0  # of one connection: several times what one of 10,000 at once takes


class ToolError(Exception):
    """A load tool could not be built or did not finish; the message says which and why."""


def cache_folder() -> Path:
    """Where compiled tools and raw results are kept: beside other caches of the user, never in the source tree."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tickwire" / "bench"


def compiled(source: Path, *flags: str, depends: tuple[Path, ...] = ()) -> Path:
    """The program of a C source, compiled once for each content of the source, what it includes, and the flags."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        raise ToolError(f"no C compiler found to build {source.name}: install gcc, or name one in CC")
    content = b"".join(path.read_bytes() for path in (source, *depends))
    digest = hashlib.sha256(content + repr((compiler, flags)).encode()).hexdigest()[:16]
    program = cache_folder() / f"{source.stem}-{digest}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(  # noqa: S603 - a compiler found on PATH, on a source we name
        [compiler, "-O2", "-o", str(fresh), str(source), *flags], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"{compiler} could not build {source}:\n{done.stderr.strip()}")
    fresh.replace(program)
    return program


@dataclass(frozen=True)
class Swarm:
    """What one run of the swarm does; the defaults are those of `_swarm.c`."""

    port: int
    conns: int
    messages: tuple[str, ...]
    path: str = "/v1/stream"
    warmup_s: float = 1.0
    seconds: float = 5.0
    index_modulus: int = 0  # a %d in a message is the connection's index, modulo this when it is not 0
    index_first: int = 0  # counted from this
    in_flight: int = 64
    server_pid: int = 0
    stalled: int = 0
    slow: int = 0  # read a little, four times a second
    reconnecting: int = 0  # lose their connection every few seconds, and begin anew
    resuming: int = 0  # likewise, and go on where they were
    resubscribing: int = 0  # unsubscribe and subscribe every few seconds
    audit_s: float = 0.0  # stalled and slow readers read again for this long after the measurement
    drain_s: float = 5.0  # after the measurement, for those to arrive where the furthest was
    ping_every_ms: int = 0
    tell_every_ms: int = 0  # prints a line of what it has measured so often
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S  # then it is given up, and counted
    tokens: Path | None = None  # a bearer token a line: each connection shows the next one
    again: bool = False  # in the end all are dropped at once and come back
    deal: int = 0  # so many of the messages are a hand, and hands are dealt to connections in turn; 0: all to each
    apart: bool = False  # latency of throttled streams, which wait, is counted by itself
    prefix: tuple[str, ...] = field(default=())  # words before the command: taskset, chrt

    def command(self) -> list[str]:
        """The command line, building the program if need be; ToolError when more are to differ than there are."""
        others = self.stalled + self.slow + self.reconnecting + self.resuming + self.resubscribing
        if others > self.conns:
            raise ToolError(f"{others} of {self.conns} connections cannot stall, be slow, or come and go")
        if self.deal and len(self.messages) % self.deal:
            raise ToolError(f"{len(self.messages)} messages are no hands of {self.deal}")
        words = [*self.prefix, str(compiled(SOURCE, depends=HEADERS)), "-p", str(self.port), "-u", self.path]
        words += ["-n", str(self.conns), "-w", str(self.warmup_s), "-d", str(self.seconds), "-C", str(self.in_flight)]
        words += ["-P", str(self.server_pid), "-S", str(self.stalled), "-L", str(self.slow), "-A", str(self.audit_s)]
        words += ["-R", str(self.reconnecting), "-U", str(self.resuming), "-Q", str(self.resubscribing)]
        words += ["-o", str(self.index_first), "-M", str(self.index_modulus), "-G", str(self.drain_s)]
        words += ["-i", str(self.ping_every_ms), "-e", str(self.tell_every_ms)]
        words += ["-H", str(self.handshake_timeout_s)]
        words += ["-T", str(self.tokens)] if self.tokens else []
        words += ["-B"] if self.again else []
        words += ["-D", str(self.deal)] if self.deal else []
        words += ["-W"] if self.apart else []
        for message in self.messages:
            words += ["-m", message]
        return words

    def run(self) -> dict[str, float]:
        """Run to the end and return what was measured (the keys are those `_swarm.c` prints)."""
        return self.run_to_buckets()[0]

    def run_to_buckets(self) -> tuple[dict[str, float], Buckets]:
        """The same, and how many frames took how long from `t_in`."""
        return read(self.run_to_lines())

    def run_to_lines(self) -> list[str]:
        """The same as it is printed, with the lines of what was told meanwhile."""
        raise_open_files()
        limit_s = CONNECT_TIMEOUT_S + self.warmup_s + self.seconds + self.drain_s + self.audit_s + 10
        return printed_lines(self.command(), timeout_s=limit_s)

    @contextlib.contextmanager
    def measuring(
        self, meanwhile: Callable[[], object] = lambda: None
    ) -> Iterator[Callable[[], tuple[dict[str, float], Buckets]]]:
        """The swarm measures from `warmup_s` after its last connection is up, which is when the block begins, until
        what is given is called: the same as `run_to_buckets` tells. `meanwhile` is done as it warms up; what takes
        longer is measured, too."""
        raise_open_files()
        words = self.command()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 - our own tool
            assert running.stdout is not None

            def ended() -> tuple[dict[str, float], Buckets]:
                running.terminate()
                out, _ = running.communicate()
                if running.returncode:
                    raise ToolError(f"the swarm ended with {running.returncode}")
                return read(out.strip().splitlines())

            try:
                if not running.stdout.readline():
                    raise ToolError("the swarm ended before its connections were up")
                measured_from_s = time.monotonic() + self.warmup_s
                meanwhile()
                time.sleep(max(0.0, measured_from_s - time.monotonic()))
                yield ended
            finally:
                running.kill()


def read(lines: list[str]) -> tuple[dict[str, float], Buckets]:
    """What the swarm prints, and how many frames took how long from `t_in`. A percentile of nothing, -1, is no number:
    it would meet every limit."""
    *_up, buckets, figures = lines
    told = json.loads(figures)
    told |= {name: math.nan for name, value in told.items() if name.endswith("_ms") and value < 0}
    return told, [(us, count) for us, count in json.loads(buckets)["histogram_us"]]


def last_json_line(command: list[str], *, timeout_s: float) -> dict[str, float]:
    """Run a load client and parse the last line of JSON it prints. `client_waited` is there even of one that does not
    tell it: of all the time it ran."""
    ended = run_to_end(command, timeout_s=timeout_s)
    figures: dict[str, float] = json.loads(ended.lines[-1])
    return {"client_waited": ended.shares.waited, **figures}


def printed_lines(command: list[str], *, timeout_s: float) -> list[str]:
    """Run a load client to its end; ToolError when it fails, says nothing, or takes longer."""
    return run_to_end(command, timeout_s=timeout_s).lines


class Ended(NamedTuple):
    """A load client that has run: what it printed, and its shares of the time it took."""

    lines: list[str]
    shares: cpu.Shares


def run_to_end(command: list[str], *, timeout_s: float) -> Ended:
    """The same, and what the kernel gave it, which can be read as long as nobody has waited for it."""
    name = Path(command[0]).name
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with subprocess.Popen(command, stdout=out, stderr=err) as running:  # noqa: S603 - our own tools
            began, ends = cpu.newborn(), os.pidfd_open(running.pid)
            try:
                if not select.select([ends], [], [], timeout_s)[0]:
                    raise ToolError(f"{name} did not finish in {timeout_s:.0f} s")
                shares = cpu.shares(began, cpu.given(running.pid))
            finally:
                os.close(ends)
                running.kill()  # unless it has ended
        out.seek(0)
        err.seek(0)
        said, complained = out.read().strip(), err.read().strip()
    if running.returncode or not said:
        raise ToolError(f"{name} ended with {running.returncode}: {complained[-500:]}")
    return Ended(said.splitlines(), shares)


def raise_open_files() -> int:
    """Lift the soft limit of open files to the hard one (children inherit it); returns what it is now."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def subscribe(symbols: list[str], channel: str = "quotes", **options: object) -> str:
    """A subscribe request of the stream dialect; symbols may hold one %d, the connection's index."""
    asked = {"action": "subscribe", "id": "1", "channel": channel, "symbols": symbols, **options}
    return json.dumps(asked, separators=(",", ":"))


def subscriptions(symbols: list[str], channel: str = "quotes") -> tuple[str, ...]:
    """A request for each symbol, as those need it who come and go; beyond what a swarm may send, one for all of them,
    by which only the first is resumed."""
    named = [[symbol] for symbol in symbols] if len(symbols) <= MESSAGES_MAX else [symbols]
    return tuple(subscribe(each, channel) for each in named)


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.swarm", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--conns", type=int, default=1000)
    parser.add_argument("--symbols", nargs="+", default=["BTC/USDT"])
    parser.add_argument("--channel", default="quotes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warmup", type=float, default=1.0)
    for name, what in SHARES.items():
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N", help=f"of the connections, {what}")
    parser.add_argument("--audit", type=float, default=0.0, help="seconds in which those who stalled read again")
    asked = parser.parse_args()
    swarm = Swarm(
        port=asked.port,
        conns=asked.conns,
        messages=subscriptions(asked.symbols, asked.channel),
        seconds=asked.seconds,
        warmup_s=asked.warmup,
        audit_s=asked.audit,
        **{name: getattr(asked, name) for name in SHARES},
    )
    try:
        print(json.dumps(swarm.run()))  # noqa: T201 - a command's output
    except ToolError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
