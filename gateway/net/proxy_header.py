"""The PROXY header by which a proxy says whom a connection is from, versions 1 and 2.

Source: "The PROXY protocol, versions 1 & 2" (HAProxy), sections 2.1 and 2.2. Pure: bytes in, an address out. Must not
know who may send one.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"  # of version 2, which is binary
V1_BYTES_MAX: Final = 107
V2_BYTES_MAX: Final = 2_048  # address and extensions, which we do not read; the longest in use are a few hundred
_V2_HEAD: Final = 16
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES: Final = {0x1: 4, 0x2: 16}  # by family: IPv4, IPv6; sockets of one machine have no address


class BadProxyHeader(ValueError):  # noqa: N818 - says what it is
    """Something else than a PROXY header, or one that is not understood."""


class Found(NamedTuple):
    """A whole header: the address of the client (None: the proxy speaks for itself, or knows none), and its size."""

    address: str | None
    size: int


def read(data: bytes) -> Found | None:
    """The header at the beginning of a connection; None while it is not whole. Raises BadProxyHeader."""
    if data.startswith(SIGNATURE):
        return _version_2(data)
    if data.startswith(b"PROXY "):
        return _version_1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise BadProxyHeader("a proxy did not begin with a PROXY header")


def _version_1(data: bytes) -> Found | None:
    end = data.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(data) >= V1_BYTES_MAX:
            raise BadProxyHeader("the PROXY line has no end")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Found(None, end + 2)
    if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"}:
        raise BadProxyHeader("a PROXY line of another form")
    try:
        address = ipaddress.ip_address(words[2].decode("ascii"))
    except ValueError:
        raise BadProxyHeader("a PROXY line without an address") from None
    if address.version != int(words[1][3:]):
        raise BadProxyHeader("a PROXY line with an address of another family")
    return Found(str(address), end + 2)


def _version_2(data: bytes) -> Found | None:
    if len(data) < _V2_HEAD:
        return None
    command, family = data[12], data[13] >> 4
    size = int.from_bytes(data[14:16])
    if command not in {_LOCAL, _PROXY}:
        raise BadProxyHeader("a PROXY header of another version or command")
    if size > V2_BYTES_MAX:
        raise BadProxyHeader("the PROXY header is too long")
    if len(data) < _V2_HEAD + size:
        return None
    width = _ADDRESS_BYTES.get(family, 0)
    if command == _LOCAL or not width:
        return Found(None, _V2_HEAD + size)
    if size < 2 * width + 4:
        raise BadProxyHeader("the PROXY header is too short for its addresses")
    return Found(str(ipaddress.ip_address(data[_V2_HEAD : _V2_HEAD + width])), _V2_HEAD + size)
