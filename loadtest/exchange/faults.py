"""Faults on command: what an exchange does on its bad days.

`POST /admin/faults` takes `{"fault": NAME, ...}`; those that concern sockets act on the connections open at that
moment, all of them or the subscribers of `stream`:

    drop                                cut connections without a close frame
    expire                              the 24-hour rule: close with a handshake
    silent   [seconds] [pong]           keep connections, send nothing; `pong` true still answers pings
    delay    ms [seconds]               send that much later, in order; 0 ends it
    skip     stream [count]             swallow the next messages of a stream
    hold     stream count               keep back messages of a stream, then send that many in one write
    rest     status [count|seconds] [path] [retry_after_s]
                                        answer requests whose path begins with `path` (default /api) that way;
                                        a path of /stream refuses WebSocket handshakes
    clear                               end silence, delays, skips, holds (what is held is sent), REST faults, and all
                                        that the other parts have

Those of trading are in `request_faults`, `event_faults` and `fills`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from aiohttp import web

from loadtest.exchange.commands import Command, CommandError, number
from loadtest.exchange.params import BinanceError
from loadtest.exchange.rest import JSON_TYPE
from loadtest.exchange.sockets import Sockets
from loadtest.exchange.streams import Connection, Streams, Topic

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HTML_TYPE = "text/html"
_FOREVER = float("inf")


class RestFault(NamedTuple):
    status: int
    path: str
    retry_after_s: int
    until_s: float


class Part(Protocol):
    """Faults of another kind, kept elsewhere."""

    kinds: Mapping[str, Callable[[Command], int]]

    def clear(self) -> None:
        """End what is going on and what is to come."""

    def status(self) -> Mapping[str, int]:
        """What is going on and what is to come, in numbers."""


class Faults:
    def __init__(self, streams: Streams, sockets: Sockets, parts: Sequence[Part] = ()) -> None:
        self._streams = streams
        self._sockets = sockets
        self._parts = parts
        self._rest: RestFault | None = None
        self._rest_left = _FOREVER
        self._tasks: set[asyncio.Task[None]] = set()
        self._kinds: dict[str, Callable[[Command], int]] = {
            "drop": self._drop,
            "expire": self._expire,
            "silent": self._silence,
            "delay": self._delay,
            "skip": self._skip,
            "hold": self._hold,
            "rest": self._fail_requests,
            "clear": self._clear,
        }
        for part in parts:
            self._kinds |= part.kinds

    def apply(self, command: Command) -> int:
        """Carry out a fault; returns how many connections, or streams, it touched."""
        kind = self._kinds.get(str(command.get("fault")))
        if kind is None:
            raise CommandError(f"fault must be one of {', '.join(self._kinds)}")
        touched = kind(command)
        self._streams.counters[f"faults_{command['fault']}"] += 1
        return touched

    def status(self) -> dict[str, object]:
        connections = self._streams.connections.values()
        told: dict[str, object] = {
            "silent": sum(connection.silent for connection in connections),
            "delayed": sum(connection.delay_s > 0 for connection in connections),
            "skipping": sum(topic.skip_count > 0 for topic in self._streams.topics.values()),
            "holding": sum(topic.hold_count > 0 for topic in self._streams.topics.values()),
            "rest": None if self._rest is None else self._rest.status,
        }
        for part in self._parts:
            told |= part.status()
        return told

    def _connections(self, command: Command) -> list[Connection]:
        if "stream" not in command:
            return list(self._streams.connections.values())
        return list(self._topic(command).connections.values())

    def _topic(self, command: Command) -> Topic:
        name = command.get("stream")
        if not isinstance(name, str) or name not in self._streams.topics:
            raise CommandError(f"no such stream: {name}")
        return self._streams.topics[name]

    def _drop(self, command: Command) -> int:
        connections = self._connections(command)
        for connection in connections:
            connection.abort()
        return len(connections)

    def _expire(self, command: Command) -> int:
        connections = self._connections(command)
        task = asyncio.get_running_loop().create_task(self._sockets.disconnect(connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return len(connections)

    def _later(self, command: Command, end: Callable[[], None]) -> None:
        if "seconds" in command:
            asyncio.get_running_loop().call_later(number(command, "seconds"), end)

    def _silence(self, command: Command) -> int:
        connections = self._connections(command)
        for connection in connections:
            connection.silent = True
            connection.answers_pings = command.get("pong") is True
            self._later(command, connection.speak)
        return len(connections)

    def _delay(self, command: Command) -> int:
        delay_s = number(command, "ms") / 1000
        connections = self._connections(command)
        for connection in connections:
            connection.delay_s = delay_s
            self._later(command, connection.hurry)
        return len(connections)

    def _skip(self, command: Command) -> int:
        self._topic(command).skip_count = int(number(command, "count", 1))
        return 1

    def _hold(self, command: Command) -> int:
        self._topic(command).hold_count = int(number(command, "count"))
        return 1

    def _fail_requests(self, command: Command) -> int:
        status = int(number(command, "status"))
        if not 400 <= status <= 599:
            raise CommandError("status must be 400 to 599")
        seconds = number(command, "seconds") if "seconds" in command else _FOREVER
        # A bare fault ends after one request, so that nobody is locked out by mistake.
        self._rest_left = number(command, "count", _FOREVER if "seconds" in command else 1)
        until_s = asyncio.get_running_loop().time() + seconds
        retry_after_s = int(number(command, "retry_after_s", 1))
        self._rest = RestFault(status, str(command.get("path", "/api")), retry_after_s, until_s)
        return 0

    def _clear(self, _: Command) -> int:
        for connection in self._streams.connections.values():
            connection.speak()
            connection.hurry()
        for topic in self._streams.topics.values():
            topic.skip_count = 0
            topic.release()
        for part in self._parts:
            part.clear()
        self._rest = None
        return len(self._streams.connections)

    def _refusal(self, path: str) -> RestFault | None:
        fault = self._rest
        if fault is None or not path.startswith(fault.path):
            return None
        if asyncio.get_running_loop().time() >= fault.until_s:
            self._rest = None
            return None
        self._rest_left -= 1
        if self._rest_left <= 0:
            self._rest = None
        return fault

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._refusal(request.path)
        if fault is None:
            return await handler(request)
        self._streams.counters["requests_refused"] += 1
        return _refuse(fault)


def failure(status: int) -> web.Response:
    """What stands before the exchange answers these, and it does not speak JSON."""
    return web.Response(status=status, text=f"<html><body>{status}</body></html>", content_type=HTML_TYPE)


def _refuse(fault: RestFault) -> web.Response:
    """The answer as Binance words it."""
    if fault.status >= 500:
        return failure(fault.status)
    headers = {"Retry-After": str(fault.retry_after_s)} if fault.status in (418, 429) else {}
    if fault.status == 429:
        error = BinanceError(-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.")
    elif fault.status == 418:
        error = BinanceError(-1003, "Way too much request weight used; IP banned. Please use WebSocket Streams.")
    else:
        error = BinanceError(-1000, "An unknown error occurred while processing the request.")
    return web.Response(status=fault.status, body=error.body(), headers=headers, content_type=JSON_TYPE)
