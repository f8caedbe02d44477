"""A client of the stream dialect for one symbol of one channel: connects, subscribes, reconnects and resumes.

Holds what the command line needs to watch a gateway. Must not know how anything is shown, nor the hub or a source:
it speaks the wire like any other client.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec
import orjson
from picows import WSError, WSFrame, WSHandshakeError, WSInvalidURL, WSListener, WSMsgType, WSTransport, ws_connect

from gateway.core.watch import full_jitter
from gateway.errors import Close
from gateway.net.position import position_after
from gateway.wire.stream import STREAM_PATH, Position

WAITING_MESSAGES_MAX: Final = 1_000  # then reading stops, and the gateway treats us as the slow reader we are
RETRY_BASE_S: Final = 0.25
RETRY_MAX_S: Final = 15.0
IDLE_PING_S: Final = 30.0
SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

# Closes after which coming back as we are would be refused again (docs/protocol.md, "Closes").
FINAL_CLOSES: Final[dict[int, str]] = {
    Close.PROTOCOL_ERROR: "it found our frames wrong",
    Close.UNSUPPORTED_DATA: "it does not take what we sent",
    Close.NOT_UTF8: "it could not read what we sent",
    Close.NOT_AUTHENTICATED: "credentials are missing or wrong",
    Close.TOO_BIG: "what we sent was too large",
    Close.TOKEN_EXPIRED: "the credentials have expired",
    Close.NOT_YOUR_ACCOUNT: "this account is not ours to watch",
    Close.TOO_MANY_CONNECTIONS: "it has reached its limit of connections",
}


class ClientError(Exception):
    """The gateway cannot be watched, and trying again would not help; the message says what would."""


class Message(NamedTuple):
    """One message as it came, and read."""

    raw: bytes
    body: dict[str, Any]


class Lost(NamedTuple):
    """The connection is gone; the next attempt is `retry_s` away."""

    reason: str
    retry_s: float


class _Link(WSListener):
    """One connection: frames joined into messages, which wait here until they are taken."""

    def __init__(self) -> None:
        self.close_code: int = Close.LOST
        self.close_reason = ""
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._messages: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self.close_code = int.from_bytes(payload[:2], "big") if payload else Close.NONE
            self.close_reason = payload[2:].decode(errors="replace")
            transport.send(WSMsgType.CLOSE, payload[:2])
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                self._messages.append(b"".join(self._parts))
                self._parts.clear()
                self._changed.set()
                if len(self._messages) == WAITING_MESSAGES_MAX:
                    transport.underlying_transport.pause_reading()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._closed = True
        self._changed.set()

    def send(self, body: dict[str, Any]) -> None:
        """Queue one request; nothing happens when the connection is gone, which `take` will say."""
        if self._transport is not None and not self._closed:
            self._transport.send(WSMsgType.TEXT, orjson.dumps(body))

    def close(self) -> None:
        """Leave without waiting for the peer."""
        if self._transport is not None and not self._closed:
            self._transport.send_close()
            self._transport.disconnect()

    async def take(self) -> bytes | None:
        """The next message; None when the connection is closed and nothing is left."""
        while not self._messages:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        if len(self._messages) == WAITING_MESSAGES_MAX and self._transport is not None and not self._closed:
            self._transport.underlying_transport.resume_reading()
        return self._messages.popleft()


def _address(url: str) -> str:
    """The WebSocket address that is meant, with the path of the dialect unless it has one."""
    try:
        parts = urlsplit(url)
        scheme = SCHEMES.get(parts.scheme)
        if scheme is None or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:  # brackets or a port that are none
        raise ClientError(f"'{url}' is not a WebSocket address: write ws://HOST:PORT") from None
    path = parts.path if parts.path.strip("/") else STREAM_PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


class StreamClient:
    """Watches one stream of a gateway for as long as it is iterated, across disconnects.

    `jitter` gives a random number between its two arguments; tests replace it.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        symbol: str,
        options: dict[str, Any] | None = None,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.url = _address(url)
        self._is_tls = self.url.startswith("wss:")
        self._request = {"action": "subscribe", "channel": channel, "symbols": [symbol], **(options or {})}
        self._symbol = symbol
        self._position: Position | None = None
        self._come_back_s = 0.0  # what a gateway that shuts down asked for
        self._jitter = jitter

    async def events(self) -> AsyncGenerator[Message | Lost, None]:
        """Every message from the gateway, and a `Lost` for each disconnect. Raises ClientError when it is hopeless."""
        attempts = 0
        was_connected = False
        while True:
            try:
                link = await self._connect()
            except ClientError as error:
                if not was_connected:
                    raise
                reason = str(error)
            else:
                was_connected = True
                try:
                    link.send(self._subscribe())
                    while (raw := await link.take()) is not None:
                        attempts = 0
                        body = orjson.loads(raw)
                        self._position = position_after(body, self._symbol, self._position)
                        if body.get("type") == "server_shutdown":
                            self._come_back_s = body.get("reconnect_after_ms", 0) / 1000
                        yield Message(raw, body)
                finally:
                    link.close()
                reason = self._reason(link)
            attempts += 1
            retry_s = self._come_back_s + full_jitter(RETRY_BASE_S, RETRY_MAX_S, attempts, self._jitter)
            self._come_back_s = 0.0
            yield Lost(reason, retry_s)
            await asyncio.sleep(retry_s)

    async def _connect(self) -> _Link:
        try:
            _, link = await ws_connect(_Link, self.url, enable_auto_ping=True, auto_ping_idle_timeout=IDLE_PING_S)
        except WSInvalidURL as error:
            raise ClientError(f"'{self.url}' is not a WebSocket address: {error}") from None
        except WSHandshakeError as error:
            status = error.response.status if error.response is not None else None
            said = f"answered {status.value} {status.phrase}" if status is not None else "does not speak WebSocket"
            raise ClientError(f"{self.url} {said}; is it a tickwire gateway?") from None
        except ConnectionRefusedError:
            raise ClientError(
                f"nothing listens at {self.url}; start `tickwire serve` or `tickwire demo`, or name another with --url"
            ) from None
        except socket.gaierror:
            raise ClientError(f"there is no host '{urlsplit(self.url).hostname}', or no network to find it") from None
        except UnicodeError:  # what IDNA cannot write
            raise ClientError(f"'{urlsplit(self.url).hostname}' is not a host") from None
        except (OSError, TimeoutError, WSError) as error:
            is_answered = not isinstance(error, TimeoutError | ssl.SSLCertVerificationError)
            hint = "; the gateway there may have no TLS: try ws://" if is_answered and self._is_tls else ""
            raise ClientError(f"{self.url} cannot be reached: {str(error) or type(error).__name__}{hint}") from None
        assert isinstance(link, _Link)
        return link

    def _subscribe(self) -> dict[str, Any]:
        if self._position is None:
            return self._request
        return {**self._request, "resume": {self._symbol: msgspec.to_builtins(self._position)}}

    @staticmethod
    def _reason(link: _Link) -> str:
        if link.close_code in FINAL_CLOSES:
            raise ClientError(f"the gateway closed with {link.close_code}: {FINAL_CLOSES[link.close_code]}")
        tail = f" ({link.close_reason})" if link.close_reason else ""
        return "the connection broke" if link.close_code == Close.LOST else f"closed with {link.close_code}{tail}"
