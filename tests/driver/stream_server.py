"""A gateway of the test on a real socket: it answers what a client asks of the stream, and says what it is told to say.

Holds connections and what was asked. Must not know the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from tests.waiting import until

KEY = "tw_secret-of-the-test"
MARKET = {
    "id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT",
    "type": "spot", "spot": True, "active": True, "contract": False, "settle": None,
    "precision": {"amount": 0.00001, "price": 0.01}, "limits": {}, "info": {},
}  # fmt: skip
DESCRIPTION = {
    "id": "binance",
    "exchange": "sim",
    "precisionMode": 4,
    "has": {"fetchTicker": True, "fetchCurrencies": False, "createTakeProfitOrder": True},
}


class StreamServer:
    """What it was asked, and how it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 101  # of an upgrade; another one refuses it
        self.dials = 0
        self.sockets: list[web.WebSocketResponse] = []
        self.asked: list[dict[str, Any]] = []  # on the stream
        self.requests: list[tuple[str, Any]] = []  # over HTTP: path and body
        self.answers: dict[str, Callable[[Any], Any]] = {}  # by path, or by action
        self.location = ""  # of a redirect, when `status` is one
        self.headers: dict[str, str] = {}
        self.is_silent = False  # it reads and says nothing
        self.states: dict[str, dict[str, Any]] = {}  # of the next subscriptions, by name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def say(self, message: dict[str, Any]) -> None:
        """To the newest connection."""
        await self.sockets[-1].send_str(json.dumps(message))

    async def drop(self) -> None:
        """Every connection breaks."""
        there = list(self.sockets)
        for socket in there:
            request = socket._req
            if request is not None and request.transport is not None:
                request.transport.abort()
        await until(lambda: not set(there) & set(self.sockets))

    async def until_asked(self, action: str, count: int = 1) -> list[dict[str, Any]]:
        """What was asked with this action."""
        await until(lambda: len([each for each in self.asked if each["action"] == action]) >= count)
        return [each for each in self.asked if each["action"] == action]

    def subscribed(self, request: dict[str, Any]) -> dict[str, Any]:
        names = [str(name) for name in request.get("symbols") or request["account_ids"]]
        states = {}
        for name in names:
            resume = request.get("resume", {}).get(name)
            frame = request.get("timeframe", "1m").removeprefix("1m")
            epoch = f"{request['channel']}{frame}-{name}"
            state = {"epoch": epoch, "sequence": 0, "recovered": None, "replayed": 0}
            if resume is not None:
                state |= {**resume, "recovered": True}
            states[name] = {**state, **self.states.get(name, {})}
        return {
            "type": "subscribed", "id": request["id"], "channel": request["channel"],
            "data": {"streams": states, "errors": {}},
        }  # fmt: skip

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.dials += 1
        self.headers = dict(request.headers)
        if self.status != 101:
            headers = {"Location": self.location} if self.location else None
            return web.json_response({"code": "x", "message": "no"}, status=self.status, headers=headers)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        try:
            if not self.is_silent:
                await socket.send_str(json.dumps({"type": "connected", "limits": {"commands_running_max": 2}}))
            async for message in socket:
                if message.type is WSMsgType.TEXT and not self.is_silent:
                    await self._answer(socket, json.loads(message.data))
        finally:
            self.sockets.remove(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        self.asked.append(asked)
        action = asked["action"]
        answer: Any = None
        if action in self.answers:
            answer = self.answers[action](asked)
        elif action == "subscribe":
            answer = self.subscribed(asked)
        elif action == "ping":
            answer = {"type": "pong"}
        if answer is not None:
            with contextlib.suppress(ConnectionError):
                await socket.send_str(json.dumps(answer))

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else dict(request.query)
        self.requests.append((request.path, body))
        found = self.answers.get(request.path)
        if found is None:
            error = {"code": "unsupported_action", "message": "no such path", "request_id": "r"}
            return web.json_response(error, status=404)
        answer = found(body)
        status = answer.pop("status", 200) if isinstance(answer, dict) else 200
        return web.json_response(answer, status=status)


@asynccontextmanager
async def stream_server() -> AsyncIterator[StreamServer]:
    """On any free port; it can tell its markets, and that account 1 is at `sim`."""
    server = StreamServer()
    server.answers |= {
        "/oms/accounts": lambda _: {"items": [{"id": 1, "name": "main", "exchange": "sim"}]},
        "/ccxt/1/describe": lambda _: {"result": DESCRIPTION},
        "/ccxt/1/fetch_markets": lambda _: {"result": [MARKET]},
    }
    app = web.Application()
    app.router.add_get("/v1/stream", server._stream)
    app.router.add_route("*", "/{path:.*}", server._rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


async def until_idle(task: asyncio.Task[Any]) -> None:
    """The task waits for something that does not come in this turn."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done(), task
