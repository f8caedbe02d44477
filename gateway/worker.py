"""A worker as a process: `python -m gateway.worker LEVEL FORMAT LINK [LISTENING]`, started by the first process.

Joins the link (a descriptor) and what answers on it. Ends when the link does: signals that are meant for the gateway
are the first process's to follow.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from gateway import log, loop
from gateway.collector import collecting
from gateway.net.worker import Worker


async def run(link: socket.socket, inherited: socket.socket | None) -> None:
    """Serve until the link ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running = asyncio.get_running_loop()
    worker = Worker(inherited)
    await running.create_unix_connection(lambda: worker, sock=link)
    with collecting(running.call_later):
        await worker.ended.wait()
        await worker.goodbye()


def main(arguments: list[str]) -> None:
    """How to log, and the descriptors of the link and of a socket that listens already."""
    level, how, *descriptors = arguments
    log.configure(level, how)
    link, *inherited = (socket.socket(fileno=int(each)) for each in descriptors)
    link.setblocking(False)
    for each in inherited:
        each.setblocking(False)
    loop.run(run(link, inherited[0] if inherited else None))


if __name__ == "__main__":
    main(sys.argv[1:])
