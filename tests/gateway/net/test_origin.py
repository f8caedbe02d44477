"""Which pages may open a WebSocket: this host's, those that are named, and no stranger's."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from gateway.net.head import Head
from gateway.net.origin import Origins, normalised


def admits(origins: Origins, origin: str | None, host: str = "127.0.0.1:8765") -> bool:
    head = Head("GET", "/ws", {}, CIMultiDict({"Host": host}), "192.0.2.1")
    if origin is not None:
        head.headers.add("Origin", origin)
    refusal = origins.check(head)
    assert refusal is None or (refusal.status, refusal.code) == (403, "permission_denied")
    return refusal is None


def test_who_is_no_browser_says_no_origin_and_may_come() -> None:
    assert admits(Origins(), None)


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://127.0.0.1:3000", "127.0.0.1:8765", True),  # a program of this machine
        ("http://localhost:3000", "127.0.0.1:8765", True),
        ("http://[::1]:3000", "localhost:8765", True),
        ("https://192.0.2.9", "192.0.2.9:8765", True),
        ("https://192.0.2.8", "192.0.2.9:8765", False),
        ("http://localhost:3000", "192.0.2.9:8765", False),
        ("https://evil.example", "127.0.0.1:8765", False),
        ("http://evil.example:8765", "evil.example:8765", False),  # a name that was made to point here
        ("https://localhost.evil.example", "localhost", False),
        ("null", "127.0.0.1:8765", False),
        ("", "127.0.0.1:8765", False),
        ("http://[", "127.0.0.1:8765", False),
        ("http://127.0.0.1:x", "127.0.0.1:8765", False),
        ("http://127.0.0.1", "[", False),
    ],
)
def test_pages_of_this_host_may_come_where_no_name_can_pretend_it(origin: str, host: str, may: bool) -> None:
    assert admits(Origins(), origin, host) == may


def test_sites_that_are_named_may_come_and_no_others() -> None:
    origins = Origins(["https://desk.example.com", "http://Old.example:8080/", "null"])
    for origin in ("https://desk.example.com", "https://DESK.example.com:443", "http://old.example:8080", "null"):
        assert admits(origins, origin, "feed.example.com")
    for origin in ("http://desk.example.com", "https://desk.example.com:8443", "https://a.desk.example.com"):
        assert not admits(origins, origin, "feed.example.com")
    assert admits(Origins(["*"]), "https://anybody.example")


def test_two_origins_are_one_too_many() -> None:
    head = Head("GET", "/ws", {}, CIMultiDict([("Host", "localhost")]), "192.0.2.1")
    head.headers.extend([("Origin", "http://localhost"), ("Origin", "https://evil.example")])
    assert Origins().check(head) is not None


@pytest.mark.parametrize("text", ["desk.example.com", "https://", "https://a/b", "https://a?b", "https://u@a", ""])
def test_what_is_no_origin_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        normalised(text)
