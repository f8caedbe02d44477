"""Each trade once, and holes noticed: against a set of what was given."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.tape import IDS_MAX, Tape


def trade(identity: str | None, ts_ms: int = 1, price: float = 1.0) -> dict[str, Any]:
    return {"id": identity, "timestamp": ts_ms, "price": price, "amount": 1.0, "side": "buy"}


def ids(trades: list[dict[str, Any]]) -> list[Any]:
    return [trade["id"] for trade in trades]


def test_numbered_ids_show_holes_and_repeats() -> None:
    tape = Tape(consecutive=True)
    assert tape.take([trade("5"), trade("6")]) == ([trade("5"), trade("6")], False)
    assert tape.take([trade("6"), trade("7")]) == ([trade("7")], False)
    assert tape.take([trade("9")]) == ([trade("9")], True)
    assert tape.take([trade("8")]) == ([], False)


def test_a_new_numbering_is_a_hole_and_not_a_repeat() -> None:
    tape = Tape(consecutive=True)
    tape.take([trade(str(10 * IDS_MAX))])
    assert tape.take([trade("1")]) == ([trade("1")], True)
    assert tape.take([trade("2")]) == ([trade("2")], False)


def test_after_a_restart_nothing_is_known_to_be_missing() -> None:
    tape = Tape(consecutive=True)
    tape.take([trade("5")])
    tape.restart()
    assert tape.take([trade("50")]) == ([trade("50")], False)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_any_numbers(numbers: list[int]) -> None:
    tape, last = Tape(consecutive=True), None
    for number in numbers:
        new, hole = tape.take([trade(str(number))])
        assert bool(new) == (last is None or number > last)
        assert hole == (last is not None and number > last + 1)
        last = max(last or 0, number)


def test_named_trades_are_repeated_by_a_later_list_only() -> None:
    tape = Tape(consecutive=False)
    twins = [trade("a"), trade("a")]  # two fills that an exchange gives one id
    assert tape.take(twins) == (twins, False)
    assert tape.take([trade("a"), trade("b")]) == ([trade("b")], False)
    assert tape.take([trade("a", price=2.0)]) == ([trade("a", price=2.0)], False)


def test_the_memory_is_bounded() -> None:
    tape = Tape(consecutive=False)
    for number in range(3 * IDS_MAX):
        tape.take([trade(f"n{number}")])
    assert len(tape._ids) == IDS_MAX


def test_newest_first_is_turned_round() -> None:
    tape = Tape(consecutive=False)
    new, _ = tape.take([trade("c", 3), trade("b", 2), trade("a", 1)])
    assert ids(new) == ["a", "b", "c"]


def test_a_poll_that_does_not_reach_back_to_the_last_one_has_a_hole() -> None:
    tape = Tape(consecutive=False, polled=True)
    assert tape.take([trade("a"), trade("b")])[1] is False
    assert tape.take([trade("b"), trade("c")]) == ([trade("c")], False)
    assert tape.take([trade("x"), trade("y")])[1] is True
    assert tape.take([trade("y")]) == ([], False)


def test_polled_trades_without_ids_are_told_apart_by_time() -> None:
    tape = Tape(consecutive=False, polled=True)
    assert tape.take([trade(None, 1), trade(None, 2)])[0] == [trade(None, 1), trade(None, 2)]
    assert tape.take([trade(None, 2), trade(None, 3)])[0] == [trade(None, 3)]


def test_watched_trades_without_ids_are_all_new() -> None:
    tape = Tape(consecutive=False)
    assert tape.take([trade(None)])[0] == tape.take([trade(None)])[0] == [trade(None)]
