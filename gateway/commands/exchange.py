"""`tickwire exchange`: the simulated exchange, in a process of its own.

Holds how that process is started, watched and ended. Must not import it: it is an outsider that speaks the wire.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, Annotated, Final

from cyclopts import Parameter

from gateway.commands.failure import CommandError

COMMAND: Final = (sys.executable, "-m", "loadtest.exchange")
READY: Final = re.compile(r"exchange listening on (http://\S+)")
START_S_MAX: Final = 120.0  # a long recording is read before it is served
STOP_S_MAX: Final = 5.0
PR_SET_PDEATHSIG: Final = 1


def exchange(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> None:
    """Run the simulated exchange alone; `tickwire exchange --help` lists its options."""
    os.execv(sys.executable, [*COMMAND, *arguments])  # noqa: S606  # our own interpreter, no shell


class ExchangeProcess:
    """The simulated exchange as a child that does not outlive us, also when we are killed."""

    def __init__(self, arguments: Sequence[str]) -> None:
        # A session of its own: Ctrl-C reaches us alone, so that the gateway drains before its exchange goes.
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, no shell
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # no thread runs yet
        )
        self._ready = threading.Event()
        self._url: str | None = None
        self._lock = threading.Lock()
        self._tell: Callable[[], None] | None = None
        self.has_ended = False  # of itself, as long as nobody has stopped it
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait_ready(self) -> str:
        """Its address, once it listens."""
        has_spoken = self._ready.wait(START_S_MAX)
        if self._url is None:
            # Its output has ended, so it is about to; or it says nothing at all.
            how = f"ended with exit code {self._process.wait(STOP_S_MAX)}" if has_spoken else "does not get ready"
            self.stop()
            raise CommandError(f"the simulated exchange {how}; the lines above say why")
        return self._url

    def on_end(self, tell: Callable[[], None]) -> None:
        """Have it said, on another thread, when the exchange ends without `stop`; at once if it has ended."""
        with self._lock:
            self._tell = tell
            has_ended = self.has_ended
        if has_ended:
            tell()

    def stop(self) -> None:
        """End it, gently first. Safe to call again."""
        with self._lock:
            self._tell = None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(STOP_S_MAX)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self, output: IO[str]) -> None:
        """Wait for the line that says it is ready, and pass everything else on; a full pipe would stop it."""
        for line in output:
            if found := READY.search(line):
                self._url = found[1]
                self._ready.set()
            else:
                sys.stderr.write(line)
        self._ready.set()
        with self._lock:
            self.has_ended = True
            tell = self._tell
        if tell is not None:
            tell()


def _die_with_parent() -> None:
    """In the child: the kernel ends it when we are gone, however we went."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
