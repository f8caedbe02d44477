"""How far anybody came, and who is behind: number by number, and over the end of an epoch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.furthest import Furthest
from loadtest.streams import Position


def seen(*positions: Position) -> Furthest:
    furthest = Furthest()
    for position in positions:
        furthest.saw("X", position)
    return furthest


@pytest.mark.parametrize(
    ("positions", "position", "missed"),
    [
        ([("e1", 7)], ("e1", 7), 0),
        ([("e1", 7), ("e1", 3)], ("e1", 3), 4),
        ([("e1", 7)], ("e1", 9), 0),
        ([("e1", 7), ("e2", 3)], ("e1", 7), 3),
        ([("e1", 7), ("e2", 0)], ("e1", 7), 1),  # it was not told of the end
        ([("e1", 7), ("e2", 3), ("e1", 8)], ("e2", 1), 2),  # an epoch that has ended is not the furthest again
        ([("e1", 7)], None, 7),
        ([("e1", 0)], None, 1),
        ([], None, 0),
        ([], ("e1", 7), 0),
    ],
)
def test_what_somebody_lacks_of_what_another_has(
    positions: list[Position], position: Position | None, missed: int
) -> None:
    furthest = seen(*positions)
    assert furthest.missed("X", furthest.of("X"), position) == missed


def test_who_is_in_a_newer_epoch_than_the_goal_is_not_behind() -> None:
    furthest = seen(("e1", 7))
    goal = furthest.of("X")
    furthest.saw("X", ("e2", 1))
    assert furthest.missed("X", goal, ("e2", 1)) == 0


def test_streams_are_apart() -> None:
    furthest = seen(("e1", 7))
    assert furthest.of("Y") is None
    furthest.saw("Y", ("f1", 2))
    assert (furthest.of("X"), furthest.of("Y")) == (("e1", 7), ("f1", 2))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=20))
def test_the_furthest_is_the_highest_of_the_epoch_that_was_last_new(steps: list[tuple[int, int]]) -> None:
    positions = [(f"e{epoch}", number) for epoch, number in steps]
    newest = list(dict.fromkeys(epoch for epoch, _number in positions))[-1]
    assert seen(*positions).of("X") == (newest, max(number for epoch, number in positions if epoch == newest))
