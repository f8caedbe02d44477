"""Configuration: rules of the sections themselves."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from gateway.config import JwtConfig, JwtKeyConfig, ServerConfig


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "fe80::1%eth0", "localhost", "a-b.example.", "my_host", "10"])
def test_what_may_be_a_host_is_taken(host: str) -> None:
    assert ServerConfig(host=host).host == host


@pytest.mark.parametrize("host", ["a b", "a..b", "host:80", "http://a", "*", "a" * 64])
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="host: neither"):
        ServerConfig(host=host)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ({"trusted_proxies": ["proxy.example"]}, "trusted_proxies: 'proxy.example' does not appear"),
        ({"proxy_protocol": True}, "proxy_protocol: needs trusted_proxies"),
        ({"origins": ["desk.example.com"]}, "origins: 'desk.example.com' is no origin"),
    ],
)
def test_doors_that_would_not_be_what_is_meant_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        ServerConfig(**settings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_is_private(host: str, loopback: bool) -> None:
    assert ServerConfig(host=host).is_loopback == loopback


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"issuer": "https://idp.example"}, "has an `audience` too"),
        ({"audience": "us"}, "our own keys have neither"),
        ({"issuer": "", "audience": "us"}, "issuer: is empty"),
        ({"issuer": "idp", "audience": ""}, "audience: is empty"),
        ({"issuer": "tickwire", "audience": "us"}, "leave it out"),
        ({"retires_at": datetime.datetime(2026, 12, 31)}, "time zone"),  # noqa: DTZ001  # that is what is refused
    ],
)
def test_a_key_of_tokens_that_cannot_be(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        JwtKeyConfig(kid="k", file="f", **fields)


def test_a_name_of_a_key_names_one() -> None:
    with pytest.raises(ValueError, match="the same `kid`"):
        JwtConfig(keys=[JwtKeyConfig(kid="k", file="f"), JwtKeyConfig(kid="k", file="g")])
