"""The admin endpoint: what is going on, and commands to the feed. Not a part of Binance.

    GET  /admin/status   connections, streams (subscribers, cumulative subscribes, messages), counters, feed, faults
    GET  /admin/wait     answers when the feed has nothing more to come; ?timeout_s= (default 60), then 408
    POST /admin/start    begin a waiting replay
    POST /admin/step     {"count": N}: play the next N recorded messages in one write
    POST /admin/burst    {"stream": "btcusdt@trade", "count": N}: make N messages of a stream in one write
    POST /admin/trade    {"symbol": "BTCUSDT", "side": "BUY", "size": "0.5"}: execute a market order
    POST /admin/faults   see `faults`

Commands that make no sense to the feed answer 409 with `{"error": ...}`, malformed ones 400.
"""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from loadtest.exchange.accounts import AccountError
from loadtest.exchange.commands import Command, CommandError, text, whole
from loadtest.exchange.faults import Faults
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.rest import JSON_TYPE
from loadtest.exchange.streams import Streams

COUNT_MAX = 100_000
TIMEOUT_S_MAX = 3_600


def answer(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON_TYPE)


def _count(command: Command) -> int:
    return whole(command, "count", 1, least=1, most=COUNT_MAX)


def handler(act: Callable[[Command], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Reads a command, and answers what it gave or why it was refused."""

    async def handle(request: web.Request) -> web.Response:
        try:
            command = orjson.loads(await request.read() or b"{}")
            if not isinstance(command, dict):
                raise CommandError("expected a JSON object")
            return answer(act(command))
        except (FeedError, AccountError) as error:
            return answer({"error": str(error)}, 409)
        except (orjson.JSONDecodeError, CommandError) as error:
            return answer({"error": str(error)}, 400)

    return handle


class Admin:
    def __init__(self, streams: Streams, feed: Feed, faults: Faults) -> None:
        self._streams = streams
        self._feed = feed
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/admin/status", self._status),
            web.get("/admin/wait", self._wait),
            web.post("/admin/start", handler(self._start)),
            web.post("/admin/step", handler(self._step)),
            web.post("/admin/burst", handler(self._burst)),
            web.post("/admin/trade", handler(self._trade)),
            web.post("/admin/faults", handler(self._fault)),
        ]

    async def _status(self, _: web.Request) -> web.Response:
        streams = self._streams.status()
        return answer(
            {
                "connections": len(self._streams.connections),
                "subscriptions": sum(stream["subscribers"] for stream in streams.values()),
                "streams": streams,
                "counters": self._streams.counters,
                "feed": self._feed.status(),
                "faults": self._faults.status(),
            }
        )

    async def _wait(self, request: web.Request) -> web.Response:
        try:
            timeout_s = float(request.query.get("timeout_s", "60"))
            if not 0 <= timeout_s <= TIMEOUT_S_MAX:
                raise ValueError
        except ValueError:
            return answer({"error": f"timeout_s must be a number from 0 to {TIMEOUT_S_MAX}"}, 400)
        try:
            async with asyncio.timeout(timeout_s):
                await self._feed.finished()
        except TimeoutError:
            return answer({"error": "still running"}, 408)
        except FeedError as error:
            return answer({"error": str(error)}, 409)
        return answer(self._feed.status())

    def _start(self, _: Command) -> object:
        self._feed.start()
        return self._feed.status()

    def _step(self, command: Command) -> object:
        return {"played": self._feed.step(_count(command))}

    def _burst(self, command: Command) -> object:
        count = _count(command)
        self._feed.burst(text(command, "stream"), count)
        return {"count": count}

    def _trade(self, command: Command) -> object:
        side = text(command, "side")
        if side not in ("BUY", "SELL"):
            raise CommandError("side must be BUY or SELL")
        try:
            return {"trades": self._feed.trade(text(command, "symbol"), text(command, "size"), buy=side == "BUY")}
        except ValueError as error:
            raise CommandError(f"size: {error}") from None

    def _fault(self, command: Command) -> object:
        return {"touched": self._faults.apply(command)}
