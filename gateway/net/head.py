"""The head of a request, and the opening handshake of RFC 6455 section 4.2: bytes in, a verdict out.

Pure. Must not know sockets, which paths exist, or who may connect.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

import httptools
import orjson
from multidict import CIMultiDict

from gateway.errors import TickwireError

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_QUERY_FIELDS_MAX: Final = 100
VERSION_HEADER: Final = ("Sec-WebSocket-Version", "13")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no WebSocket: an HTTP answer with a JSON body, and then the end of the connection."""

    status: int
    code: str
    message: str
    retry_after_ms: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def render(self) -> bytes:
        """The whole HTTP response."""
        error = TickwireError(self.code, self.message, retry_after_ms=self.retry_after_ms)
        headers = [("Content-Type", "application/json"), ("Connection", "close"), *self.headers]
        if error.retry_after_s is not None:
            headers.append(("Retry-After", str(error.retry_after_s)))
        content = orjson.dumps(error.fields())
        headers.append(("Content-Length", str(len(content))))
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


class BadHead(ValueError):  # noqa: N818 - says what the head is
    """Not HTTP, or HTTP that is not understood."""


@dataclass(slots=True, eq=False)
class Head:
    """A request without its body. `headers` compares names without case; `peer` is the address it came from.

    A router that speaks one of the offered subprotocols writes it to `subprotocol`: the 101 response names it.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: CIMultiDict[str]
    peer: str
    version: str = "1.1"
    subprotocol: str | None = None

    def tokens(self, name: str) -> list[str]:
        """The comma-separated items of a header, over all its lines."""
        if name not in self.headers:
            return []
        return [item.strip() for line in self.headers.getall(name, []) for item in line.split(",") if item.strip()]

    def names(self, header: str, token: str) -> bool:
        """Whether it is among the items of a header, in whatever case; `token` is in lower case."""
        lines = self.headers.getall(header, None)
        if lines is None:
            return False
        return (len(lines) == 1 and lines[0].lower() == token) or token in map(str.lower, self.tokens(header))

    @property
    def asks_websocket(self) -> bool:
        """An upgrade to WebSocket is meant, if perhaps badly; anything else is plain HTTP."""
        return self.names("Upgrade", "websocket")


@dataclass(slots=True, eq=False)
class _Collector:
    """What the HTTP parser calls."""

    url: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1").strip()))


def parse(raw: bytes, peer: str) -> Head:
    """A head, from the first byte to the empty line. Raises BadHead."""
    seen = _Collector()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the parser's way to say that the head asks for an upgrade and is over
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from None
    try:
        url = httptools.parse_url(seen.url)
        query = url.query and parse_qsl(
            url.query.decode("latin-1"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX
        )
    except (httptools.HttpParserInvalidURLError, ValueError) as error:
        raise BadHead(f"bad request target: {error}") from None
    return Head(
        method=parser.get_method().decode("latin-1"),
        path=unquote((url.path or b"/").decode("latin-1")),
        query=dict(query or ()),
        headers=CIMultiDict(seen.headers),
        peer=peer,
        version=parser.get_http_version(),
    )


def check_handshake(head: Head) -> Refusal | None:
    """None when the head is a correct opening handshake."""
    version = head.headers.getall("Sec-WebSocket-Version", [])
    if version and version != ["13"]:
        return Refusal(426, "validation_error", "only WebSocket version 13 is spoken here", headers=(VERSION_HEADER,))
    wrong = _unmet(head)
    return None if wrong is None else Refusal(400, "validation_error", wrong, headers=(VERSION_HEADER,))


def _unmet(head: Head) -> str | None:
    """The first requirement that does not hold."""
    headers, wrong = head.headers, None
    if head.method != "GET":
        wrong = "a WebSocket handshake is a GET"
    elif head.version != "1.1":
        wrong = "a WebSocket handshake needs HTTP/1.1"
    elif not head.names("Connection", "upgrade"):
        wrong = "the Connection header does not name Upgrade"
    elif len(headers.getall("Host", ())) != 1:
        wrong = "Host is missing or given twice"
    elif "Sec-WebSocket-Version" not in headers:
        wrong = "Sec-WebSocket-Version is missing"
    elif not _is_key(headers.getall("Sec-WebSocket-Key", ())):
        wrong = "Sec-WebSocket-Key must be given once, as 16 bytes in base64"
    elif "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0":
        wrong = "a WebSocket handshake has no body"
    return wrong


def _is_key(values: Sequence[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0].encode("ascii"), validate=True)) == 16
    except (binascii.Error, UnicodeEncodeError):
        return False


def accept(head: Head, extensions: str | None) -> bytes:
    """The 101 response that opens the WebSocket."""
    key = head.headers["Sec-WebSocket-Key"].encode("ascii")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: " + base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode(),
    ]
    if head.subprotocol is not None:
        assert head.subprotocol in head.tokens("Sec-WebSocket-Protocol"), "a client must get what it offered"
        lines.append(f"Sec-WebSocket-Protocol: {head.subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
