"""What systemd gives a service and wants to be told: a listening socket, and how far the service is.

Source: sd_listen_fds(3) and sd_notify(3), which are environment variables, a descriptor and datagrams: no library is
needed. Holds both. Must not know what is served; without systemd nothing here does anything.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final, Protocol

import structlog

from gateway.errors import TickwireError

log = structlog.get_logger(__name__)

FIRST_DESCRIPTOR: Final = 3


def inherited_socket(environ: MutableMapping[str, str], *, first: int = FIRST_DESCRIPTOR) -> socket.socket | None:
    """The socket that was opened for us, which outlives us: who connects while we are replaced waits in its queue.

    Takes the variables out of `environ`: they are not for processes that we start. Raises TickwireError for something
    else than one listening TCP socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "0")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count == "0":
        return None
    if count != "1":
        raise TickwireError("validation_error", f"systemd passes {count} sockets: the unit must have one ListenStream")
    found = socket.socket(fileno=first)
    is_tcp = found.family in {socket.AF_INET, socket.AF_INET6} and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise TickwireError("validation_error", "systemd passes no listening TCP socket: see ListenStream of the unit")
    os.set_inheritable(first, False)
    found.setblocking(False)
    return found


class Timer(Protocol):
    """What a loop gives for a callback that is due later."""

    def cancel(self) -> None: ...


class Notifier:
    """Tells systemd how far we are, and that we are alive as often as it wants to hear it."""

    def __init__(self, environ: Mapping[str, str], call_later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # a name without a file
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._period_s = int(environ.get("WATCHDOG_USEC", "0")) / 2e6 if watched else 0.0
        self._call_later = call_later
        self._timer: Timer | None = None

    def ready(self) -> None:
        """Connections are taken."""
        self._send("READY=1")
        if self._timer is None and self._period_s:
            self._alive()

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """We are on our way out."""
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _alive(self) -> None:
        """Called by the loop: one that is stuck does not call, and systemd starts us anew."""
        self._send("WATCHDOG=1")
        self._timer = self._call_later(self._period_s, self._alive)

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("systemd could not be told", what=text.partition("=")[0], error=str(error))
