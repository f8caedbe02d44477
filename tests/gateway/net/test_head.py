"""Heads good and bad, and the opening handshake of RFC 6455 section 4.2."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.head import BadHead, Head, Refusal, accept, check_handshake, parse

GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def head(line: str = "GET /v1/stream HTTP/1.1", **changes: str | None) -> Head:
    """The good handshake with some headers changed or, with None, left out; `_` stands for `-`."""
    headers = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return parse("\r\n".join([*lines, "", ""]).encode("latin-1"), "192.0.2.1")


def test_what_a_head_holds() -> None:
    found = head("GET /v1/a%20b?client_id=7&token=&x=%C3%A9 HTTP/1.1", **{"X-Api-Key": "k"})
    assert (found.method, found.path, found.peer) == ("GET", "/v1/a b", "192.0.2.1")
    assert found.query == {"client_id": "7", "token": "", "x": "é"}
    assert found.headers["x-API-key"] == "k"
    assert found.asks_websocket


def test_plain_requests_ask_for_no_websocket() -> None:
    assert not parse(b"POST /oms HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "").asks_websocket
    assert not head(Upgrade="h2c").asks_websocket


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad name : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /?" + b"a=1&" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ],
)
def test_bad_heads(raw: bytes) -> None:
    with pytest.raises(BadHead):
        parse(raw, "")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_bad_one(raw: bytes) -> None:
    with contextlib.suppress(BadHead):
        parse(b"GET " + raw + b"\r\n\r\n", "")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},  # Firefox
        {"Connection": "upgrade", "Upgrade": "WebSocket"},
        {"Content-Length": "0"},
        {"Origin": "https://example.com", "Cookie": "a=b"},
    ],
)
def test_good_handshakes(changes: dict[str, str]) -> None:
    assert check_handshake(head(**{name.replace("-", "_"): value for name, value in changes.items()})) is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"line": "POST /v1/stream HTTP/1.1"}, 400),
        ({"line": "GET /v1/stream HTTP/1.0"}, 400),
        ({"Connection": None}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Host": None}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZTE="}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZ\xe9Bub25jZQ=="}, 400),
        ({"Sec_WebSocket_Version": None}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": "13, 8"}, 426),
        ({"Content_Length": "5"}, 400),
        ({"Transfer_Encoding": "chunked"}, 400),
    ],
)
def test_bad_handshakes(changes: dict[str, str], status: int) -> None:
    refusal = check_handshake(head(**changes))
    assert refusal is not None
    assert refusal.status == status
    assert b"Sec-WebSocket-Version: 13\r\n" in refusal.render()


def test_a_header_given_twice() -> None:
    found = head()
    found.headers.add("Sec-WebSocket-Key", GOOD["Sec-WebSocket-Key"])
    refusal = check_handshake(found)
    assert refusal is not None
    assert refusal.status == 400


def test_the_answer_of_the_rfc() -> None:
    found = head(Sec_WebSocket_Protocol="tickwire.oms, tickwire.dashboard")
    found.subprotocol = "tickwire.dashboard"
    lines = accept(found, "permessage-deflate").decode().split("\r\n")
    assert lines == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: tickwire.dashboard",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "",
        "",
    ]
    found.subprotocol = None
    assert b"Sec-WebSocket-Protocol" not in accept(found, None)


def test_a_refusal_is_a_whole_response() -> None:
    refusal = Refusal(429, "rate_limited", "slow down", retry_after_ms=1500)
    top, _, body = refusal.render().partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert f"Content-Length: {len(body)}".encode() in top
    assert b"Retry-After: 2" in top
    assert json.loads(body) == {
        "code": "rate_limited", "message": "slow down", "retry_after_ms": 1500,
    }  # fmt: skip
