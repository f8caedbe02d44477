"""What may be on its way to one socket: bounded, and never held up for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.net.window import Window

SIZE = 100


def test_who_is_confirmed_in_time_is_never_held_up() -> None:
    window = Window(SIZE)
    marks = 0
    for _ in range(50):
        if window.sent(30):
            marks += 1
            assert not window.is_full
            assert not window.confirmed()
    assert marks == 25, "one mark each half of a window"


def test_one_write_beyond_the_window_is_marked_and_waited_for() -> None:
    window = Window(SIZE)
    assert window.sent(10 * SIZE)
    assert window.is_full
    assert not window.sent(1), "one mark at a time"
    assert not window.confirmed()
    assert not window.is_full


@given(steps=st.lists(st.integers(1, 250) | st.none(), max_size=60))
def test_no_more_than_a_window_and_a_write_is_unconfirmed_and_a_full_one_has_a_mark_under_way(
    steps: list[int | None],
) -> None:
    window, unmarked = Window(SIZE), 0
    marked: list[int] = []  # bytes in front of the mark under way
    for step in steps:
        if step is None:
            if not marked:
                continue
            marked.pop()
            again = window.confirmed()
        elif window.is_full:
            continue  # who is told to wait waits
        else:
            unmarked += step
            assert sum(marked) + unmarked <= SIZE + step
            again = window.sent(step)
        if again:
            assert not marked
            marked, unmarked = [unmarked], 0
        assert window.is_full == (sum(marked) + unmarked > SIZE)
        assert marked or not window.is_full
