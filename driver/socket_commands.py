"""Commands that go over the socket: sent when there is room, answered when they are done, and asked for again.

Each has request ids of its own, so that what a connection took with it may be sent once more and is never done twice.
Holds futures and no clock. Must not know the socket, nor what a command does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from ccxt.base.errors import NetworkError

from driver.errors import Refusal, exception_of

RUNNING_MAX: Final = 32  # until the gateway says how many
RETRY_MS: Final = 100


class SocketCommands:
    """Those of one connection, and of the next one when it is lost."""

    def __init__(self, later: Callable[[int, Callable[[], None]], object], changed: Callable[[], None]) -> None:
        """`later` calls something in that many ms; `changed` says that `requests` has something to send."""
        self.running_max = RUNNING_MAX
        self._later = later
        self._changed = changed
        self._waiting: dict[str, Any] = {}  # what is to be sent, by name
        self._running: dict[str, Any] = {}
        self._lost: set[str] = set()  # were under way on a connection that is gone: they may have been done
        self._futures: dict[str, asyncio.Future[Any]] = {}
        self._count = 0
        self._is_open = False

    async def execute(self, body: Any) -> Any:
        """The `data` of the answer. `body` is one command or several, each with its `request_id`.

        Raises what all of it was refused with, and a NetworkError that `refusal_of` knows nothing of when it may have
        been done. Who is cancelled meanwhile does not hear of it any more.
        """
        self._count += 1
        name = f"c{self._count}"
        future = self._futures[name] = asyncio.get_running_loop().create_future()
        self._waiting[name] = body
        self._changed()
        try:
            return await future
        finally:
            for table in (self._futures, self._waiting, self._running):
                table.pop(name, None)
            self._lost.discard(name)
            self._changed()  # there may be room for another one

    def opened(self) -> None:
        """A new connection: what was under way on the old one is asked for again, in the same order."""
        self._is_open = True
        self._waiting = {**self._running, **self._waiting}
        self._running = {}
        self._changed()

    def closed(self) -> None:
        self._is_open = False
        self._lost |= self._running.keys()

    def requests(self) -> list[dict[str, Any]]:
        """What is to be sent now."""
        made: list[dict[str, Any]] = []
        while self._is_open and self._waiting and len(self._running) < self.running_max:
            name = next(iter(self._waiting))
            self._running[name] = body = self._waiting.pop(name)
            made.append({"action": "command", "id": name, "payload": body})
        return made

    def receive(self, message: Mapping[str, Any]) -> bool:
        """An answer; False: it is about something else."""
        name = message.get("id")
        kind = message["type"]
        if not isinstance(name, str) or not name.startswith("c") or kind not in {"command_result", "error"}:
            return False
        future = self._futures.get(name)
        if future is None or future.done():
            return True
        if kind == "command_result":
            future.set_result(message["data"])
        elif message["code"] == "rate_limited" and name in self._running:  # nothing of it was begun
            self._later(message.get("retry_after_ms") or RETRY_MS, lambda: self._again(name))
        else:
            said = Refusal(
                message["code"], message["message"], details=message.get("details") or {},
                retry_after_ms=message.get("retry_after_ms"),
            )  # fmt: skip
            self._end(name, exception_of(said))
        return True

    def fail(self, error: BaseException) -> None:
        """There will be no connection."""
        for name, future in self._futures.items():
            if not future.done():
                self._end(name, error, is_sent=name in self._running)

    def _end(self, name: str, error: BaseException, *, is_sent: bool = False) -> None:
        """What refuses a connection, or a second try, says nothing of what was sent before."""
        if is_sent or name in self._lost:
            lost = NetworkError(f"tickwire: the answer to a command was lost: {error}")
            lost.__cause__ = error
            error = lost
        self._futures[name].set_exception(error)

    def _again(self, name: str) -> None:
        if name in self._running:
            self._waiting = {name: self._running.pop(name), **self._waiting}
            self._changed()
