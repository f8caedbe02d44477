"""The gateway as a process: it serves until a signal says otherwise, and tells systemd how far it is.

Holds what signals mean. Must not know how a gateway is put together.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import structlog

from gateway.app import App, serving
from gateway.collector import collecting
from gateway.config import Config
from gateway.systemd import Notifier, inherited_socket

log = structlog.get_logger(__name__)


async def run(config: Config, *, ready: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once. SIGHUP: `App.reload`.

    `ready` is told the port once it is open; systemd is, where it has started us.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.current_task()  # until it is ready, which may take long: another process has to end first

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()
        if starting is not None:
            starting.cancel()

    notifier = Notifier(os.environ, loop.call_later)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        async with serving(config, inherited_socket(os.environ)) as app:
            starting = None
            loop.add_signal_handler(signal.SIGHUP, _reload, app, notifier)
            if ready is not None:
                ready(app.port)
            notifier.ready()
            with collecting(loop.call_later):
                await stop.wait()
                log.info("shutting down", connections=len(app.sessions.open))
                notifier.stopping()
                await app.drain()
    except asyncio.CancelledError:
        if starting is None or not stop.is_set():
            raise
    finally:
        notifier.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _reload(app: App, notifier: Notifier) -> None:
    notifier.reloading()
    app.reload()
    notifier.ready()
