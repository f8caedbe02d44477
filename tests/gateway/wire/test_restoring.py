"""Subscriptions that are kept: what is brought back is what there was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.restoring import packed, unpacked
from gateway.wire.stream import DEFAULT_DEPTH, DEFAULT_TIMEFRAME, Position, Restore, Subscribe

names = st.sampled_from(["A/B", "C/D", "E/F:F"])
positions = st.builds(Position, st.sampled_from(["e1", "e2"]), st.integers(0, 99))
single = st.builds(
    lambda channel, name, throttle_ms, position: Subscribe(
        channel=channel, symbols=[name], throttle_ms=throttle_ms, resume={name: position} if position else {}
    ),
    st.sampled_from(["quotes", "trades"]), names, st.sampled_from([0, 50]), st.none() | positions,
)  # fmt: skip


def key(request: Subscribe) -> tuple[Any, ...]:
    return request.channel, request.throttle_ms, *request.symbols


def plain(requests: list[Subscribe]) -> dict[tuple[Any, ...], Position | None]:
    """Each stream, and where it is."""
    return {(each.channel, each.throttle_ms, name): each.resume.get(name) for each in requests for name in each.symbols}


@given(st.lists(single, unique_by=key, max_size=6))
def test_each_stream_comes_back_with_its_options_and_position(requests: list[Subscribe]) -> None:
    back = unpacked(packed(requests), Restore(connection_id="c"))
    assert plain(back) == plain(requests)
    assert len(back) == len({(each.channel, each.throttle_ms) for each in requests}), "one request for the same options"


def test_where_the_client_says_that_it_is_counts() -> None:
    kept = [
        Subscribe(channel="quotes", symbols=["A/B"], resume={"A/B": Position("e", 9)}),
        Subscribe(channel="quotes", symbols=["C/D"], resume={"C/D": Position("e", 9)}),
        Subscribe(channel="orders", account_ids=[1]),
        Subscribe(channel="news"),
    ]
    mine = {
        "quotes": {"A/B": Position("e", 5), "other": Position("e", 1)},
        "orders": {"1": Position("k", 3)},
        "news": {"*": Position("n", 2)},
    }
    quotes, orders, news = unpacked(packed(kept), Restore(connection_id="c", resume=mine))
    assert quotes.resume == {"A/B": Position("e", 5), "C/D": Position("e", 9)}
    assert (orders.account_ids, orders.resume) == ([1], {"1": Position("k", 3)})
    assert (news.symbols, news.resume) == ([], {"*": Position("n", 2)})


def test_what_cannot_be_read_is_told() -> None:
    with pytest.raises(msgspec.MsgspecError):
        unpacked(b'[{"action":"subscribe"}]', Restore(connection_id="c"))


def test_what_another_release_may_have_another_default_for_is_kept() -> None:
    one, two = (Subscribe(channel="book", symbols=[name]) for name in ("A/B", "C/D"))
    for kept in (packed([one]), packed([one, two])):
        (told,) = msgspec.json.decode(kept)
        assert (told["depth"], told["timeframe"]) == (DEFAULT_DEPTH, DEFAULT_TIMEFRAME)
