"""Which web pages may open a WebSocket: those of this host, and of the sites that the operator names.

A browser lets any page connect anywhere, and says in `Origin` whose page it was (RFC 6455, section 10.2): without a
look at it, a page of a stranger would reach whatever its reader's network reaches. Pure. Must not know who connects.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.net.head import Refusal

if TYPE_CHECKING:
    from gateway.net.head import Head

ANY: Final = "*"
NULL: Final = "null"  # of a file, or a frame that is locked up: browsers say no more of it
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normalised(origin: str) -> str:
    """As two origins are compared. Raises ValueError for what is none."""
    if origin in {ANY, NULL}:
        return origin
    parts = urlsplit(origin.lower())
    if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{origin!r} is no origin: scheme://host or scheme://host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


class Origins:
    """The sites whose pages may come, besides those of this host."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no origin."""
        self._allowed = frozenset(map(normalised, allowed))

    def check(self, head: Head) -> Refusal | None:
        """None for who is no page of a browser, or may come."""
        said = head.headers.getall("Origin", [])
        if not said or ANY in self._allowed or (len(said) == 1 and self._may(said[0], head.headers.get("Host", ""))):
            return None
        message = "pages of this site may not connect: the operator names those that may in `origins`"
        return Refusal(403, "permission_denied", message)

    def _may(self, origin: str, host: str) -> bool:
        try:
            found = normalised(origin)
            ours = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return found in self._allowed or (found != NULL and _is_same_machine(urlsplit(found).hostname, ours))


def _is_same_machine(page: str | None, host: str | None) -> bool:
    """Whether page and gateway come from one address, on whatever ports.

    Only where that is written as an address, or is `localhost`: a name can be made to point here by whoever owns it,
    and a page that comes under it would seem to be of this host.
    """
    one, other = _address(page), _address(host)
    return one is not None and (one == other or (other is not None and one.is_loopback and other.is_loopback))


def _address(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if host == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host or "")
    except ValueError:
        return None
