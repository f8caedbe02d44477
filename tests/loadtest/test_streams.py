"""Positions, resuming and losses, message by message, and against a model of a server that tells what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.streams import Count, RefusedError, Streams


def update(sequence: int, epoch: str = "e1", kind: str = "update", symbol: str = "X") -> dict[str, Any]:
    told = {"type": "quote", "channel": "quotes", "kind": kind, "epoch": epoch, "sequence": sequence}
    return {**told, "data": {"symbol": symbol}}


def gap(first: int, last: int, epoch: str = "e1", reason: str = "slow_consumer", **new: str) -> dict[str, Any]:
    told = {"type": "gap", "channel": "quotes", "symbol": "X", "epoch": epoch, "from": first, "to": last}
    return {**told, "reason": reason, **new}


def subscribed(
    sequence: int, *, recovered: bool | None = None, replayed: int = 0, epoch: str = "e1", **errors: str
) -> dict[str, Any]:
    stream = {"epoch": epoch, "sequence": sequence, "recovered": recovered, "replayed": replayed}
    return {"type": "subscribed", "channel": "quotes", "data": {"streams": {"X": stream}, "errors": errors}}


def counted(*messages: dict[str, Any]) -> Count:
    streams = Streams()
    for message in messages:
        streams.take(message)
    return streams.count


def test_contiguous_numbers_after_the_snapshot_are_no_loss() -> None:
    assert counted(subscribed(3), update(3, kind="snapshot"), update(4), update(5)) == Count(updates=2)


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([update(6)], Count(updates=1, unannounced=2)),
        ([update(4), update(4)], Count(updates=1, repeated=1)),
        ([update(1, "e2")], Count(updates=1, unannounced=1)),
        ([gap(4, 8), update(9)], Count(updates=1, announced=5)),
        ([gap(5, 8), update(9)], Count(updates=1, announced=4, unannounced=1)),
        ([gap(4, 4, new_epoch="e2"), update(1, "e2", "snapshot")], Count(updates=1, epochs=1)),
        ([gap(6, 6, new_epoch="e2"), update(1, "e2", "snapshot")], Count(updates=1, epochs=1, unannounced=2)),
        ([gap(4, 4, new_epoch="e2"), update(2, "e2")], Count(updates=1, epochs=1, unannounced=1)),
        ([gap(4, 8, reason="resync"), update(9)], Count(updates=1, resynced=5)),
        ([gap(4, 4, reason="upstream", new_epoch="e2"), update(1, "e2")], Count(updates=1, epochs=1)),
        ([gap(4, 8), update(8), update(9)], Count(updates=1, announced=5, repeated=1)),
    ],
)
def test_what_is_missing_is_told_apart(messages: list[dict[str, Any]], count: Count) -> None:
    assert counted(subscribed(3), *messages) == count


@pytest.mark.parametrize(
    ("applies_to", "misfit"),
    [({"prev_sequence": 3}, 0), ({"prev_sequence": 2}, 1), ({"prev_sequence": 4}, 1), ({}, 1)],
)
def test_an_update_of_a_book_is_applied_to_the_number_it_names(applies_to: dict[str, int], misfit: int) -> None:
    def of_book(message: dict[str, Any]) -> dict[str, Any]:
        return {**message, "channel": "book"}

    book = of_book(update(4))
    book["data"].update(applies_to)
    assert counted(of_book(subscribed(3)), book) == Count(updates=1, misfit=misfit)


def test_a_resumed_stream_goes_on_from_the_position_that_was_given() -> None:
    streams = Streams()
    assert "resume" not in streams.subscribe("quotes", ["X"])
    for message in (subscribed(3), update(4)):
        streams.take(message)
    assert streams.subscribe("quotes", ["X", "Y"])["resume"] == {"X": {"epoch": "e1", "sequence": 4}}
    for message in (subscribed(4, recovered=True, replayed=2), update(5), update(6), update(8)):
        streams.take(message)
    assert streams.count == Count(updates=4, unannounced=1, resumed=1, replayed=2)


def test_what_was_kept_for_who_resumes_is_told_from_what_is_new() -> None:
    streams = Streams()
    for message in (subscribed(3), update(4), subscribed(4, recovered=True, replayed=2)):
        streams.take(message)
    came = [update(5), update(6), update(7), update(5, "e2"), update(5, symbol="Y")]
    assert [streams.is_replay(each) for each in came] == [True, True, False, False, False]


def test_a_private_stream_is_an_account_s() -> None:
    streams = Streams()
    stream = {"epoch": "k", "sequence": 7, "recovered": None, "replayed": 0}
    streams.take({"type": "subscribed", "channel": "orders", "data": {"streams": {"1": stream}, "errors": {}}})
    told = {"type": "order", "channel": "orders", "kind": "update", "epoch": "k"}
    for sequence, symbol in ((8, "BTC/USDT"), (9, "ETH/USDT"), (11, "BTC/USDT")):
        streams.take({**told, "sequence": sequence, "data": {"account_id": 1, "symbol": symbol}})
    assert streams.count == Count(updates=3, unannounced=1)
    request = streams.subscribe("orders", ["1"], snapshot=False)
    assert (request["account_ids"], request["resume"]) == ([1], {"1": {"epoch": "k", "sequence": 11}})
    assert "symbols" not in request


def test_a_stream_that_is_not_recovered_is_counted_with_its_gap() -> None:
    assert counted(subscribed(3), subscribed(9, recovered=False), gap(4, 9, reason="resync"), update(10)) == Count(
        updates=1, resynced=6, not_recovered=1
    )


def test_a_resume_after_the_epoch_has_ended_is_too_late_and_what_it_lost_is_counted() -> None:
    ended = gap(4, 4, reason="resync", new_epoch="e2")
    came = [subscribed(3), subscribed(9, recovered=False, epoch="e2"), ended, gap(1, 9, "e2", "resync")]
    assert counted(*came, update(10, "e2")) == Count(updates=1, epochs=1, resynced=1 + 9, too_late=1)


def test_what_is_unsubscribed_or_forgotten_is_begun_anew() -> None:
    streams = Streams()
    streams.take(subscribed(3))
    assert streams.unsubscribe("quotes", ["X"])["symbols"] == ["X"]
    streams.take({"type": "unsubscribed", "channel": "quotes", "data": {"symbols": ["X"], "errors": {}}})
    assert not streams.positions
    streams.take(subscribed(9))
    streams.forget()
    assert "resume" not in streams.subscribe("quotes", ["X"])


@pytest.mark.parametrize("message", [{"type": "error", "code": "c", "message": "m"}, subscribed(0, Y="unknown_symbol")])
def test_a_refusal_is_raised(message: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        Streams().take(message)


@given(st.lists(st.sampled_from(["sent", "announced", "lost"]), max_size=30))
def test_every_number_is_had_announced_or_missing(fates: list[str]) -> None:
    streams = Streams()
    streams.take(subscribed(0))
    for number, fate in enumerate([*fates, "sent"], 1):
        if fate == "sent":
            assert streams.take(update(number))
        elif fate == "announced":
            streams.take(gap(number, number))
    count = streams.count
    assert (count.updates, count.announced) == (fates.count("sent") + 1, fates.count("announced"))
    assert (count.unannounced, count.repeated) == (fates.count("lost"), 0)
