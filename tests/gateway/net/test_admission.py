"""Counts of sockets by address against a model, and how often an address may begin."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import Limits
from gateway.net import admission
from gateway.net.addresses import counted
from gateway.net.admission import Admission, Handshakes

ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", None])


MOVES = {
    "enter": ("away", "web"),
    "http": ("web", "http"),
    "back": ("http", "web"),
    "refuse": ("web", "refused"),
    "leave": ("web", "away"),
    "leave http": ("http", "away"),
    "leave refused": ("refused", "away"),
}


@given(st.lists(st.tuples(st.sampled_from(list(MOVES)), ADDRESSES), max_size=40))
def test_what_enters_leaves_and_nothing_is_left(steps: list[tuple[str, str | None]]) -> None:
    room = Admission(Limits(connections_per_ip_max=2))
    there: dict[str, Counter[str | None]] = {"web": Counter(), "http": Counter(), "refused": Counter()}
    tell = {
        "enter": room.enter,
        "http": room.enter_http,
        "back": room.return_from_http,
        "refuse": lambda address: room.refuse(address, 0),
        "leave": room.leave,
        "leave http": room.leave_http,
        "leave refused": room.leave_refused,
    }
    for step, address in steps:
        before, after = MOVES[step]
        if before != "away":
            if not there[before][address]:
                continue
            there[before][address] -= 1
        if after != "away":
            there[after][address] += 1
        tell[step](address)
        if address is not None:
            same = sum(count for each, count in there["web"].items() if each and counted(each) == counted(address))
            assert (room.upgrade(address, 0, 0.0) is None) == (same <= 2)
    for place, leave in (("web", room.leave), ("http", room.leave_http), ("refused", room.leave_refused)):
        for address in there[place].elements():
            leave(address)
    assert room.addresses == 0


def test_an_address_holds_so_many_sockets_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SPARE_SOCKETS_PER_IP", 1)
    room = Admission(Limits(connections_per_ip_max=1))
    for each in ("2001:db8::1", "2001:db8::2"):
        assert room.has_room(0, each)
        room.enter(each)
    assert not room.has_room(0, "2001:db8::3"), "it is of the same network"
    assert room.has_room(0, "2001:db8:1::3")
    assert room.has_room(0, None), "whom a proxy speaks for is not known yet"
    room.enter_http("2001:db8::1")
    assert not room.has_room(0, "2001:db8::3")
    room.leave_http("2001:db8::1")
    assert room.has_room(0, "2001:db8::3")
    full = Limits().connections_max + admission.SPARE_SOCKETS
    assert not room.has_room(full, None)


def test_who_is_refused_takes_no_place_and_so_many_stay_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SPARE_SOCKETS_PER_IP", 0)
    monkeypatch.setattr(admission, "REFUSED_PER_IP_MAX", 2)
    room = Admission(Limits(connections_per_ip_max=1))
    stay = []
    for refused in range(3):
        room.enter("2001:db8::1")
        stay.append(room.refuse("2001:db8::1", refused))
    assert stay == [True, True, False]
    assert room.has_room(0, "2001:db8::1")
    for address, refused, stays in (("192.0.2.1", admission.REFUSED_MAX, False), (None, 3, True)):
        room.enter(address)
        assert room.refuse(address, refused) is stays
    for address in (*["2001:db8::1"] * 3, "192.0.2.1"):
        room.leave_refused(address)
    assert room.addresses == 0


def test_who_connects_too_often_is_told_when_to_come_again() -> None:
    room = Admission(Limits(handshakes_per_ip_per_s=2.0, handshakes_per_ip_burst=3))
    assert [room.upgrade("192.0.2.1", 0, 5.0) for _ in range(3)] == [None] * 3
    refusal = room.upgrade("192.0.2.1", 0, 5.0)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry_after_ms) == (429, "rate_limited", 500)
    assert room.upgrade("192.0.2.2", 0, 5.0) is None
    assert room.upgrade("192.0.2.1", 0, 5.5) is None
    assert [room.secures("192.0.2.1", 0.0) for _ in range(7)] == [True] * 6 + [False]
    assert room.secures(None, 0.0)


def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    room = Admission(Limits(http_requests_per_ip_per_s=2.0, http_requests_per_ip_burst=3))
    assert [room.ask("192.0.2.1", 5.0) for _ in range(3)] == [None] * 3
    refusal = room.ask("192.0.2.1", 5.0)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry_after_ms) == (429, "rate_limited", 500)
    assert room.ask("192.0.2.2", 5.0) is None
    assert room.upgrade("192.0.2.1", 0, 5.0) is None, "a WebSocket has a rate of its own"
    assert room.ask("192.0.2.1", 5.5) is None


def test_what_is_counted_by_the_rate_of_a_key_is_given_back() -> None:
    for known in (False, True):
        room = Admission(Limits(http_requests_per_ip_per_s=0.0, http_requests_per_ip_burst=2))
        taken, other = (room.ask_known, room.ask) if known else (room.ask, room.ask_known)
        for _ in range(10):
            assert taken("192.0.2.1", 5.0) is None
            room.identified("192.0.2.1", known=known)
        room.identified("192.0.2.2", known=known)
        assert [taken("192.0.2.1", 5.0) is None for _ in range(3)] == [True, True, False]
        assert other("192.0.2.1", 5.0) is None, "who shows nothing is counted apart"


def test_addresses_whose_rate_is_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REMEMBERED_MAX", 10)
    rates = Handshakes(0.0, 1)
    assert rates.take("first", 0.0) == 0
    for number in range(100):
        rates.take(f"other {number}", 0.0)
        assert rates.take("first", 0.0) > 0, "who is not quiet is not forgotten"
    assert len(rates) == 10
    assert rates.take("other 0", 0.0) == 0
