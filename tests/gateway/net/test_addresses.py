"""Who is at the other end: proxies that are believed and such that are not, and what counts as one address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.addresses import Proxies, counted, network_of

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8", "127.0.0.1"], with_header=True)


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address: str, counts_as: str) -> None:
    assert counted(address) == counts_as


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # a stranger says what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # the left one is what the client claimed
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.2.3.4", "fd00::1"], "198.51.100.7"),  # several lines are one
        ("10.0.0.1", ["10.2.3.4, 10.3.3.3"], "10.2.3.4"),
        ("10.0.0.1", ["203.0.113.9, nonsense, 10.3.3.3"], "10.3.3.3"),
        ("10.0.0.1", ["203.0.113.9, "], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::5", ["2001:db8::1"], "2001:db8::1"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_is_the_client(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client(peer, forwarded) == client


@given(st.lists(st.text(max_size=20), max_size=4))
def test_what_a_client_writes_to_the_left_changes_nothing(claimed: list[str]) -> None:
    assert PROXIES.client("10.0.0.1", [*claimed, "198.51.100.7, 10.2.3.4"]) == "198.51.100.7"


def test_only_proxies_begin_with_a_header_and_only_where_that_is_wanted() -> None:
    assert PROXIES.begins_with_header("10.9.9.9")
    assert not PROXIES.begins_with_header("192.0.2.1")
    assert not Proxies(["10.0.0.0/8"]).begins_with_header("10.9.9.9")
    assert not Proxies().trusts("127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),  # at a socket of both families
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix", ""),
    ],
)
def test_where_a_peer_is_from_is_told_without_who_it_is(peer: str, network: str) -> None:
    assert network_of(peer) == network
