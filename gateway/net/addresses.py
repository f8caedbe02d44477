"""Who is at the other end of a connection, and what counts as one of them.

Holds which proxies are believed and how much (`X-Forwarded-For`, and whether they begin with a PROXY header), and how
addresses are counted and told. Pure. Must not know a socket, nor what is counted.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SITE_BITS: Final = 64  # of IPv6: what a provider gives to one customer, who may have any address in it


def _read(text: str) -> _Address | None:
    """An address, perhaps with a port as proxies write it; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=4_096)
def counted(address: str) -> str:
    """What an address is counted as: itself, and with IPv6 the network of its first 64 bits."""
    read = _read(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, SITE_BITS), strict=False))
    return address if read is None else str(read)


@functools.lru_cache(maxsize=4_096)
def network_of(address: str) -> str:
    """Where somebody is from, without who it is: a /24, of IPv6 a /48; nothing for what is no address."""
    read = _read(address)
    return "" if read is None else str(ipaddress.ip_network((read, 24 if read.version == 4 else 48), strict=False))


class Proxies:
    """The proxies that are believed about whom they speak for. Without any, nobody is."""

    def __init__(self, networks: Iterable[str] = (), *, with_header: bool = False) -> None:
        """`networks`: addresses or CIDRs. `with_header`: each of their connections begins with a PROXY header."""
        self._networks = [ipaddress.ip_network(each) for each in networks]
        self._with_header = with_header

    def trusts(self, address: str) -> bool:
        read = _read(address) if self._networks else None
        return read is not None and any(read in network for network in self._networks)

    def begins_with_header(self, peer: str) -> bool:
        return self._with_header and self.trusts(peer)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """Whom a request is from. `forwarded`: the lines of X-Forwarded-For, to which each proxy has added whom it
        got the request from; so what counts is read from the right, and no further than somebody who is not trusted."""
        if not self.trusts(peer):
            return peer
        nearest = peer
        for item in reversed([each for line in forwarded for each in line.split(",")]):
            read = _read(item)
            if read is None:
                break
            nearest = str(read)
            if not self.trusts(nearest):
                break
        return nearest
