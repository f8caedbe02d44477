"""PROXY headers of both versions: whole, in pieces, without an address, and nonsense."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.proxy_header import SIGNATURE, V1_BYTES_MAX, V2_BYTES_MAX, BadProxyHeader, Found, read


def version_2(command: int, family: int, addresses: bytes, more: bytes = b"") -> bytes:
    content = addresses + more
    return SIGNATURE + bytes([command, family]) + len(content).to_bytes(2, "big") + content


V4 = ipaddress.ip_address("198.51.100.7").packed + ipaddress.ip_address("192.0.2.1").packed + bytes(4)
V6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed + bytes(4)
GOOD = [
    (b"PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n", "198.51.100.7"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (version_2(0x21, 0x11, V4), "198.51.100.7"),
    (version_2(0x21, 0x21, V6, b"\x04\x00\x02hi"), "2001:db8::1"),
    (version_2(0x20, 0x00, b""), None),  # a health check of the proxy's own
    (version_2(0x20, 0x11, V4), None),
    (version_2(0x21, 0x31, bytes(216)), None),  # a socket of one machine
]


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_a_header_is_read_whole_and_nothing_behind_it(header: bytes, address: str | None) -> None:
    for size in range(len(header)):
        assert read(header[:size]) is None, "not before it is whole"
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        assert read(header + rest) == Found(address, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PROXY TCP4 198.51.100.7\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP4 198.51.100 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 \xff 192.0.2.1 1 2\r\n",
        b"PROXY UDP4 198.51.100.7 192.0.2.1 1 2\r\n",
        b"PROXY " + b"x" * V1_BYTES_MAX,
        version_2(0x31, 0x11, V4),
        version_2(0x22, 0x11, V4),
        version_2(0x21, 0x21, V4),
        version_2(0x21, 0x11, V4, bytes(V2_BYTES_MAX)),
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        read(data)


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21"]), st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused_or_bounded(start: bytes, more: bytes) -> None:
    try:
        found = read(start + more)
    except BadProxyHeader:
        return
    assert found is not None or len(start + more) < 16 + V2_BYTES_MAX
