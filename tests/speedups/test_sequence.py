"""The ring against a plain list: numbers without holes, bounded in depth and bytes, the newest always there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.frame import Update
from _speedups.sequence import Ring


class Model:
    """All updates ever, and how many of the newest the bounds leave."""

    def __init__(self, depth_max: int, bytes_max: int) -> None:
        self.depth_max, self.bytes_max, self.all = depth_max, bytes_max, list[bytes]()

    def held(self) -> list[tuple[int, bytes]]:
        kept: list[tuple[int, bytes]] = []
        for number in range(len(self.all), 0, -1):
            size = sum(len(data) for _, data in kept) + len(self.all[number - 1])
            if kept and (len(kept) == self.depth_max or size > self.bytes_max):
                break
            kept.insert(0, (number, self.all[number - 1]))
        return kept


def pairs(updates: list[Update]) -> list[tuple[int, bytes]]:
    return [(update.sequence, update.data) for update in updates]


@given(
    st.integers(1, 6),
    st.integers(0, 40),
    st.lists(st.integers(0, 12), max_size=120),
    st.integers(-2, 130),
    st.integers(-2, 130),
)
def test_the_ring_holds_what_the_model_holds(
    depth_max: int, bytes_max: int, sizes: list[int], first: int, last: int
) -> None:
    ring, model = Ring(depth_max, bytes_max), Model(depth_max, bytes_max)
    for size in sizes:
        assert ring.append(b"x" * size, None, 1, 2).sequence == len(model.all) + 1
        model.all.append(b"x" * size)
    held = model.held()
    assert len(ring) == len(held)
    assert ring.sequence == len(sizes)
    assert pairs(ring.between(first, last)) == [pair for pair in held if first <= pair[0] <= last]
    after = ring.after(first)
    if len(sizes) - len(held) <= first <= len(sizes):
        assert after is not None
        assert pairs(after) == [pair for pair in held if pair[0] > first]
    else:
        assert after is None


def test_a_cleared_ring_starts_again_at_one() -> None:
    ring = Ring(4, 100)
    ring.append(b"a", None, 1, 2)
    ring.clear()
    assert (len(ring), ring.sequence) == (0, 0)
    assert ring.append(b"b", None, 1, 2).sequence == 1


def test_a_ring_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least the newest"):
        Ring(0, 100)
