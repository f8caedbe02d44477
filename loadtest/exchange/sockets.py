"""The WebSockets: paths, the SUBSCRIBE protocol of the market data, pings.

Receives; everything sent goes through `streams.Connection`.
"""

import asyncio
import time
from collections.abc import Callable

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from loadtest.exchange.streams import PING, PONG, Connection, Streams, frame

STREAMS_PER_CONNECTION_MAX = 1024
PING_PERIOD_S = 20.0
PONG_PATIENCE_S = 60.0
CLOSE_PATIENCE_S = 2.0
MESSAGE_BYTES_MAX = 1 << 20
_METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


Reply = Callable[[Connection, str], bytes]


class RequestError(Exception):
    """A request Binance refuses, with its code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sockets:
    """Accepts connections and serves their requests; those of the WebSocket API are answered by `reply_api`."""

    def __init__(self, streams: Streams, reply_api: Reply) -> None:
        self._streams = streams
        self._reply_api = reply_api
        self._open: dict[int, web.WebSocketResponse] = {}
        self._pongs_s: dict[int, float] = {}
        self._methods: dict[str, Callable[[Connection, list[object]], object]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": lambda connection, _: list(connection.topics),
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stream", self._combined),
            web.get("/ws", self._raw),
            web.get("/ws/{names:.*}", self._raw),
            web.get("/stream/ws", self._raw),
            web.get("/stream/ws/{names:.*}", self._raw),
            web.get("/ws-api/v3", self._api),
        ]

    async def _combined(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, request.query.get("streams", ""), self.reply, combined=True)

    async def _raw(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, request.match_info.get("names", ""), self.reply, combined=False)

    async def _api(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, "", self._reply_api, combined=False)

    async def _serve(self, request: web.Request, names: str, reply: Reply, *, combined: bool) -> web.WebSocketResponse:
        # Pings are answered here, so that a silent connection does not answer them either.
        socket = web.WebSocketResponse(
            timeout=CLOSE_PATIENCE_S, autoping=False, compress=False, max_msg_size=MESSAGE_BYTES_MAX
        )
        try:
            await socket.prepare(request)
        except ConnectionResetError:
            # The peer changed its mind during the handshake: no fault of ours to log, and nobody reads the answer.
            raise web.HTTPBadRequest from None
        transport = request.transport
        if transport is None:
            return socket
        connection = self._streams.join(transport, combined=combined)
        self._open[connection.number] = socket
        self._pongs_s[connection.number] = time.monotonic()
        try:
            for name in names.split("/"):
                # ccxt appends a number to the path to tell its connections apart; that names no stream.
                if "@" in name:
                    self._streams.subscribe(connection, name)
            await self._receive(socket, connection, reply)
        finally:
            connection.flush()
            self._streams.leave(connection)
            del self._open[connection.number], self._pongs_s[connection.number]
        return socket

    async def _receive(self, socket: web.WebSocketResponse, connection: Connection, reply: Reply) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                connection.send(frame(reply(connection, message.data)))
            elif message.type is WSMsgType.PING:
                connection.pong(frame(message.data, PONG))
            elif message.type is WSMsgType.PONG:
                self._pongs_s[connection.number] = time.monotonic()

    def reply(self, connection: Connection, text: str) -> bytes:
        """Carry out one request; the answer, as Binance words it."""
        request_id: object = None
        try:
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise RequestError(3, f"Invalid JSON: {error}") from None
            if not isinstance(request, dict):
                raise RequestError(2, "Invalid request: expected an object")
            request_id = request.get("id")
            method = request.get("method")
            if method is None:
                raise RequestError(2, "Invalid request: missing field `method`")
            action = self._methods.get(method) if isinstance(method, str) else None
            if action is None:
                raise RequestError(2, f"Invalid request: unknown variant `{method}`, expected one of {_METHODS}")
            params = request.get("params", [])
            if not isinstance(params, list):
                raise RequestError(2, "Invalid request: params must be an array")
            return orjson.dumps({"result": action(connection, params), "id": request_id})
        except RequestError as error:
            return orjson.dumps({"error": {"code": error.code, "msg": str(error)}, "id": request_id})

    def _names(self, params: list[object]) -> list[str]:
        names = [name for name in params if isinstance(name, str) and "@" in name]
        if len(names) != len(params) or not names:
            raise RequestError(2, "Invalid request: invalid stream")
        return names

    def _subscribe(self, connection: Connection, params: list[object]) -> None:
        names = self._names(params)
        if len({*connection.topics, *names}) > STREAMS_PER_CONNECTION_MAX:
            raise RequestError(2, "Invalid request: too many parameters")
        for name in names:
            self._streams.subscribe(connection, name)

    def _unsubscribe(self, connection: Connection, params: list[object]) -> None:
        for name in self._names(params):
            self._streams.unsubscribe(connection, name)

    def _set_property(self, connection: Connection, params: list[object]) -> None:
        if len(params) != 2 or params[0] != "combined":
            raise RequestError(0, "Unknown property")
        if not isinstance(params[1], bool):
            raise RequestError(1, "Invalid value type: expected Boolean")
        connection.combined = params[1]

    def _get_property(self, connection: Connection, params: list[object]) -> bool:
        if params != ["combined"]:
            raise RequestError(0, "Unknown property")
        return connection.combined

    async def keep_alive(self) -> None:
        """Ping every connection; cut those whose pongs stay away."""
        while True:
            await asyncio.sleep(PING_PERIOD_S)
            now_s = time.monotonic()
            for number, connection in list(self._streams.connections.items()):
                if now_s - self._pongs_s[number] > PONG_PATIENCE_S:
                    self._streams.counters["pongs_missed"] += 1
                    connection.abort()
                else:
                    connection.send(frame(str(time.time_ns() // 1_000_000).encode(), PING))

    async def disconnect(self, connections: list[Connection], code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close with a handshake, as a server that means it does."""
        sockets = [self._open[c.number] for c in connections if c.number in self._open]
        for connection in connections:
            connection.flush()
        await asyncio.gather(*(socket.close(code=code, drain=False) for socket in sockets))
