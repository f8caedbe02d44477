"""A port that is shared with our own processes is nobody else's. What becomes of sockets: tests of the listener."""

from __future__ import annotations

import socket

import pytest

from gateway.net.port import claim


def test_a_port_that_somebody_listens_on_is_not_claimed_even_when_they_share_it() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other, pytest.raises(OSError, match="in use"):
        claim("127.0.0.1", other.getsockname()[1])
    claim("127.0.0.1", 0)
    claim("::1" if socket.has_dualstack_ipv6() else "127.0.0.1", 0)
